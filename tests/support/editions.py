"""The Airflows that the tests in a browser look at, and where they are on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[2]
EDITIONS = ("3.3", "3.1", "3.2")


def interpreter(edition: str) -> str:
    """
    Find the interpreter that has an Airflow: the one that runs the tests, or one of ``make matrix``.

    :param edition: as "3.1"
    :return: its path; the test is skipped if there is none, see :func:`missing`
    """
    pythons = [sys.executable, *map(str, sorted((ROOT / ".nox").glob("matrix-*/bin/python")))]
    found = next((python for python in pythons if release_of(python).startswith(f"{edition}.")), None)
    if found is None:
        missing(f"no environment with Airflow {edition}: make matrix ARGS='--install-only' makes one")
    return found


def release_of(python: str) -> str:
    """Ask an interpreter for its Airflow; empty: it has none, or does not run."""
    program = "import importlib.metadata as m; print(m.version('apache-airflow-core'))"
    try:
        done = subprocess.run([python, "-I", "-c", program], capture_output=True, text=True, timeout=120, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def missing(reason: str) -> NoReturn:
    """Skip a test, or let it fail where everything has to be there."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason} (it has to be there, since CI is set)", pytrace=False)
    pytest.skip(f"NOT TESTED: {reason}")


__all__ = ["EDITIONS", "interpreter", "missing"]
