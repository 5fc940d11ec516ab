"""What a failing task raises is Airflow's exception and Milvus's error at once."""

from __future__ import annotations

import pickle
import re
import traceback
from typing import Any

import pytest

from airflow_vectordb._compat import AirflowException, AirflowFailException, AirflowSensorTimeout
from airflow_vectordb.exceptions import as_airflow_exception
from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.rest import collections, errors
from airflow_vectordb.rest.errors import MilvusError, Where
from airflow_vectordb.waiting import IndexesBuilt
from airflow_vectordb.waiting.polling import Deadline
from tests.support.drivers import DeferrableOperator
from tests.support.fake_milvus import FakeMilvus, rows
from tests.support.harness import PASSWORD, Clock, Operating, Pauses
from tests.support.scripted import Serve, error, page

ERRORS = [getattr(errors, name) for name in vars(errors) if name.endswith("Error")]


def example(kind: type[MilvusError]) -> MilvusError:
    if kind is errors.InvalidParametersError:
        return errors.InvalidParametersError(["M must be a number", "no field 'vectr'"])
    where = Where("indexes/create", "collection 'docs'", "http://milvus:19530")
    return kind("no luck", code=7, http_status=429, where=where, retry_after=90.0)


@pytest.mark.parametrize("exception", [AirflowException, AirflowFailException, AirflowSensorTimeout])
@pytest.mark.parametrize("kind", ERRORS)
def test_an_instance_of_both(kind: type[MilvusError], exception: type[AirflowException]) -> None:
    given = example(kind)
    by_the_hook = as_airflow_exception(given)
    made: Any = as_airflow_exception(by_the_hook, exception, "index")

    for found in (made, pickle.loads(pickle.dumps(made))):
        assert isinstance(found, kind)
        assert isinstance(found, exception)
        assert isinstance(found, AirflowFailException) is (exception is AirflowFailException)
        assert str(found) == given.text("index")
        assert str(given) == re.sub("[ \n]task index$", "", str(found).replace("task index: ", ""))
        assert found.as_json() == {**given.as_json(), "task_id": "index"}
        assert errors.error_from(given.as_json()).as_json() == given.as_json()
        shown = "".join(traceback.format_exception_only(found))
        assert shown.startswith(f"airflow_vectordb.rest.errors.{kind.__name__}: {given.text('index')[:50]}")
    assert made.serialize() == (f"{exception.__module__}.{exception.__name__}", (str(made),), {})


TASKS = {
    "a limiter": (error(1807, "rate limit exceeded"), errors.RateLimitError, AirflowException),
    "a long Retry-After": (page(503, Retry_After="900"), errors.GatewayError, AirflowException),
    "no such collection": (error(100, "can't find collection"), errors.CollectionNotFoundError, AirflowFailException),
    "no privilege": (error(1401, "permission deny"), errors.PermissionDeniedError, AirflowFailException),
}


@pytest.mark.parametrize("case", TASKS)
def test_what_a_task_raises(case: str, serve: Serve, operating: Operating, pauses: Pauses) -> None:
    answer, kind, exception = TASKS[case]

    with pytest.raises(exception) as caught:
        operating.create(serve(answer))

    found: Any = caught.value
    assert isinstance(found, kind)
    assert isinstance(found, AirflowFailException) is not found.transient
    assert "task index: " in str(found)
    assert found.retry_after == (900 if case == "a long Retry-After" else None)
    assert PASSWORD not in str(pickle.dumps(found))


def test_it_survives_the_triggerer(serve: Serve, operating: Operating, clock: Clock) -> None:
    milvus = FakeMilvus(progress=lambda name: rows(500))
    operating.connect(serve(milvus))
    driver = DeferrableOperator(operating, clock)
    task = driver.task(600)

    with pytest.raises(errors.WaitTimeoutError) as caught:
        driver.finish(task)

    assert isinstance(caught.value, AirflowException)
    assert not isinstance(caught.value, AirflowFailException)
    assert driver.deferrals


def test_a_retry_policy_of_airflow_matches_it(serve: Serve, operating: Operating, pauses: Pauses) -> None:
    policies = pytest.importorskip("airflow.sdk.definitions.retry_policy", reason="came with Airflow 3.3")
    rule = policies.RetryRule("airflow_vectordb.rest.errors.RateLimitError", reason="limited")
    policy = policies.ExceptionRetryPolicy.deserialize(policies.ExceptionRetryPolicy([rule]).serialize())
    with pytest.raises(AirflowException) as limited:
        operating.create(serve(error(1807, "rate limit exceeded")))
    with pytest.raises(AirflowException) as not_ready:
        operating.create(serve(error(1, "not ready")))

    assert policy.evaluate(limited.value, 1, 3).reason == "limited"
    assert policy.evaluate(not_ready.value, 1, 3).action is policies.RetryAction.DEFAULT


@pytest.mark.parametrize("case", TASKS)
def test_what_the_hook_raises(case: str, serve: Serve, operating: Operating, pauses: Pauses) -> None:
    answer, kind, exception = TASKS[case]
    operating.connect(serve(answer))

    with MilvusHook() as hook, pytest.raises(exception) as caught:
        hook.send(collections.describe("docs"))

    found: Any = caught.value
    assert isinstance(found, kind)
    assert isinstance(found, AirflowFailException) is not found.transient
    assert "task" not in str(found).partition(found.hint)[2]
    shown = "".join(traceback.format_exception(found))
    assert "client.py" in shown  # where it happened
    assert shown.count(f"{kind.__name__}: ") == 1


def test_what_the_hook_raises_about_its_connection(operating: Operating) -> None:
    operating.connect("http://127.0.0.1:1", extra={"timeout": "soon"})

    with MilvusHook() as hook, pytest.raises(errors.InvalidParametersError, match="timeout") as caught:
        hook.send(collections.describe("docs"))

    assert isinstance(caught.value, AirflowFailException)


def test_what_waiting_with_the_hook_raises(serve: Serve, operating: Operating, clock: Clock) -> None:
    milvus = FakeMilvus(progress=lambda name: rows(500))
    milvus.add("vector")
    operating.connect(serve(milvus))

    with MilvusHook() as hook, pytest.raises(errors.WaitTimeoutError) as caught:
        hook.wait(IndexesBuilt("docs", ("vector",)), Deadline(clock.now + 60, "timeout", 60), poll_interval=5)

    assert isinstance(caught.value, AirflowException)
    assert not isinstance(caught.value, AirflowFailException)
