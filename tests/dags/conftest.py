"""Airflow in processes of its own, one local Milvus server for all of these tests."""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

if "airflow" not in sys.modules:  # it reads its home directory once
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="airflow-home-")
    atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)

from airflow_vectordb.local import LocalMilvus

EXAMPLES = Path(__file__).resolve().parents[2] / "dags_examples"
PROGRAM = Path(__file__).with_name("airflow_process.py")


@pytest.fixture(scope="session")
def server() -> Iterator[LocalMilvus]:
    with LocalMilvus(token="root:open sesame/100%") as running:
        yield running


@pytest.fixture(scope="session")
def airflow(server: LocalMilvus, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Run ``airflow_process.py`` and return what it printed as JSON."""
    home = tmp_path_factory.mktemp("airflow")
    user, _, password = (server.token or "").partition(":")
    connection = {"conn_type": "milvus", "host": server.uri, "login": user, "password": password}
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLES),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_MILVUS_DEFAULT": json.dumps(connection),
        "NO_PROXY": "*",
    }

    def run(*arguments: str, **variables: str) -> Any:
        command = [sys.executable, str(PROGRAM), *arguments]
        done = subprocess.run(
            command, env={**env, **variables}, cwd=home, capture_output=True, text=True, timeout=900, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert password not in done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture(scope="session")
def digits_search() -> ModuleType:
    """The module of the DAG file."""
    spec = importlib.util.spec_from_file_location("digits_search_example", EXAMPLES / "digits_search.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
