"""``render_template_as_native_obj=True``: what templates render to is no text any more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_vectordb._compat import AirflowFailException
from airflow_vectordb.operators.import_job import ImportOperator
from airflow_vectordb.operators.ingest import IngestOperator
from airflow_vectordb.sensors.milvus import ImportSensor
from tests.support.harness import Operating
from tests.support.scripted import Serve, ok

ROWS = [{"id": 1, "vector": [1.0, 2.0]}]
TASKS: dict[str, Callable[[Any], Any]] = {
    "an ingest": lambda v: IngestOperator(task_id="t", collection_name="docs", rows=ROWS, field_mapping=v),
    "an import": lambda v: ImportOperator(
        task_id="t", collection_name="docs", rows=ROWS, stage_to="file:///nowhere", field_mapping=v
    ),
}


def rendered(make: Callable[[Any], Any], value: Any) -> Any:
    """Make a task with a template, and render it to a value of Python's."""
    with DAG("d", schedule=None, render_template_as_native_obj=True):
        task = make("{{ value }}")
    task.render_template_fields({"value": value})
    return task


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("value", [{"a": 1}, {"a": ["id"]}, {"id": "id", "b": True}])
def test_a_mapping_to_something_else_than_fields(task: str, value: Any, serve: Serve, operating: Operating) -> None:
    server = serve([])
    operating.connect(server)
    text = r"field_mapping\['[ab]'\] must be the name of a field, or None"
    with pytest.raises(AirflowFailException, match=text):
        operating.execute(rendered(TASKS[task], value))
    assert server.connections == 0
    with pytest.raises(ValueError, match=text):
        TASKS[task](value)


@pytest.mark.parametrize("value", [["a", "b"], {"a": 1}, 1.5, True])
def test_a_collection_of_a_job_that_is_no_name(value: Any, serve: Serve, operating: Operating) -> None:
    server = serve([])
    operating.connect(server)
    sensor = rendered(lambda v: ImportSensor(task_id="t", job_id="17", collection_name=v), value)
    with pytest.raises(AirflowFailException, match="collection_name is "):
        operating.execute(sensor)
    assert server.connections == 0


def test_the_id_of_a_job_may_be_a_number(serve: Serve, operating: Operating) -> None:
    done = {"jobId": "17", "collectionName": "docs", "state": "Completed", "progress": 100, "importedRows": 1}
    operating.connect(serve(ok(done)))
    sensor = rendered(lambda v: ImportSensor(task_id="t", job_id=v), 17)
    assert operating.execute(sensor)["job_id"] == "17"
