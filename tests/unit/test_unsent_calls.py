"""Calls that nobody sends: a task that makes one is green, and nothing has happened."""

from __future__ import annotations

import gc
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from airflow_vectordb._compat import AirflowNotFoundException
from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.rest import Client, IndexSpec, MilvusConfig, collections, indexes
from airflow_vectordb.rest.errors import MilvusError
from airflow_vectordb.rest.http.call import Call
from airflow_vectordb.waiting import IndexesBuilt, Memory
from tests.support.fake_milvus import FakeMilvus
from tests.support.harness import Operating, Transport
from tests.support.scripted import Serve

try:
    from airflow.sdk.serde import serialize
except ImportError:  # Airflow 3.1
    from airflow.serialization.serde import serialize  # type: ignore[no-redef,import-not-found,unused-ignore]


def alone() -> None:
    collections.create("docs", dimension=4)


def assigned() -> None:
    call = collections.drop("docs")  # noqa: F841


def assigned_anew() -> None:
    call = collections.drop("docs")
    call = None  # type: ignore[assignment] # noqa: F841


def listed() -> None:
    calls = [collections.drop(name) for name in ("docs", "pages")]  # noqa: F841


def looped() -> None:
    for name in ("docs", "pages"):
        collections.drop(name)


def helping() -> Call[None]:
    return collections.load("docs")


def by_a_helper() -> None:
    helping()


def on_an_exception() -> None:
    with suppress(MilvusError):
        indexes.drop("docs", "vector")
        raise MilvusError("afterwards")


def kept_from_a_helper() -> None:
    call = helping()
    assert isinstance(call, Call)


def built_by_a_helper_of_a_helper() -> None:
    def several() -> list[Call[None]]:
        return [helping(), collections.drop("pages")]

    calls = several()
    assert len(calls) == 2


def from_a_generator_expression() -> None:
    calls = list(collections.drop(name) for name in ("docs", "pages"))  # noqa: C400
    assert len(calls) == 2


def from_a_lambda() -> None:
    calls = list(map(lambda name: collections.drop(name), ("docs", "pages")))  # noqa: C417
    assert len(calls) == 2


def from_a_generator() -> None:
    def generate() -> Iterator[Call[None]]:
        yield collections.drop("docs")

    for call in generate():
        assert call is not None


def given_to_a_function() -> None:
    def forget(call: Call[None]) -> None:
        assert call is not None
        del call

    forget(collections.drop("docs"))


def by_partial() -> None:
    drop = partial(collections.drop, "docs")
    for _ in range(2):
        drop()


@pytest.mark.parametrize(
    ("task", "number"),
    [
        (kept_from_a_helper, 1),
        (built_by_a_helper_of_a_helper, 2),
        (from_a_generator_expression, 2),
        (from_a_lambda, 2),
        (from_a_generator, 1),
        (given_to_a_function, 1),
        (by_partial, 2),
    ],
)
def test_it_is_said_on_whatever_way_it_went(task: Callable[[], None], number: int) -> None:
    with pytest.warns(RuntimeWarning, match="was made and never sent") as told:
        task()
    assert [warning.filename for warning in told] == [__file__] * number


@pytest.mark.filterwarnings("error")
def test_a_task_that_returns_one_is_told_what_to_return() -> None:
    with pytest.raises(TypeError, match=r"collections/drop was returned and never sent.*hook.send"):
        serialize([collections.drop("docs")])


@pytest.mark.parametrize(
    ("task", "number"),
    [(alone, 1), (assigned, 1), (assigned_anew, 1), (listed, 2), (looped, 2), (by_a_helper, 1), (on_an_exception, 1)],
)
def test_it_is_said(task: Callable[[], None], number: int) -> None:
    words = r"^Call\('\w+/\w+', .*collection '\w+' .* was made and never sent.*hook.send"
    with pytest.warns(RuntimeWarning, match=words) as told:
        task()
    assert len(told) == number
    assert {(warning.filename, warning.lineno > 20) for warning in told} == {(__file__, True)}


def test_where_it_was_made() -> None:
    with pytest.warns(RuntimeWarning) as told:
        alone()
    assert told[0].lineno == alone.__code__.co_firstlineno + 1


def looked_at() -> None:
    assert collections.create("docs") == collections.create("docs")
    assert "docs" in repr(collections.create("docs"))
    assert collections.create("docs").body == {"collectionName": "docs"}
    assert "docs" in collections.create("docs").target()
    assert collections.create("docs").read is not None


def without_a_connection() -> None:
    try:
        MilvusHook("no_such_connection").send(collections.list_())
    except AirflowNotFoundException as error:
        assert "no_such_connection" in str(error)


def without_a_server() -> None:
    for call in (collections.list_(), indexes.create("docs", [IndexSpec("v")])):
        with Client(MilvusConfig("http://127.0.0.1:1", retries=0)) as client, suppress(MilvusError):
            client.send(call)


def of_the_package() -> None:
    for call in IndexesBuilt("docs", ("v",)).poll(Memory()):
        assert call is not None
        break


@pytest.mark.parametrize(
    "task",
    [looked_at, without_a_connection, without_a_server, of_the_package],
    ids=lambda task: task.__name__,
)
@pytest.mark.usefixtures("pauses")
def test_no_false_alarm(task: Callable[[], None]) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        task()
        gc.collect()
    assert [str(warning.message) for warning in told] == []


def test_sent_ones_are_silent(serve: Serve, transport: Transport) -> None:
    server = serve(FakeMilvus())
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        call = collections.describe("docs")
        transport.send(MilvusConfig(server.url), call, call, indexes.list_("docs"))
        del call
    assert told == []


def test_operators_leave_none(serve: Serve, operating: Operating) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        operating.create(serve(FakeMilvus()))
        with suppress(MilvusError):
            operating.create(serve(FakeMilvus("another")))
        gc.collect()
    assert [str(warning.message) for warning in told if issubclass(warning.category, RuntimeWarning)] == []


def test_the_end_of_a_process_is_silent() -> None:
    program = "from airflow_vectordb.rest import collections as c; kept = c.list_(); also = [c.drop('x')]"
    done = subprocess.run([sys.executable, "-W", "always", "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_there_is_nothing_else_that_a_call_has() -> None:
    call: Any = collections.list_()
    with pytest.raises(AttributeError, match="'bodies'"):
        call.bodies  # noqa: B018
    assert call.body == {}
