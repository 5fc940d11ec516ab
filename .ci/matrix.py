"""Run the tests and the demo on other releases of Airflow and Python: ``make matrix``.

Each pair gets an environment of its own under ``.matrix``, pinned by ``.ci/constraints-airflow-X.txt`` (the newest
Airflow by ``constraints.txt``). A Python that this machine does not have is said aloud and left out; an Airflow must be
tested on one Python at least. Run by the interpreter of ``.venv``, which also has uv.

:exit 0: all that could be run has passed.
:exit 1: something failed; the table at the end says what.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MATRIX = ROOT / ".matrix"
#: Each Airflow once and each Python once; the newest Airflow twice, since there are more Pythons.
PAIRS = (("3.1", "3.10"), ("3.2", "3.12"), ("3.3", "3.13"), ("3.3", "3.11"))
NEWEST = "3.3"
EXTRAS = ["--editable", ".[local,files]"]


@dataclass
class Outcome:
    """What came of one pair."""

    airflow: str
    python: str
    steps: dict[str, str]

    @property
    def failed(self) -> bool:
        """Whether something went wrong."""
        return any(text.startswith("FAILED") for text in self.steps.values())


def say(text: str) -> None:
    """Print a line at once, also into a pipe."""
    print(f"matrix: {text}", flush=True)


def interpreter(version: str) -> str | None:
    """Find a Python that runs and can make environments.

    :param version: as "3.12".
    :return: its path; None if there is none.
    """
    candidates: list[Path] = []
    for directory in map(Path, os.environ.get("PATH", "").split(os.pathsep)):
        candidates.append(directory / f"python{version}")
        if directory.name == "shims":  # pyenv's run only what its user has chosen
            candidates += sorted(directory.parent.glob(f"versions/{version}.*/bin/python{version}"))
    for candidate in candidates:
        if not candidate.is_file():
            continue
        try:
            command = [str(candidate), "-I", "-c", "import ensurepip, sys; print('%d.%d' % sys.version_info[:2])"]
            answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - found on PATH
        except (OSError, subprocess.TimeoutExpired):
            continue
        if answer.returncode == 0 and answer.stdout.strip() == version:
            return str(candidate)
    return None


def constraints(airflow: str) -> Path:
    """The file that pins an environment.

    :param airflow: as "3.1".
    """
    return ROOT / ("constraints.txt" if airflow == NEWEST else f".ci/constraints-airflow-{airflow}.txt")


def run(command: list[str], log: Path, env: dict[str, str]) -> tuple[bool, str]:
    """Run one step, its output into a file.

    :param command: what to run, in the checkout.
    :param log: where its output goes.
    :param env: its environment.
    :return: whether it succeeded, and the last line that it wrote.
    """
    began = time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, env=env)  # noqa: S603 - this file's own commands
        try:
            status = process.wait()
        except BaseException:
            process.send_signal(signal.SIGINT)  # it ends what it started
            process.wait()
            raise
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return status == 0, f"{lines[-1].strip('= ') if lines else ''} [{time.monotonic() - began:.0f} s]"


def prepare(airflow: str, python: str, path: str) -> Path:
    """Make the environment of a pair, unless it is there.

    :param airflow: as "3.1".
    :param python: as "3.10".
    :param path: of the interpreter.
    :return: its directory.
    :raises RuntimeError: when it cannot be made.
    """
    venv = MATRIX / f"airflow-{airflow}-python-{python}"
    pins = constraints(airflow)
    wanted = hashlib.sha256(pins.read_bytes() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()
    complete = venv / "complete"
    if complete.is_file() and complete.read_text() == wanted:
        return venv
    shutil.rmtree(venv, ignore_errors=True)
    MATRIX.mkdir(exist_ok=True)
    uv = [sys.executable, "-I", ".ci/setup_venv.py", "uv"]
    target = str(venv / "bin" / "python")
    install = [*uv, "pip", "install", "--quiet", "--python", target, "--constraint", str(pins)]
    for command in ([*uv, "venv", "--quiet", "--python", path, str(venv)], [*install, *EXTRAS, "--group", "test"]):
        done, last = run(command, MATRIX / f"{venv.name}.setup.log", dict(os.environ))
        if not done:
            raise RuntimeError(last)
    complete.write_text(wanted)
    return venv


def try_out(airflow: str, python: str, path: str) -> Outcome:
    """Run everything on one pair.

    :param airflow: as "3.1".
    :param python: as "3.10".
    :param path: of the interpreter.
    """
    outcome = Outcome(airflow, python, {})
    try:
        venv = prepare(airflow, python, path)
    except RuntimeError as error:
        outcome.steps["environment"] = f"FAILED: {error}"
        return outcome
    target = str(venv / "bin" / "python")
    pytest = [target, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    steps = {
        "unit": [*pytest, "tests/unit"],
        "dags": [*pytest, "tests/dags"],
        "demo": [target, "-I", "-m", "airflow_vectordb.demo"],
    }
    version = "import importlib.metadata as m; print(m.version('apache-airflow'))"
    outcome.airflow = subprocess.run(  # noqa: S603 - the interpreter just installed
        [target, "-I", "-c", version], capture_output=True, text=True, check=True
    ).stdout.strip()
    for name, command in steps.items():
        with tempfile.TemporaryDirectory(prefix="matrix-") as home:
            env = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "PYTEST", "PYTHON"))}
            log = MATRIX / f"{venv.name}.{name}.log"
            done, last = run(command, log, {**env, "HOME": home, "AIRFLOW_HOME": f"{home}/airflow"})
        outcome.steps[name] = last if done else f"FAILED: {last}; see {log.relative_to(ROOT)}"
        say(f"Airflow {outcome.airflow}, Python {python}: {name}: {outcome.steps[name]}")
    return outcome


def main() -> int:
    """Run all pairs that this machine can run; see the top of this file."""
    wanted = sys.argv[1:]
    outcomes = []
    for airflow, python in PAIRS:
        if wanted and airflow not in wanted and python not in wanted:
            continue
        path = interpreter(python)
        if path is None:
            say(f"Airflow {airflow}: NOT TESTED on Python {python}, which this machine does not have")
            continue
        outcomes.append(try_out(airflow, python, path))
    print()
    for outcome in outcomes:
        for name, text in outcome.steps.items():
            print(f"Airflow {outcome.airflow:7} Python {outcome.python:5} {name:11} {text}")
    if not outcomes:
        say("nothing was tested")
    return 1 if not outcomes or any(outcome.failed for outcome in outcomes) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
