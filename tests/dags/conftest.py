"""Airflow in processes of its own, one local Milvus server for all of these tests."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from airflow_vectordb.local import LocalMilvus
from tests.support.airflow_process import AirflowProcess
from tests.support.local_api import connection_to

EXAMPLES = Path(__file__).resolve().parents[2] / "dags_examples"


@pytest.fixture(scope="session")
def server() -> Iterator[LocalMilvus]:
    with LocalMilvus(token="root:open sesame/100%") as running:
        yield running


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowProcess]:
    """An Airflow whose process has imported nothing yet."""
    home = tmp_path_factory.mktemp("airflow")
    (home / "connections.json").write_text("{}")
    with AirflowProcess(
        home,
        {
            "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLES),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__API_AUTH__JWT_SECRET": "only-for-these-tests-" * 4,
            "AIRFLOW__SECRETS__BACKEND": "airflow.secrets.local_filesystem.LocalFilesystemBackend",
            "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps({"connections_file_path": str(home / "connections.json")}),
            "NO_PROXY": "*",
        },
    ) as process:
        yield process


@pytest.fixture(scope="session")
def parsed(started: AirflowProcess) -> Any:
    """What is found in the examples, and what it imports: nothing else was imported before."""
    return started.call("dag_runs.parse", str(EXAMPLES))[0]


@pytest.fixture(scope="session")
def airflow(started: AirflowProcess, parsed: Any) -> AirflowProcess:
    """One Airflow for all tests: starting it is what takes long."""
    return started


@pytest.fixture(scope="session")
def run_dags(airflow: AirflowProcess, server: LocalMilvus) -> Callable[..., Any]:
    """Run DAGs, with ``server`` as the default connection: directory, runs, and variables -> what came of each run."""
    connection = connection_to(server.uri, server.token)
    password = (server.token or "").partition(":")[2]

    def run(directory: Path, runs: Iterable[tuple[str, str | None, dict[str, Any]]], **variables: str) -> Any:
        variables = {"AIRFLOW_CONN_MILVUS_DEFAULT": connection, **variables}
        found, printed = airflow.call("dag_runs.run", str(directory), list(runs), **variables)
        assert password not in printed
        assert password not in json.dumps(found)
        return found

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
