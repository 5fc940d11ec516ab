"""What an import costs, in an interpreter of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import pkgutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

PROBE = Path(__file__).with_name("probe.py")

#: Packages of this provider whose modules DAG files import.
FOR_DAG_FILES = ("operators", "sensors", "triggers")
#: Modules of this provider, beside those packages, that DAG files import.
ALSO_FOR_DAG_FILES = ("assets",)


@dataclass(frozen=True)
class Cost:
    """
    What the import of some modules cost over that of Airflow's SDK.

    :param modules: names of the modules that it brought in
    :param rss: MiB by which the process grew
    :param heap: MiB that Python's allocators handed out and did not get back; None: not looked at
    :param seconds: how long it took
    :param bare_modules: number of modules before
    :param bare_seconds: how long the import of the SDK itself took
    :param bare_rss: MiB of the process before
    """

    modules: frozenset[str]
    rss: float
    heap: float | None
    seconds: float
    bare_modules: int
    bare_seconds: float
    bare_rss: float


def airflow_home(directory: Path) -> dict[str, str]:
    """
    Make an AIRFLOW_HOME, with a configuration: otherwise Airflow writes one when it is first imported. Its logs are
    quiet, since operators that run here run outside of a task.

    :param directory: an empty directory
    :return: the environment variable for it
    """
    (directory / "airflow.cfg").write_text("[core]\nload_examples = False\n[logging]\nlogging_level = CRITICAL\n")
    return {"AIRFLOW_HOME": str(directory)}


def measure(modules: Sequence[str], own: str, *, heap: bool = False) -> Cost:
    """
    Import modules in a fresh interpreter, after ``from airflow.sdk import DAG, BaseOperator``.

    :param modules: their names
    :param own: name of the package that they are of. Its modules count even if Airflow has imported them before (a
        provider's ``get_provider_info``, and what that needs)
    :param heap: whether to trace allocations, which takes time of its own
    """
    with tempfile.TemporaryDirectory() as home:
        env = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
        # -I: nothing of the user's (PYTHONPATH, user site, the working directory) is looked at.
        run = subprocess.run(
            [sys.executable, "-I", str(PROBE), "heap" if heap else "time", *modules],
            env={**env, "HOME": home, **airflow_home(Path(home))},
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
        )
    if run.returncode:
        raise RuntimeError(f"importing {', '.join(modules)} failed: {run.stderr.strip()[-2000:]}")
    found = json.loads(run.stdout.splitlines()[-1])
    before = {name for name in found["before"] if name != own and not name.startswith(f"{own}.")}
    return Cost(
        modules=frozenset(found["after"]) - before,
        rss=found["rss"],
        heap=found["heap"],
        seconds=found["seconds"],
        bare_modules=len(before),
        bare_seconds=found["bare_seconds"],
        bare_rss=found["bare_rss"],
    )


def dag_file_modules(package: str = "airflow_vectordb") -> list[str]:
    """
    Find the modules of this provider that DAG files import, whichever there are, without importing them.

    :param package: the provider's name
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"no package {package}")
    roots = [Path(location) for location in spec.submodule_search_locations]
    found = [
        f"{package}.{name}" for name in ALSO_FOR_DAG_FILES if any((root / f"{name}.py").is_file() for root in roots)
    ]
    for name in FOR_DAG_FILES:
        found += _walk([root / name for root in roots if (root / name).is_dir()], f"{package}.{name}")
    return found


def _walk(directories: Iterable[Path], prefix: str) -> list[str]:
    found: list[str] = []
    for directory in directories:
        for module in pkgutil.iter_modules([str(directory)]):
            if module.name.startswith("_"):  # DAG files name no private ones
                continue
            name = f"{prefix}.{module.name}"
            found += _walk([directory / module.name], name) if module.ispkg else [name]
    return found


__all__ = ["Cost", "airflow_home", "dag_file_modules", "measure"]
