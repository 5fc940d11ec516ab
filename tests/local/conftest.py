"""One local server for all of these tests; each test has collections of its own names."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from airflow_vectordb.local import LocalMilvus
from tests.support.local_api import SCHEMA, Api, Json, fill, make_rows


@pytest.fixture(scope="session")
def server() -> Iterator[LocalMilvus]:
    # What a flush or a load has begun shows at once, since most of these tests are about other things.
    with LocalMilvus(pace="immediate") as running:
        yield running


@pytest.fixture(scope="session")
def api(server: LocalMilvus) -> Iterator[Api]:
    client = Api(server.uri, server.token)
    with client:
        yield client


@pytest.fixture
def connect() -> Iterator[Callable[[LocalMilvus], Api]]:
    """Clients of other servers than the shared one."""
    made: list[Api] = []

    def make(running: LocalMilvus) -> Api:
        made.append(Api(running.uri, running.token))
        return made[-1]

    yield make
    for client in made:
        client.close()


_numbers = itertools.count()


@pytest.fixture
def name(api: Api) -> Iterator[str]:
    """The name of a collection that is dropped at the end."""
    made = f"c{next(_numbers)}"
    yield made
    for alias in api.ok("aliases/list"):
        if api.ok("aliases/describe", aliasName=alias)["collectionName"] == made:
            api.ok("aliases/drop", aliasName=alias)
    api.ok("collections/drop", collectionName=made)


@pytest.fixture
def bare(api: Api, name: str) -> str:
    """A collection with a dense and a sparse vector field and two scalars, without indexes."""
    api.ok("collections/create", collectionName=name, schema=SCHEMA)
    return name


@pytest.fixture
def rows() -> list[Json]:
    """Ten rows for ``bare``; row 3 is nearest to [3, 1, 0, 0]."""
    return make_rows()


@pytest.fixture
def filled(api: Api, bare: str) -> str:
    """``bare`` with ten rows in it, flushed, indexed with L2 and IP, and loaded."""
    return fill(api, bare)


@pytest.fixture(scope="session")
def shared(api: Api) -> str:
    """Like ``filled``, but one for all; for tests that change nothing."""
    api.ok("collections/create", collectionName="shared", schema=SCHEMA)
    return fill(api, "shared")
