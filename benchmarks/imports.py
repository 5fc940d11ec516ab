"""What an import costs, in an interpreter of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import airflow_vectordb

MOST_MODULES = 32
#: Imported where they are used: a DAG file must not pay for them.
NOT_IN_DAG_FILES = frozenset(
    ["requests", "aiohttp", "orjson", "pymilvus", "fastapi", "uvicorn", "pyarrow", "numpy", "yaml", "pendulum"]
)

#: What DAG files import: these packages' modules, and these modules. The last two are lazy, as the trigger is.
PACKAGES, MODULES = ("operators", "sensors", "task_groups"), ("assets", "rest", "waiting")
_PROBE = Path(__file__).with_name("probe.py")


@dataclass(frozen=True)
class ImportCost:
    """
    What importing some modules costs over ``from airflow.sdk import DAG, BaseOperator``.

    :param modules: names of the modules that it brought in
    :param mib: MiB by which the process grew: resident, or on Python's heap if that was measured and is more
    :param seconds: how long it took
    """

    modules: frozenset[str]
    mib: float
    seconds: float


def measure(modules: Sequence[str], own: str, *, heap: bool = False) -> ImportCost:
    """
    Import modules in a fresh interpreter.

    :param modules: their names
    :param own: the package that they belong to. Its modules count even if Airflow has imported them before (a
        provider's ``get_provider_info``, and what that needs)
    :param heap: whether to trace allocations, which takes time of its own
    """
    with tempfile.TemporaryDirectory() as home:
        # Otherwise Airflow writes a configuration, which costs time.
        Path(home, "airflow.cfg").write_text("[core]\nload_examples = False\n")
        env = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
        # -I: nothing of the user's (PYTHONPATH, user site, the working directory) counts.
        run = subprocess.run(
            [sys.executable, "-I", str(_PROBE), "heap" if heap else "time", *modules],
            env={**env, "HOME": home, "AIRFLOW_HOME": home},
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
        )
    if run.returncode:
        raise RuntimeError(f"importing {', '.join(modules)} failed: {run.stderr.strip()[-2000:]}")
    found = json.loads(run.stdout.splitlines()[-1])
    before = {name for name in found["before"] if name != own and not name.startswith(f"{own}.")}
    return ImportCost(frozenset(found["after"]) - before, found["mib"], found["seconds"])


def dag_file_modules() -> list[str]:
    """Return the names of the provider's modules that DAG files import, whichever there are."""
    root = Path(airflow_vectordb.__file__).parent
    # DAG files name no private ones.
    modules = [f"{package}.{path.stem}" for package in PACKAGES for path in sorted((root / package).glob("[!_]*.py"))]
    return [f"airflow_vectordb.{name}" for name in (*MODULES, *modules)]


def heavy_modules(cost: ImportCost) -> list[str]:
    """Return what an import must not bring in, but did."""
    return sorted(NOT_IN_DAG_FILES & cost.modules)


__all__ = ["MOST_MODULES", "NOT_IN_DAG_FILES", "ImportCost", "dag_file_modules", "heavy_modules", "measure"]
