"""A real Milvus for all of these tests, our REST servers in front of it, and what tests do with both.

- ``milvus``: the engine; can be asked what is ``pending``, be ``frozen``, and be sent signals.
- ``front``, ``api``: our REST server before it, and a client of that, for all tests.
- ``own_front``: a REST server for one test, to be killed and started again on its port.
- ``connection``, ``own_connection``: Airflow's default connection, to ``front`` and to ``own_front``.
- ``name``, ``filled``: a name for a collection, and a small collection.
- ``big``: a collection that takes a while to index, for all tests: each begins with dropping its index.
- ``figures``: lines that are shown at the end of the run.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator

import pytest

from airflow_vectordb.local import LocalMilvus
from tests.support.engine_api import SCHEMA, Api, await_loaded, drop_collection, make_big_collection
from tests.support.local_api import connection_to
from tests.support.milvus_server import CannotHaveError, MilvusServer, free_ports, installed

_NONE = pytest.StashKey[str]()
_FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> list[str]:
    """Lines to show at the end of the run: what was measured."""
    return request.config.stash.setdefault(_FIGURES, [])


@pytest.fixture(scope="session")
def milvus(request: pytest.FixtureRequest) -> Iterator[MilvusServer]:
    """The engine, one for the whole run.

    ``milvus.pid`` is its process, ``milvus.address`` and ``milvus.uri`` where it speaks gRPC, ``milvus.token`` what it
    lets in; ``milvus.client`` is pymilvus, ``milvus.pending(collection, index)`` the rows that it has yet to index, and
    ``with milvus.frozen():`` stops it for the length of the block.
    """
    try:
        command = installed()
    except CannotHaveError as error:
        request.config.stash[_NONE] = str(error)
        pytest.skip(f"no real Milvus: {error}")
    server = MilvusServer(command)
    try:
        server.wait()
        yield server
    finally:
        server.stop()


# Around all others, so that it comes after the list of what was skipped.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Generator[None, None, None]:
    """Say that there was no engine at the end of every run, not only where reasons of skips are asked for."""
    yield
    if lines := config.stash.get(_FIGURES, []):
        terminalreporter.section("figures")
        for line in lines:
            terminalreporter.line(line)
    why = config.stash.get(_NONE, "")
    if why:
        terminalreporter.section("NO REAL MILVUS: NOTHING WAS TESTED AGAINST ONE", sep="!", red=True, bold=True)
        terminalreporter.line(why)


@pytest.fixture(scope="session")
def front(milvus: MilvusServer) -> Iterator[LocalMilvus]:
    """Our REST server, which checks no token itself; for all tests, so none may end it."""
    with LocalMilvus(backend=milvus.uri, token=None) as running:
        yield running


@pytest.fixture
def own_front(milvus: MilvusServer) -> Iterator[LocalMilvus]:
    """A REST server for this test alone: ``own_front.kill()`` ends it as a crash would, ``own_front.start()`` starts it
    again, at the same URI.
    """
    (port,) = free_ports(1)
    with LocalMilvus(backend=milvus.uri, token=None, port=port) as running:
        yield running


@pytest.fixture(scope="session")
def api(front: LocalMilvus, milvus: MilvusServer) -> Iterator[Api]:
    """A client of ``front``, as the engine's root."""
    client = Api(front.uri, milvus.token)
    with client.session:
        yield client


_numbers = itertools.count()


@pytest.fixture
def name(api: Api) -> Iterator[str]:
    """The name of a collection that is dropped at the end."""
    made = f"c{next(_numbers)}"
    yield made
    drop_collection(api, made)


@pytest.fixture
def connection(front: LocalMilvus, milvus: MilvusServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's default connection, to ``front``."""
    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", connection_to(front.uri, milvus.token))


@pytest.fixture
def own_connection(own_front: LocalMilvus, milvus: MilvusServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's default connection, to ``own_front``."""
    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", connection_to(own_front.uri, milvus.token))


@pytest.fixture(scope="session")
def big(api: Api) -> Iterator[str]:
    """The name of a collection as :func:`make_big_collection` makes it, on which other tests may have left an index."""
    make_big_collection(api, "big")
    yield "big"
    drop_collection(api, "big")


@pytest.fixture
def filled(api: Api, name: str) -> str:
    """A small collection of every kind of field, with ten rows, an index, loaded."""
    api.ok("collections/create", collectionName=name, schema=SCHEMA)
    api.ok(
        "entities/insert",
        collectionName=name,
        data=[
            {"id": i, "v": [i, 1, 0, 0], "label": f"r{i}", "extra": {"n": i}, "tags": [i, 7], "loose": i * 2, "x": 1}
            for i in range(10)
        ],
    )
    api.ok("collections/flush", collectionName=name)
    api.ok("indexes/create", collectionName=name, indexParams=[{"fieldName": "v", "metricType": "L2"}])
    api.ok("collections/load", collectionName=name)
    await_loaded(api, name)
    return name
