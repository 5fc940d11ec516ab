"""Operators and sensors as unit tests of DAGs call them: ``execute({})``, without a task instance."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, Mock

import pytest

from airflow_vectordb._compat import AirflowException, is_retry
from airflow_vectordb.operators.collection import LoadCollectionOperator, ReleaseCollectionOperator
from airflow_vectordb.operators.index import CreateIndexOperator, DropIndexOperator
from airflow_vectordb.sensors.milvus import CollectionLoadSensor, IndexSensor
from tests.support.drivers import AirflowRescheduleException, TaskDeferred, end_of
from tests.support.fake_milvus import told
from tests.support.harness import HNSW, Clock, Operating
from tests.support.loading_milvus import WIDER, LoadingMilvus, m, milvus
from tests.support.scripted import Serve

DOCS: dict[str, Any] = {"task_id": "task", "collection_name": "docs"}

TASKS: dict[str, Callable[..., Any]] = {
    "create": lambda **given: CreateIndexOperator(**DOCS, index_params=HNSW, **given),
    "replace": lambda **given: CreateIndexOperator(**DOCS, index_params=WIDER, if_exists="replace", **given),
    "drop": lambda **given: DropIndexOperator(**DOCS, index_name="other"),
    "drop, fail": lambda **given: DropIndexOperator(**DOCS, index_name="label", if_missing="fail"),
    "load": lambda **given: LoadCollectionOperator(**DOCS, **given),
    "release": lambda **given: ReleaseCollectionOperator(**DOCS, **given),
    "index sensor": lambda **given: IndexSensor(**DOCS, **given),
    "index sensor, rescheduled": lambda **given: IndexSensor(**DOCS, mode="reschedule", **given),
    "index sensor, backing off": lambda **given: IndexSensor(**DOCS, exponential_backoff=True, **given),
    "load sensor": lambda **given: CollectionLoadSensor(**DOCS, **given),
}
# Without an address in it, which would be another one in each process of pytest-xdist.
MOCK = MagicMock(name="mock", __repr__=lambda self: "a mock")
# With all that identifies a task instance, as whoever tests callbacks or names that are made of it writes it.
FULL = MagicMock(
    name="full", try_number=1, run_id="r", dag_id="d", task_id="task", map_index=-1, __repr__=lambda self: "a full mock"
)
BARE = Mock(name="bare", __repr__=lambda self: "a bare mock")
CONTEXTS: list[Any] = [
    {},
    {"ti": None},
    None,
    {"ti": SimpleNamespace(try_number=1)},
    {"ti": MOCK},
    MOCK,
    {"ti": FULL},
    BARE,
]


def server_for(name: str) -> LoadingMilvus:
    made = milvus(loaded=set() if name == "load" else {"_default"})
    if name == "drop, fail":
        made.loaded = set()
        made.add("label", "INVERTED", "")
    return made


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("context", CONTEXTS, ids=lambda context: str(context)[:20])
@pytest.mark.parametrize("name", TASKS)
def test_it_is_the_first_try(
    name: str, context: Any, deferrable: bool, serve: Serve, operating: Operating, clock: Clock
) -> None:
    server = server_for(name)
    operating.connect(serve(server))
    task = TASKS[name](**({} if name.startswith("drop") else {"deferrable": deferrable}))
    step: Callable[[], Any] = lambda: task.execute(context)  # noqa: E731
    while True:
        try:
            result = step()
            break
        except TaskDeferred as deferred:
            event = json.loads(json.dumps(asyncio.run(end_of(deferred.trigger))))
            step = lambda e=event: task.execute_complete(context, event=e)  # type: ignore[misc]  # noqa: E731
    json.dumps(result)
    if name == "replace":
        assert m(server) == "32"
        assert server.changes == ["collections/release", "indexes/drop", "indexes/create", "collections/load"]


def test_a_replacement_that_is_refused_puts_back_what_was_there(serve: Serve, operating: Operating) -> None:
    server = milvus(fails=lambda index: "disk full" if str(index["params"]["M"]) == "32" else None)
    operating.connect(serve(server))
    with pytest.raises(AirflowException, match=r"disk full.*is being built as it was"):
        TASKS["replace"]().execute({})
    assert (m(server), server.loaded) == ("16", {"_default"})


@pytest.mark.parametrize("context", CONTEXTS, ids=lambda context: str(context)[:20])
def test_a_sensor_that_is_not_done_is_rescheduled(
    context: Any, serve: Serve, operating: Operating, clock: Clock
) -> None:
    server = milvus()
    server.progress = told({"indexState": "InProgress", "pendingRows": 3})
    operating.connect(serve(server))
    with pytest.raises(AirflowRescheduleException):
        TASKS["index sensor, rescheduled"]().execute(context)
    assert TASKS["index sensor, rescheduled"]().poke({}) is False


@pytest.mark.parametrize(
    ("context", "retry"),
    [
        *((context, False) for context in CONTEXTS),
        ({"ti": SimpleNamespace(try_number=0)}, False),
        ({"ti": SimpleNamespace(try_number=2)}, True),
    ],
    ids=str,
)
def test_which_try_it_is(context: Any, retry: bool) -> None:
    assert is_retry(context) is retry
