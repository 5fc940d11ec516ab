"""The hook's plain methods where a real engine does not show it: waits, many rows, servers that answer oddly."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from airflow_vectordb._compat import AirflowException, AirflowFailException
from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.rest import collections, errors
from tests.support.scripted import ScriptedServer, Serve, error, ok


def test_a_wait_ends_with_its_timeout(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(
        {
            "collections/load": ok({}),
            "collections/get_load_state": ok({"loadState": "LoadStateLoading", "loadProgress": 40}),
        }
    )
    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", f"milvus://127.0.0.1:{server.port}")
    with MilvusHook() as hook, pytest.raises(errors.WaitTimeoutError):
        hook.load("docs", timeout=0.05)
    hook.load("docs", wait=False)


@pytest.mark.parametrize("timeout", [None, "5", True, -1, float("nan")], ids=repr)
def test_what_is_no_timeout_is_refused_unsent(serve: Serve, monkeypatch: pytest.MonkeyPatch, timeout: Any) -> None:
    server = serve([])
    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", f"milvus://127.0.0.1:{server.port}")
    with MilvusHook() as hook:
        for use in (
            lambda: hook.load("docs", timeout=timeout),
            lambda: hook.release("docs", timeout=timeout),
            lambda: hook.create_index("docs", {"fieldName": "vector"}, timeout=timeout),
            lambda: hook.create_collection("docs", 8, timeout=timeout),
        ):
            with pytest.raises(AirflowFailException, match=r"timeout must be a number of seconds or a timedelta, not "):
                use()
    assert server.connections == 0


def test_a_timeout_may_be_a_timedelta(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve({"collections/release": ok({}), "collections/get_load_state": ok({"loadState": "LoadStateNotLoad"})})
    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", f"milvus://127.0.0.1:{server.port}")
    with MilvusHook() as hook:
        hook.release("docs", timeout=timedelta(seconds=5))
    assert len(server.requests) == 2


def test_a_missing_name_does_not_stand_for_the_database_of_the_connection(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(error(1802, "missing required parameters"))
    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", f"milvus://127.0.0.1:{server.port}/books")
    nothing: Any = None
    with MilvusHook() as hook:
        for use in (
            lambda: hook.drop_database(nothing),
            lambda: hook.create_database(nothing),
            lambda: hook.describe_database(nothing),
            lambda: hook.alter_database_properties(nothing, {"database.max.collections": 1}),
            lambda: hook.drop_database_properties(nothing, ["database.max.collections"]),
        ):
            with pytest.raises(AirflowFailException):
                use()
    assert [request.body["dbName"] for request in server.requests] == [None] * 5


def test_many_rows_go_in_several_requests(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [ok({"upsertCount": n, "upsertIds": list(range(n))}) for n in (10_000, 3)]
    server = serve({"entities/upsert": [*answers, answers[0], error(1804, "bad row")]})
    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", f"milvus://127.0.0.1:{server.port}")
    many = [{"id": n} for n in range(10_003)]
    with MilvusHook() as hook:
        assert hook.upsert("docs", many).count == 10_003
        with pytest.raises(errors.MilvusError, match="10,000 rows before these are written") as refused:
            hook.upsert("docs", many)
        assert hook.upsert("docs", []).count == 0
    assert isinstance(refused.value, AirflowFailException)
    assert [len(body["data"]) for body in server.bodies("entities/upsert")] == [10_000, 3] * 2


def test_pages_that_do_not_come_in_order_are_an_error(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    described = {"collectionName": "docs", "fields": [{"name": "id", "type": "Int64", "primaryKey": True}]}
    pages = [ok([{"id": 5}, {"id": 3}]), ok([{"id": 1}]), ok([{"id": 1}])]
    server = serve({"collections/describe": ok(described), "entities/query": pages})
    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", f"milvus://127.0.0.1:{server.port}")
    with MilvusHook() as hook:
        for _ in range(2):
            with pytest.raises(errors.UnexpectedError, match="order of id") as wrong:
                list(hook.query_iterator("docs"))
            assert isinstance(wrong.value, AirflowException)


@pytest.fixture
def server(serve: Serve) -> ScriptedServer:
    return serve([])


@pytest.fixture
def hook(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[MilvusHook]:
    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", f"milvus://127.0.0.1:{server.port}")
    with MilvusHook() as opened:
        yield opened


@pytest.mark.parametrize("given", [{"batch_size": None}, {"batch_size": 0}, {"batch_size": 16_385}, {"limit": -1}])
def test_pages_of_no_size(hook: MilvusHook, server: ScriptedServer, given: Any) -> None:
    (name,) = given
    with pytest.raises(errors.InvalidParametersError, match=f"{name} must be an integer from "):
        list(hook.query_iterator("docs", **{"limit": 5, **given}))
    assert not server.requests


@pytest.mark.parametrize("call", ["collections/list", collections.list_, None], ids=["text", "function", "None"])
def test_what_is_sent_is_a_call(hook: MilvusHook, server: ScriptedServer, call: Any) -> None:
    with pytest.raises(
        errors.InvalidParametersError, match=r"send takes a call, such as rest\.collections\.list_\(\), not "
    ):
        hook.send(call)
    assert not server.requests


@pytest.mark.parametrize("given", [{"dimension": 8}, {"auto_id": False}, {"vector_field_name": "v"}], ids=repr)
def test_what_a_schema_says(hook: MilvusHook, server: ScriptedServer, given: Any) -> None:
    fields = [{"fieldName": "id", "dataType": "Int64", "isPrimary": True}]
    with pytest.raises(errors.InvalidParametersError, match=f"pass {next(iter(given))} in the schema"):
        hook.create_collection("docs", schema={"fields": fields}, **given)
    assert not server.requests
