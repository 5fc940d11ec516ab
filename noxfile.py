"""Run the tests and the demo on other releases of Airflow and Python: ``make matrix``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
os.environ.setdefault("UV_PYTHON_DOWNLOADS", "never")
# Other Pythons may be installed next to the running one without being on PATH: pyenv puts only shims there.
os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], *map(str, Path(sys.base_prefix).parent.glob("3.*/bin"))])

#: Each Airflow once, and each Python that ``make test`` does not use. The newest Airflow uses constraints.txt.
PAIRS = [("3.10", "3.1"), ("3.12", "3.2"), ("3.13", "3.3")]
# Without the tests of the local server and the slow ones, which `make test-all` runs.
PYTEST = ("pytest", "-q", "-n", "auto", "-p", "no:cacheprovider", "-m", "not slow")
TESTS = ("tests/unit", "tests/ingest", "tests/dags")


@nox.session
@nox.parametrize("python, airflow", PAIRS, ids=[f"airflow-{airflow}" for _, airflow in PAIRS])
def matrix(session: nox.Session, airflow: str) -> None:
    """Run unit tests, DAG tests and the demo. One pair: ``make matrix ARGS="-s 'matrix(airflow-3.1)'"``."""
    pins = f".ci/constraints-airflow-{airflow}.txt"
    pins = pins if Path(pins).exists() else "constraints.txt"
    session.install("-c", pins, "--build-constraints", "constraints.txt", "-e", ".[local,files]", "--group", "test")
    home = session.create_tmp()
    env = {"HOME": home}
    session.run("python", "-m", *PYTEST, *TESTS, *session.posargs, env=env)
    session.run("python", "-I", "-m", "airflow_vectordb.cli", "demo", "--home", f"{home}/demo", env=env)
