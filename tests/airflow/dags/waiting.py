"""What the tests run. Each task works on a collection of its own, named DAG_TASK."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.operators.index import CreateIndexOperator
from airflow_vectordb.rest import collections
from airflow_vectordb.sensors.milvus import IndexSensor

HNSW = {"fieldName": "vector", "metricType": "COSINE", "indexType": "HNSW", "params": {"M": 16, "efConstruction": 200}}


def create(task_id: str, **options: Any) -> CreateIndexOperator:
    """Create an index, with short pauses."""
    return CreateIndexOperator(
        task_id=task_id,
        collection_name="{{ dag.dag_id }}_{{ task.task_id }}",
        index_params=HNSW,
        poll_interval=0.5,
        **options,
    )


def sense(task_id: str, **options: Any) -> IndexSensor:
    """Wait for an index of another client's."""
    return IndexSensor(
        task_id=task_id, collection_name="{{ dag.dag_id }}_{{ task.task_id }}", index_name="vector", **options
    )


@task
def quick() -> str:
    """Do something that takes no time, but needs a worker."""
    return "done"


@task
def describe(collection: str) -> list[str]:
    """Use the hook in code of one's own."""
    with MilvusHook() as hook:
        return [field.name for field in hook.send(collections.describe(collection)).fields]


@task
def results(collection: str) -> dict[str, Any]:
    """Return what calls return, as it is."""
    with MilvusHook() as hook:
        described = hook.send(collections.describe(collection))
        assert described.name == collection
        return {"collection": described, "collections": [described]}


@task
def read(found: dict[str, Any]) -> list[str]:
    """Read what another task returned."""
    return [field["name"] for field in found["collections"][0]["fields"] if field in found["collection"]["fields"]]


@task
def forget() -> None:
    """Make a call, and do not send it."""
    collections.load("forgotten")


with DAG("passing", schedule=None):
    read(results("passing_results"))
    forget()

with DAG("alone", schedule=None):
    create("index", deferrable=True)

with DAG("deferral", schedule=None):
    # The more important one gets the one slot first.
    index = create("index", deferrable=True, pool="narrow", priority_weight=10, weight_rule="absolute")
    quick.override(task_id="meanwhile", pool="narrow", priority_weight=1, weight_rule="absolute")()
    index >> quick.override(task_id="after")()
    create("untold")

with DAG("kills", schedule=None, default_args={"retries": 2, "retry_delay": timedelta(seconds=1)}):
    create("skip", deferrable=False)
    create("fail", deferrable=False, if_exists="fail")
    create("worker", deferrable=False, if_exists="fail")

with DAG("retries", schedule=None, default_args={"retries": 2, "retry_delay": timedelta(seconds=3)}):
    create("refused", deferrable=False)
    create("given_up", deferrable=True)
    create("unavailable", deferrable=False)
    create("slow", deferrable=True, timeout=4)
    create("slow_here", deferrable=False, timeout=4)
    describe.override(task_id="own_refused")("retries_own_refused")
    describe.override(task_id="own_unavailable")("retries_own_unavailable")

with DAG("sensors", schedule=None, default_args={"retries": 2, "retry_delay": timedelta(seconds=1)}):
    narrow: dict[str, Any] = {"pool": "sensing", "weight_rule": "absolute"}
    sense("rescheduled", deferrable=False, mode="reschedule", poke_interval=5, priority_weight=3, **narrow)
    sense("deferred", deferrable=True, poke_interval=0.5, priority_weight=2, **narrow)
    quick.override(task_id="meanwhile", priority_weight=1, **narrow)()
    sense("rescheduled_late", deferrable=False, mode="reschedule", poke_interval=5, timeout=8)
    sense("deferred_late", deferrable=True, poke_interval=0.5, timeout=5)

with DAG("outage", schedule=None):
    create("survivor", deferrable=True, timeout=600)
    create("due_after", deferrable=True, timeout=50)

# By itself, so that its time runs only when the others wait already.
with DAG("outage_short", schedule=None):
    create("due_meanwhile", deferrable=True, timeout=20)
