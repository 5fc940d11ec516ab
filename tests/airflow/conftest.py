"""One Airflow for all of these tests, and one Milvus whose builds take as long as the tests say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_vectordb.demo.home import Home
from airflow_vectordb.demo.processes import Processes
from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.rest import Client, MilvusConfig
from tests.support.builds import RETRIES, TOKEN, Builds
from tests.support.running_airflow import Run, RunningAirflow, processes_of


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with Airflows of their own come first, so that these do not run beside the one of the other tests."""
    items.sort(key=lambda item: item.path.name not in ("test_browser.py", "test_celery.py"))


@pytest.fixture(scope="module")
def milvus() -> Iterator[LocalMilvus]:
    """A Milvus for the tests of one module, who put a proxy before it; nothing takes time that is not held there."""
    with LocalMilvus(token=TOKEN, pace="immediate") as running:
        yield running


@pytest.fixture(scope="module")
def client(milvus: LocalMilvus) -> Iterator[Client]:
    with Client(MilvusConfig(milvus.uri, token=TOKEN)) as made:
        yield made


@pytest.fixture(scope="session")
def builds() -> Iterator[Builds]:
    """The Milvus server."""
    with Builds() as made:
        yield made


@pytest.fixture(scope="session")
def airflow(builds: Builds, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAirflow]:
    """Airflow, all of it, with the connection to the Milvus server. When the tests are over, nothing of it is left."""
    path = tmp_path_factory.mktemp("airflow") / "home"
    login, _, password = TOKEN.partition(":")
    connection = {
        "connection_id": "milvus_default",
        "conn_type": "milvus",
        "host": "127.0.0.1",
        "port": builds.server.port,
        "login": login,
        "password": password,
        "extra": f'{{"retries": {RETRIES}}}',
    }
    with Home(path, fresh=True) as home, Processes(home) as processes:
        running = RunningAirflow(processes)
        running.bring_up(connection, {"narrow": 1, "sensing": 1})
        yield running
    assert processes_of(path) == {}


@pytest.fixture(scope="session")
def killed(airflow: RunningAirflow) -> Run:
    """The run whose tasks are killed. It begins early, because Airflow takes its time to believe a worker dead."""
    return airflow.trigger("kills")


@pytest.fixture(scope="session")
def sensed(airflow: RunningAirflow) -> Run:
    """The run of the sensors. It begins early, because some have to wait until they are late."""
    return airflow.trigger("sensors")
