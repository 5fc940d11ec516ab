"""Arguments that can never be right are refused when the DAG is parsed; times are numbers and timedeltas alike."""

from __future__ import annotations

import math
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from airflow.sdk import DAG

from airflow_vectordb._compat import AirflowException, AirflowFailException
from airflow_vectordb.mixins import ResumeState
from airflow_vectordb.operators.alias import SwitchAliasOperator
from airflow_vectordb.operators.collection import (
    CreateCollectionOperator,
    LoadCollectionOperator,
    ReleaseCollectionOperator,
)
from airflow_vectordb.operators.import_job import ImportOperator
from airflow_vectordb.operators.index import CreateIndexOperator, DropIndexOperator
from airflow_vectordb.operators.ingest import DeleteOperator, IngestOperator
from airflow_vectordb.sensors.milvus import CollectionLoadSensor, IndexSensor
from tests.support.drivers import TaskDeferred
from tests.support.fake_milvus import indexed, rows
from tests.support.harness import HNSW, Clock, Looks, Operating
from tests.support.scripted import Serve

MINIMAL: dict[type[Any], dict[str, Any]] = {
    CreateIndexOperator: {"collection_name": "docs", "index_params": HNSW},
    DropIndexOperator: {"collection_name": "docs", "index_name": "vector"},
    LoadCollectionOperator: {"collection_name": "docs"},
    ReleaseCollectionOperator: {"collection_name": "docs"},
    SwitchAliasOperator: {"alias": "live", "collection_name": "docs"},
    IndexSensor: {"collection_name": "docs"},
    CollectionLoadSensor: {"collection_name": "docs"},
}
SENSORS = (IndexSensor, CollectionLoadSensor)
WAITING = [kind for kind in MINIMAL if kind is not DropIndexOperator]


def make(kind: type[Any], **arguments: Any) -> Any:
    return kind(**{"task_id": "it", **MINIMAL[kind], **arguments})


def interval(kind: type[Any]) -> str:
    return "poke_interval" if kind in SENSORS else "poll_interval"


# Times --------------------------------------------------------------------------------------------------------------

NO_TIMES = [
    -1,
    0,
    -0.0,
    math.nan,
    math.inf,
    True,
    "30",
    "soon",
    b"1",
    timedelta(0),
    timedelta(days=-1),
    10**400,
    1e12,
    [],
]
TIMES = [90, 90.0, timedelta(seconds=90), Decimal(90), np.int64(90), np.float32(90)]


@pytest.mark.parametrize("value", NO_TIMES, ids=repr)
def test_no_times(value: Any, subtests: pytest.Subtests) -> None:
    for kind in WAITING:
        for name in (interval(kind), "timeout", "execution_timeout"):
            defaults = DAG("d", schedule=None, default_args={name: value})
            with subtests.test(kind.__name__, name=name):
                with pytest.raises(ValueError, match=f"^task it: {name} must be ") as caught:
                    make(kind, **{name: value})
                assert len(str(caught.value)) < 200
                with defaults, pytest.raises(ValueError, match=f"{name} must be "):
                    make(kind)


@pytest.mark.parametrize("kind", WAITING)
def test_no_pause_is_no_time(kind: type[Any]) -> None:
    with pytest.raises(ValueError, match=f"^task it: {interval(kind)} must be .*, not None"):
        make(kind, **{interval(kind): None})


@pytest.mark.parametrize("value", TIMES, ids=lambda value: f"{type(value).__name__}")
@pytest.mark.parametrize("kind", WAITING)
@pytest.mark.parametrize("by_default", [False, True])
def test_times(by_default: bool, kind: type[Any], value: Any, serve: Serve, operating: Operating, clock: Clock) -> None:
    operating.connect(serve(indexed(rows(9))))
    arguments = {interval(kind): value, "timeout": value, "execution_timeout": value}
    if by_default:
        with DAG("d", schedule=None, default_args=arguments):
            task = make(kind)
    else:
        task = make(kind, **arguments)
    assert task.execution_timeout == timedelta(seconds=90)
    assert ResumeState(clock.now).deadline_for(task).seconds == 90


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("value", TIMES, ids=lambda value: f"{type(value).__name__}")
@pytest.mark.parametrize("kind", [CreateIndexOperator, IndexSensor])
def test_waiting_by_them(
    kind: type[Any], value: Any, deferrable: bool, serve: Serve, operating: Operating, clock: Clock
) -> None:
    looks = Looks(clock, indexed(rows(9)))
    operating.connect(serve(looks))
    task = make(kind, **{interval(kind): value, "timeout": 1500, "deferrable": deferrable})
    if deferrable:
        with pytest.raises(TaskDeferred) as deferred:
            task.execute({})
        assert deferred.value.trigger.poll_interval == 90.0
        assert type(deferred.value.trigger.poll_interval) is float
    else:
        with pytest.raises(AirflowException, match="not done within"):
            task.execute({})
        assert 70 < max(looks.gaps) <= 90


