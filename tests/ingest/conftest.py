"""A local server for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_vectordb.local import LocalMilvus


@pytest.fixture(scope="module")
def server() -> Iterator[LocalMilvus]:
    with LocalMilvus() as running:
        yield running
