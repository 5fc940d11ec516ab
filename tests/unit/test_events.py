"""What the triggerer tells the worker: errors arrive as they were, and what is no event is no end of a wait."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest

from airflow_vectordb._compat import AirflowException, AirflowFailException
from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.operators.import_job import ImportOperator
from airflow_vectordb.rest import errors
from airflow_vectordb.triggers.milvus import result_from_event
from tests.support.drivers import DeferrableOperator, DeferrableSensor, Driver, Operator, Sensor, TaskDeferred
from tests.support.fake_milvus import NO_COLLECTION, FakeMilvus, rows, told
from tests.support.harness import Clock, Logged, Operating
from tests.support.scripted import Answer, Behaviour, CutOff, Serve, error, ok, page

CLASSES = sorted(
    (cls for cls in vars(errors).values() if inspect.isclass(cls) and issubclass(cls, errors.MilvusError)),
    key=lambda cls: cls.__name__,
)
WHERE = errors.Where("indexes/describe", "index 'v' of collection 'docs'", "http://h:1")


def example(cls: type[errors.MilvusError], full: bool) -> errors.MilvusError:
    if cls is errors.InvalidParametersError:
        made: errors.MilvusError = errors.InvalidParametersError(["no field 'vectr'", "M is 0"], "index parameters")
    elif full:
        made = cls("no luck", code=7, http_status=503, hint="Pray.", retry_after=2.5, transient=not cls.transient)
    else:
        made = cls("no luck")
    if full:
        made.where, made.attempts = WHERE, 3
    return made


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("cls", CLASSES)
def test_errors_survive(cls: type[errors.MilvusError], full: bool) -> None:
    made = example(cls, full)
    again = errors.error_from(json.loads(json.dumps(made.as_json())))
    assert type(again) is cls
    assert str(again) == str(made)
    assert repr(again) == repr(made)
    assert vars(again) == {"transient": cls.transient, **vars(made)}


def test_there_are_that_many_classes() -> None:
    assert len(CLASSES) >= 32


FAILED = errors.IndexFailedError("disk full").as_json()
NO_EVENTS: list[Any] = [
    None,
    True,
    "done",
    [],
    {},
    {"status": "success"},
    {"status": "success", "result": None},
    {"status": "success", "result": "yes"},
    {"status": "Done", "result": []},
    {"status": "done", "result": []},
    {"result": []},
    {"status": "error"},
    {"status": "error", "error": "PigsFlyError", "message": "oink"},
    {"status": "error", "error": "annotations", "message": "x"},
    {"status": "error", "error": "Where", "message": "x"},
    {"status": "error", **FAILED, "message": None},
    {"status": "error", **FAILED, "where": "somewhere"},
    {"status": "error", **FAILED, "where": {"path": "x"}},
    {"status": "error", **FAILED, "attempts": "many"},
    {"status": "error", **FAILED, "attempts": []},
]


@pytest.mark.parametrize("event", NO_EVENTS, ids=str)
def test_what_is_no_event_is_no_end(event: Any, serve: Serve, operating: Operating, clock: Clock) -> None:
    with pytest.raises(ValueError, match="not an e"):
        result_from_event(event)
    milvus = FakeMilvus(progress=told(rows(9)))
    milvus.add("vector", M=16, efConstruction=200)
    server = serve(milvus)
    operating.connect(server)
    for kind in (DeferrableOperator, DeferrableSensor):
        task = kind(operating, clock).task()
        with pytest.raises(TaskDeferred) as deferred:
            operating.execute(task)
        asked = len(server.requests)
        with pytest.raises(AirflowException, match="task index: not an e") as caught:
            task.execute_complete({}, event=event, **(deferred.value.kwargs or {}))
        assert not isinstance(caught.value, AirflowFailException)  # may be a triggerer of another version
        assert len(server.requests) == asked


@pytest.mark.parametrize("lacks", ["code", "http_status", "where", "cause", "hint", "retry_after", "attempts"])
def test_an_error_of_another_version_may_lack_something_and_have_more(lacks: str) -> None:
    event = {"status": "error", "docs_url": "https://milvus.example", **FAILED}
    del event[lacks]
    with pytest.raises(errors.IndexFailedError, match="disk full") as caught:
        result_from_event(event)
    assert caught.value.with_context(hint="Look.").as_json().keys() == FAILED.keys()


def test_an_event_without_its_wait_fails_loudly(serve: Serve, operating: Operating, clock: Clock) -> None:
    """A task deferred by an older version, whose resumption says nothing of what was waited for, starts over."""
    milvus = FakeMilvus(progress=told(rows(9)))
    milvus.add("vector", M=16, efConstruction=200)
    operating.connect(serve(milvus))
    with pytest.raises(TaskDeferred):  # it looks for itself, and waits on
        DeferrableSensor(operating, clock).task().execute_complete({}, event={"status": "success", "result": []})


def test_the_state_of_another_version_is_no_reason_to_go_on(serve: Serve, operating: Operating, clock: Clock) -> None:
    server = serve(FakeMilvus())
    operating.connect(server)
    for task in (DeferrableOperator(operating, clock).task(), DeferrableSensor(operating, clock).task()):
        for resumption in (
            {"state": {"began": 1.0, "colour": "red"}, "wait_name": "built"},
            {"event": {"status": "success", "result": [], "resume_kwargs": {"wait_name": "built"}}},
            {"event": {"status": "success", "result": [], "resume_kwargs": ["built"]}},
        ):
            with pytest.raises(AirflowException, match=r"deferred by another version.*a retry starts over") as caught:
                task.execute_complete({}, **{"event": {"status": "success", "result": []}, **resumption})
            assert not isinstance(caught.value, AirflowFailException)
    assert server.requests == []


@pytest.mark.parametrize("kind", [DeferrableOperator, DeferrableSensor])
@pytest.mark.parametrize("event", [{"status": "success", "result": []}, {"status": "error", **FAILED}], ids=str)
@pytest.mark.parametrize("changed", ["argument", "server", "database"])
def test_the_end_of_a_wait_for_something_else_is_no_end(
    changed: str, event: Any, kind: type[Driver], serve: Serve, operating: Operating, clock: Clock, logged: Logged
) -> None:
    """The DAG, a Variable in a template, or the connection is edited while the task is deferred."""
    milvus = FakeMilvus(aliases=("others",), progress=told(rows(9)))
    milvus.add("vector", M=16, efConstruction=200)
    server = serve(milvus)
    operating.connect(server)
    task = kind(operating, clock).task(timeout=600)
    with pytest.raises(TaskDeferred) as first:
        operating.execute(task)
    clock.sleep(60)
    if changed == "argument":
        task.collection_name = "others"
    else:
        operating.connect(
            serve(milvus) if changed == "server" else server, schema="archive" if changed == "database" else None
        )
    with pytest.raises(TaskDeferred) as second:
        task.execute_complete({}, event=event, **(first.value.kwargs or {}))
    kept, again = ((deferred.value.kwargs or {})["state"] for deferred in (first, second))
    assert again["deadline"] == kept["deadline"]
    assert "changed while this task was deferred: starting over" in logged.of("warning")[-1]
    task.database = "elsewhere"  # a template that contains the time never renders twice to the same
    with pytest.raises(AirflowException, match=r"changed while this task was deferred, twice"):
        task.execute_complete({}, event=event, **(second.value.kwargs or {}))


def test_a_file_of_bad_rows_named_by_the_time_restarts_nothing(operating: Operating) -> None:
    operating.connect("http://h:1")
    given: dict[str, Any] = {"collection_name": "docs", "rows": [], "stage_to": "s3://b/x", "on_bad_row": "skip"}
    tasks = [ImportOperator(task_id="t", **given, bad_rows_path=f"bad_{time}.jsonl") for time in "12"]
    with MilvusHook() as hook:
        assert len({task.subject(hook) for task in tasks}) == 1


def test_the_index_that_a_task_created_before_it_starts_over_is_its_own(
    serve: Serve, operating: Operating, clock: Clock
) -> None:
    operating.connect(serve(FakeMilvus(progress=told(rows(9)))))
    task = operating.operator(if_exists="fail", deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        operating.execute(task)
    task.min_rows = 10
    with pytest.raises(TaskDeferred):
        task.execute_complete({}, event={"status": "success", "result": []}, **(deferred.value.kwargs or {}))


def test_what_is_done_counts_without_a_readable_connection(serve: Serve, operating: Operating, clock: Clock) -> None:
    operating.connect(serve(FakeMilvus()))
    task = DeferrableSensor(operating, clock).task()
    with pytest.raises(TaskDeferred) as deferred:
        operating.execute(task)
    operating.connect("ftp://elsewhere")
    assert task.execute_complete({}, event={"status": "success", "result": []}, **(deferred.value.kwargs or {})) == []


@pytest.mark.parametrize("kind", [DeferrableOperator, DeferrableSensor])
def test_a_failure_ends_the_task_whatever_else_is_missing(
    kind: type[Driver], serve: Serve, operating: Operating, clock: Clock
) -> None:
    server = serve(FakeMilvus())
    operating.connect(server)
    with pytest.raises(errors.IndexFailedError, match="disk full"):
        kind(operating, clock).task().execute_complete({}, event={"status": "error", **FAILED})
    assert server.requests == []


ENDS: dict[str, tuple[list[Behaviour], dict[str, Any]]] = {
    "failed build": ([], {**rows(1, "Failed"), "failReason": "disk full %s {x}"}),
    "dropped": ([], rows(1, "Deleted")),
    "no database": ([error(800, "database not found")], {}),
    "no collection": ([NO_COLLECTION], {}),
    "revoked": ([error(1800, "user hasn't authenticated", 401)], {}),
    "another index": ([ok([{"indexName": "other", "fieldName": "vector"}])], {}),
    "moved": ([Answer("", 301, {"Location": "https://elsewhere"})], {}),
    "never": ([], rows(7)),
    "never, 503": ([page(503)] * 99, {}),
    "never, 503 from Milvus": ([error(1, "not ready", 503)] * 99, {}),
    "never, HTML": ([page(200)] * 99, {}),
    "never, shape": ([ok({"a": 1})] * 99, {}),
    "never, cut off": ([CutOff(reset=True)] * 99, {}),
    "never, closed": ([CutOff(b"")] * 99, {}),
    "never, half": ([CutOff()] * 99, {}),
}


@pytest.mark.parametrize("pair", [(Operator, DeferrableOperator), (Sensor, DeferrableSensor)], ids=lambda p: p[0].name)
@pytest.mark.parametrize("case", ENDS)
def test_the_same_words_from_both(
    case: str, pair: tuple[type[Driver], type[Driver]], serve: Serve, operating: Operating, clock: Clock
) -> None:
    found = []
    faults, end = ENDS[case]
    for kind in pair:
        milvus = FakeMilvus(progress=told(rows(9), rows(9), end or rows(9)))
        milvus.faults["indexes/describe"] = [None, None, *faults]
        if kind.sensor:
            milvus.add("vector", M=16, efConstruction=200)
        server = serve(milvus)
        with pytest.raises(AirflowException) as caught:
            kind(operating, clock).run(server, timeout=15, extra={"retries": 0})
        found.append((type(caught.value), str(caught.value).replace(server.url, "URL")))
    assert found[0] == found[1]
    assert "URL" in found[0][1]