def test_how_long_a_sensor_backs_off() -> None:
    assert make(IndexSensor, max_wait=90).max_wait == timedelta(seconds=90)
    with pytest.raises(ValueError, match="max_wait must be"):
        make(IndexSensor, max_wait="90")


# True or false ------------------------------------------------------------------------------------------------------

FLAGS: list[tuple[type[Any], str]] = [
    *((kind, "deferrable") for kind in WAITING),
    *((kind, "wait_for_completion") for kind in WAITING if kind not in SENSORS),
    *((CreateIndexOperator, name) for name in ("flush", "strict", "allow_unknown")),
    *((kind, name) for kind in SENSORS for name in ("soft_fail", "silent_fail", "never_fail", "exponential_backoff")),
]


@pytest.mark.parametrize("value", ["no", "false", "yes", "", 1, 0, "{{ params.x }}", [], np.True_], ids=repr)
def test_no_flags(value: Any, subtests: pytest.Subtests) -> None:
    for kind, name in FLAGS:
        with (
            subtests.test(kind.__name__, name=name),
            pytest.raises(ValueError, match=f"task it: {name} must be True or False, not "),
        ):
            make(kind, **{name: value})


@pytest.mark.parametrize(("kind", "name"), FLAGS)
def test_flags(kind: type[Any], name: str) -> None:
    for value in (True, False):
        assert getattr(make(kind, **{name: value}), name) is value


# Mapped tasks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("deferrable", "no"),
        ("poll_interval", "30"),
        ("timeout", 0),
        ("execution_timeout", "90"),
        ("milvus_conn_id", ""),
        ("database", "None"),
    ],
)
@pytest.mark.parametrize("kind", WAITING)
def test_what_mapped_tasks_have_in_common_is_refused_when_the_dag_is_parsed(
    kind: type[Any], name: str, value: Any
) -> None:
    name = interval(kind) if name == "poll_interval" else name
    with DAG("d", schedule=None), pytest.raises(ValueError, match=f"^task it: {name} "):
        kind.partial(task_id="it", **{name: value})


def test_mapped_tasks_must_not_share_a_file_of_bad_rows() -> None:
    for kind in (IngestOperator, ImportOperator):
        with (
            DAG("d", schedule=None),
            pytest.raises(ValueError, match=r"^task it: bad_rows_path: each mapped task would replace"),
        ):
            kind.partial(task_id="it", bad_rows_path="bad.jsonl")
        with DAG("d", schedule=None):
            kind.partial(task_id="it2", bad_rows_path="bad_{{ ti.map_index }}.jsonl").expand(collection_name=["a"])


def test_what_a_mapped_task_gets_from_another_one_is_not_retried() -> None:
    with DAG("d", schedule=None):
        mapped = CreateIndexOperator.partial(task_id="it", collection_name="docs").expand(index_params=[{}])
    with pytest.raises(AirflowFailException, match=r"^task it: fieldName is missing") as caught:
        mapped.unmap({"index_params": {"indexType": "HNSW"}})
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("kind", "given", "problem"),
    [
        (CreateIndexOperator, {"index_params": {"fieldName": "v", "indexTpye": "HNSW"}}, "indexTpye"),
        (CreateIndexOperator, {"index_params": 5}, "index_params"),
        (CreateCollectionOperator, {"schema": {"fields": [{"fieldName": "id", "isPrimaryKey": True}]}}, "isPrimaryKey"),
        (CreateCollectionOperator, {"dimension": "many"}, "dimension"),
        (CreateCollectionOperator, {"schema": {"fields": []}, "dimension": 8}, "pass either schema or dimension"),
        (CreateCollectionOperator, {"index_params": {"fieldName": "v", "indexTpye": "HNSW"}}, "indexTpye"),
        (CreateCollectionOperator, {"properties": "{"}, "properties"),
        (LoadCollectionOperator, {"partition_names": []}, "partition_names is an empty list"),
    ],
)
def test_what_mapped_tasks_create_is_checked_when_the_dag_is_parsed(
    kind: type[Any], given: dict[str, Any], problem: str
) -> None:
    with DAG("d", schedule=None), pytest.raises(ValueError, match=f"^task it: .*{problem}"):
        kind.partial(task_id="it", **given)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (CreateIndexOperator, {"index_params": "index.json"}),
        # `allow_unknown` may stand in default_args.
        (
            CreateIndexOperator,
            {"index_params": {"fieldName": "v", "indexType": "HNSW", "params": {"efConstructio": 9}}},
        ),
        (CreateCollectionOperator, {"index_params": {"fieldName": "v"}, "properties": "{{ params.them }}"}),
        (CreateCollectionOperator, {"collection_name": "docs"}),
    ],
)
def test_what_mapped_tasks_get_later_is_not_missed(kind: type[Any], given: dict[str, Any]) -> None:
    with DAG("d", schedule=None):
        mapped = kind.partial(task_id="it", **given).expand(database=["a", "b"])
    assert given.items() <= mapped.partial_kwargs.items()


