"""Run the tests and the demo on other releases of Airflow and Python: ``make matrix``.

Each pair gets an environment of its own under ``.matrix``, pinned by ``.ci/constraints-airflow-X.txt`` (the newest
Airflow by ``constraints.txt``). A Python that this machine does not have is said aloud and left out; an Airflow that
would be left out with it is tested on another Python. Run by the interpreter of ``.venv``, which also has uv.

``matrix.py 3.1 3.13`` runs only the pairs with that Airflow or that Python. ``matrix.py --prepare`` only makes the
environments, and prints where each one is.

:exit 0: all that could be run has passed.
:exit 1: something failed; the table and the logs at the end say what.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MATRIX = ROOT / ".matrix"
#: Each Airflow once and each Python once; the newest Airflow twice, since there are more Pythons.
PAIRS = (("3.1", "3.10"), ("3.2", "3.12"), ("3.3", "3.13"), ("3.3", "3.11"))
NEWEST = "3.3"
WHAT = ("--editable", ".[local,files]", "--group", "test")
UV = (sys.executable, "-I", ".ci/setup_venv.py", "uv")
AT_ONCE = 2  # pairs whose tests run at the same time: what CI has cores for
LIMIT = 3600.0  # seconds for one step: only what hangs takes that long
PATIENCE = 60.0  # seconds: what is interrupted ends the processes that it started
TAIL = 40  # lines of the log of a failure


@dataclass(frozen=True)
class Result:
    """How a step ended.

    :param passed: whether it did what it was to do.
    :param text: in a line.
    :param log: all that it wrote.
    """

    passed: bool
    text: str
    log: Path


@dataclass
class Pair:
    """An Airflow on a Python, and what came of it.

    :param airflow: as "3.1".
    :param python: as "3.10".
    :param interpreter: its path.
    :param release: of Airflow with its patch, as soon as it is installed.
    :param results: by step.
    """

    airflow: str
    python: str
    interpreter: str
    release: str = ""
    results: dict[str, Result] = field(default_factory=dict)

    @property
    def venv(self) -> Path:
        """The directory of its environment; its logs lie beside it."""
        return MATRIX / f"airflow-{self.airflow}-python-{self.python}"

    @property
    def executable(self) -> str:
        """The interpreter of its environment."""
        return str(self.venv / "bin" / "python")

    @property
    def pins(self) -> Path:
        """The file that pins its environment."""
        return ROOT / ("constraints.txt" if self.airflow == NEWEST else f".ci/constraints-airflow-{self.airflow}.txt")

    def note(self, step: str, result: Result) -> None:
        """Keep a result and say it.

        :param step: which one.
        :param result: of it.
        """
        self.results[step] = result
        say(f"Airflow {self.release or self.airflow}, Python {self.python}: {step}: {result.text}")

    def log(self, step: str) -> Path:
        """Where a step writes to.

        :param step: which one.
        """
        return self.venv.with_name(f"{self.venv.name}.{step}.log")


def say(text: str) -> None:
    """Print a line at once, also into a pipe."""
    print(f"matrix: {text}", flush=True)


def interpreter(version: str) -> str | None:
    """Find a Python that runs and has what Airflow needs of it.

    :param version: as "3.12".
    :return: its path; None if there is none.
    """
    name = f"python{version}"
    directories = [Path(entry) for entry in os.environ.get("PATH", "").split(os.pathsep) if entry]
    candidates = [directory / name for directory in [Path(sys.base_prefix, "bin"), *directories]]
    # pyenv's shims run only what its user has chosen.
    roots = [directory.parent for directory in directories if directory.name == "shims"]
    roots += [parent.parent for parent in Path(sys.base_prefix).parents if parent.name == "versions"]
    roots += [Path(os.environ[v], *rest) for v, *rest in (("PYENV_ROOT",), ("HOME", ".pyenv")) if os.environ.get(v)]
    for root in roots:
        candidates += sorted(root.glob(f"versions/{version}.*/bin/{name}"), reverse=True)
    ask = "import ctypes, sqlite3, ssl, sys; print('%d.%d' % sys.version_info[:2])"
    for candidate in candidates:
        if not candidate.is_file():
            continue
        try:
            answer = subprocess.run(  # noqa: S603 - found on this machine
                [str(candidate), "-I", "-c", ask], capture_output=True, text=True, timeout=60, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if answer.returncode == 0 and answer.stdout.strip() == version:
            return str(candidate)
    return None


def plan() -> list[Pair]:
    """Choose the pairs that this machine can run, and say what it cannot."""
    pythons = {python: interpreter(python) for python in sorted({python for _, python in PAIRS})}
    pairs = [Pair(airflow, python, path) for airflow, python in PAIRS if (path := pythons[python])]
    for airflow, python in PAIRS:
        if pythons[python]:
            continue
        say(f"Python {python}: NOT TESTED, this machine does not have it")
        if any(pair.airflow == airflow for pair in pairs):
            continue
        used = [pair.python for pair in pairs]
        # One that fewer Airflows are tested on already.
        for other, path in sorted(pythons.items(), key=lambda item: used.count(item[0])):
            if path:
                say(f"Airflow {airflow}: on Python {other} instead of {python}")
                pairs.append(Pair(airflow, other, path))
                break
        else:
            say(f"Airflow {airflow}: NOT TESTED, no Python was found")
    return pairs


async def run(command: list[str], log: Path, env: dict[str, str]) -> Result:
    """Run one step, its output into a file.

    :param command: what to run, in the checkout.
    :param log: where its output goes.
    :param env: its environment.
    """
    began = time.monotonic()
    ended = "ended"
    with log.open("w") as output:
        # Not in the terminal's group: Ctrl-C is to reach it once, from here.
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            await asyncio.wait_for(process.wait(), LIMIT)
        except asyncio.TimeoutError:
            ended = f"was interrupted after {LIMIT:.0f} s"
        finally:
            await end(process)
    passed = process.returncode == 0 and ended == "ended"
    text = last_line(log) if passed else f"FAILED ({ended} with {process.returncode}): {last_line(log)}"
    return Result(passed, f"{text} [{time.monotonic() - began:.0f} s]", log)


def last_line(log: Path) -> str:
    """What a step said last, without what pytest and the demo put before it.

    :param log: of the step.
    """
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip("= ").split("  ")[-1] if lines else "no output"


async def end(process: asyncio.subprocess.Process) -> None:
    """End a process, and by its own hand what it has started; whoever presses Ctrl-C again wants it to go faster.

    :param process: one that leads a group.
    """
    if process.returncode is not None:
        return
    try:
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), PATIENCE)
    except (asyncio.TimeoutError, asyncio.CancelledError):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


@asynccontextmanager
async def alone(pair: Pair) -> AsyncIterator[None]:
    """Keep another run of this program from making the same environment.

    :param pair: whose environment it is.
    """
    with pair.venv.with_name(f"{pair.venv.name}.lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(0.5)
        yield


async def prepare(pair: Pair) -> bool:
    """Make the environment of a pair, unless it is there and runs.

    :param pair: which one.
    :return: whether it can be used.
    """
    parts = [pair.pins.read_bytes(), (ROOT / "pyproject.toml").read_bytes(), repr((WHAT, str(ROOT))).encode()]
    wanted = hashlib.sha256(b"\0".join(parts)).hexdigest()
    complete = pair.venv / "complete"
    log = pair.log("environment")
    env = dict(os.environ)
    async with alone(pair):
        runs = [pair.executable, "-I", "-c", "import importlib.metadata as m; print(m.version('apache-airflow'))"]
        made = complete.is_file() and complete.read_text() == wanted and os.access(pair.executable, os.X_OK)
        # The Python that it was made of may have gone or changed.
        if made and (await run(runs, log, env)).passed:
            return True
        shutil.rmtree(pair.venv, ignore_errors=True)
        install = [*UV, "pip", "install", "--quiet", "--python", pair.executable, "--constraint", str(pair.pins)]
        for command in (
            [*UV, "venv", "--quiet", "--python", pair.interpreter, str(pair.venv)],
            [*install, "--build-constraint", "constraints.txt", *WHAT],
            runs,
        ):
            result = await run(command, log, env)
            if not result.passed:
                pair.note("environment", result)
                return False
        complete.write_text(wanted)
    return True


async def try_out(pair: Pair) -> None:
    """Run everything on one pair.

    :param pair: one whose environment is made.
    """
    pytest = [pair.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    home = pair.venv.with_name(f"{pair.venv.name}.demo")
    steps = {
        "unit": [*pytest, "tests/unit"],
        # The DAGs of the documentation run in `make test`; here they would take as long as all the others.
        "dags": [*pytest, "tests/dags", "--ignore=tests/dags/test_docs_dags.py"],
        "demo": [pair.executable, "-I", "-m", "airflow_vectordb.demo", "--home", str(home)],
    }
    foreign = ("AIRFLOW", "_AIRFLOW", "PYTEST", "PYTHON", "VIRTUAL_ENV", "CONDA_PREFIX")
    env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    for name, command in steps.items():
        with tempfile.TemporaryDirectory(prefix="matrix-") as user:
            variables = {**env, "HOME": user, "AIRFLOW_HOME": f"{user}/airflow"}
            pair.note(name, await run(command, pair.log(name), variables))


async def whole(pairs: list[Pair], *, prepare_only: bool) -> None:
    """Make the environments, and run everything on them: the next one is made while tests run on those before.

    :param pairs: all of them, in their order.
    :param prepare_only: whether to make the environments only.
    """
    MATRIX.mkdir(exist_ok=True)
    making, testing = asyncio.Semaphore(1), asyncio.Semaphore(AT_ONCE)

    async def one(pair: Pair) -> None:
        async with making:
            began = time.monotonic()
            if not await prepare(pair):
                return
        pair.release = pair.log("environment").read_text().split()[-1]
        where = pair.venv.relative_to(ROOT)
        pair.note("environment", Result(True, f"{where} [{time.monotonic() - began:.0f} s]", pair.log("environment")))
        if not prepare_only:
            async with testing:
                await try_out(pair)

    work = asyncio.gather(*map(one, pairs))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # nohup has SIGHUP ignored, and means it. Shells ignore SIGINT for what runs in the background, and so would the
        # tests, which are ended by it.
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, work.cancel)
    await work


def report(pairs: list[Pair]) -> None:
    """Print the table, and the ends of the logs of what failed.

    :param pairs: all of them.
    """
    results = [(pair, step, result) for pair in pairs for step, result in pair.results.items()]
    for _, _, result in results:
        if not result.passed:
            print(f"\n{result.log.relative_to(ROOT)}, its end:")
            print("\n".join(result.log.read_text(errors="replace").splitlines()[-TAIL:]))
    print()
    for pair, step, result in results:
        print(f"Airflow {pair.release or pair.airflow:7} Python {pair.python:5} {step:12} {result.text}")


def main() -> int:
    """Run all pairs that this machine can run; see the top of this file."""
    parser = argparse.ArgumentParser(prog="matrix.py", description="Run the tests on other Airflows and Pythons.")
    known = sorted({version for pair in PAIRS for version in pair})
    parser.add_argument("only", nargs="*", metavar="VERSION", help=f"of Airflow or Python, of {', '.join(known)}")
    parser.add_argument("--prepare", action="store_true", help="only make the environments, and say where they are")
    arguments = parser.parse_args()
    unknown = set(arguments.only) - set(known)
    if unknown:
        parser.error(f"not in the matrix: {', '.join(sorted(unknown))}")
    began = time.monotonic()
    only = arguments.only or known
    pairs = [pair for pair in plan() if pair.airflow in only or pair.python in only]
    try:
        asyncio.run(whole(pairs, prepare_only=arguments.prepare))
    except (asyncio.CancelledError, KeyboardInterrupt):
        say("interrupted")
        return 130
    if not arguments.prepare:
        report(pairs)
        say(f"{time.monotonic() - began:.0f} s")
    if not pairs:
        say("nothing was tested")
    return 0 if pairs and all(result.passed for pair in pairs for result in pair.results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
