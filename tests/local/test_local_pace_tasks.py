"""Tasks over a local server at the pace of a cluster, as a user would try them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_vectordb.local import LocalMilvus
from tests.support.local_api import INDEX, SPARSE, Api, connection_to, make, make_rows

# Quicker than a cluster, but slower than a task that does not wait.
PACE = "real,row_count=.3,total_rows=1.5,build=1,load=.7,flush_interval=3"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Api]:
    with LocalMilvus(pace=PACE) as running:
        client = Api(running.uri, running.token)
        with client:
            yield client


@pytest.fixture
def connection(cluster: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", connection_to(cluster.uri, cluster.token))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.mark.usefixtures("connection")
def test_an_index_covers_what_was_inserted_when_its_task_is_done(cluster: Api) -> None:
    """`flush=True` was once done after a second, with `Finished, 0 of 0 rows`."""
    from airflow_vectordb.operators.collection import LoadCollectionOperator
    from airflow_vectordb.operators.index import CreateIndexOperator

    make(cluster, "c")
    # The task's own flush comes too early after this one, and the limiter is waited out.
    cluster.ok("collections/flush", collectionName="c")
    cluster.ok("entities/insert", collectionName="c", data=[{**row, "id": row["id"] + 10} for row in make_rows()])
    create = CreateIndexOperator(
        task_id="index", collection_name="c", index_params=[INDEX, SPARSE], flush=True, deferrable=False
    )
    built = create.execute({})
    assert [(one["state"], one["total_rows"], one["pending_rows"]) for one in built] == [("Finished", 20, 0)] * 2
    load = LoadCollectionOperator(task_id="load", collection_name="c", deferrable=False)
    assert load.execute({})["load_state"] == "LoadStateLoaded"