def test_policies_of_mapped_tasks() -> None:
    for kind, name in ((CreateIndexOperator, "if_exists"), (DropIndexOperator, "if_missing")):
        with DAG("d", schedule=None), pytest.raises(ValueError, match=f"^task it: {name} must be 'skip' or "):
            kind.partial(task_id="it", **{name: "Skip"})


@pytest.mark.parametrize("kind", WAITING)
def test_mapped_tasks(kind: type[Any]) -> None:
    given = {name: value for name, value in MINIMAL[kind].items() if name != "collection_name"}
    for value in (90, timedelta(seconds=90)):
        arguments = {interval(kind): value, "timeout": value, "execution_timeout": value, "deferrable": None}
        with DAG("d", schedule=None):
            mapped = kind.partial(task_id="it", **given, **arguments).expand(collection_name=["a", "b"])
        task = mapped.unmap({"collection_name": "a"})
        assert task.execution_timeout == timedelta(seconds=90)
        assert ResumeState(0.0).deadline_for(task).seconds == 90


# Names --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["", " ", "\n", "None", 5, None], ids=repr)
@pytest.mark.parametrize("name", ["collection_name", "milvus_conn_id"])
def test_no_names(name: str, value: Any, subtests: pytest.Subtests) -> None:
    for kind in MINIMAL:
        with subtests.test(kind.__name__), pytest.raises(ValueError, match=f"task it: {name} is "):
            make(kind, **{name: value})


@pytest.mark.parametrize("value", ["", " ", [], [""], ["a", " "], [None], 5], ids=repr)
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (IndexSensor, "index_name"),
        (CollectionLoadSensor, "partition_names"),
        (LoadCollectionOperator, "partition_names"),
        (ReleaseCollectionOperator, "partition_names"),
    ],
)
def test_no_names_of_what_may_be_several(kind: type[Any], name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"task it: {name}"):
        make(kind, **{name: value})


@pytest.mark.parametrize("kind", MINIMAL)
def test_databases(kind: type[Any]) -> None:
    for value in (5, " ", "None", ["a"]):
        with pytest.raises(ValueError, match="task it: database"):
            make(kind, database=value)
    for value in (None, "", "books", "{{ params.database }}"):
        assert make(kind, database=value).database == value


@pytest.mark.parametrize("kind", MINIMAL)
def test_templates_and_results_of_tasks_pass(kind: type[Any]) -> None:
    with DAG("d", schedule=None):
        other = make(kind, task_id="other")
        for value in ("{{ params.name }}", "docs_{% if x %}a{% endif %}", other.output):
            assert make(kind, task_id=f"it{id(value)}", collection_name=value).collection_name is value


# All at once --------------------------------------------------------------------------------------------------------


def test_everything_is_said_at_once() -> None:
    with pytest.raises(ValueError, match="task it: ") as caught:
        make(
            IndexSensor,
            collection_name="",
            milvus_conn_id=5,
            index_name=[],
            poke_interval="30",
            timeout=0,
            execution_timeout=-1,
            deferrable="no",
        )
    names = [
        "collection_name",
        "milvus_conn_id",
        "index_name",
        "poke_interval",
        "timeout",
        "execution_timeout",
        "deferrable",
    ]
    assert [name for name in names if name not in str(caught.value)] == []
    with pytest.raises(ValueError, match="task it: ") as caught:
        make(CreateIndexOperator, if_exists="?", flush="x", poll_interval="30", timeout=0, execution_timeout=0)
    names = ["if_exists", "flush", "poll_interval", "timeout", "execution_timeout"]
    assert [name for name in names if name not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "pass either rows or source"),
        ({"rows": [], "source": "x.csv"}, "pass either rows or source"),
        ({"rows": (row for row in ())}, "rows is a generator"),
        ({"rows": [], "mode": "replace"}, "mode must be 'upsert' or 'insert'"),
        ({"rows": [], "on_bad_row": "ignore"}, "on_bad_row must be 'fail' or 'skip'"),
        ({"rows": [], "max_bad_rows": 3}, 'max_bad_rows and bad_rows_path require on_bad_row="skip"'),
        ({"rows": [], "documents": ["a"]}, "documents requires replace_documents"),
        ({"rows": [], "batch_rows": 0}, "batch_rows must be an integer from 1"),
        ({"rows": [], "allow_missing": "no"}, "allow_missing must be True or False"),
        ({"rows": [], "min_rows": -1}, "min_rows must be a number of rows"),
    ],
)
def test_arguments_of_an_ingest(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        IngestOperator(task_id="t", collection_name="docs", **arguments)


@pytest.mark.parametrize("value", ["no", 0, None])
def test_a_deletion_is_a_dry_run_or_not(value: Any) -> None:
    with pytest.raises(ValueError, match="task t: dry_run must be True or False, not "):
        DeleteOperator(task_id="t", collection_name="docs", ids=[1], dry_run=value)
