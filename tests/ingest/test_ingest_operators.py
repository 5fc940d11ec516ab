"""What the operators and the hook do about rows, files and arguments, over a real server."""

from __future__ import annotations

import itertools
import json
import re
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from airflow_vectordb._compat import AirflowException, AirflowFailException
from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.operators.ingest import DeleteOperator, IngestOperator
from airflow_vectordb.rest import collections, entities
from airflow_vectordb.rest.errors import InvalidParametersError, MilvusError
from tests.support.documents import make, rows, there
from tests.support.loading_milvus import Store, Worker


class TestOperators:
    def test_ingest_and_delete(self, hook: MilvusHook) -> None:
        make(hook)
        ingest = IngestOperator(task_id="ingest", collection_name="docs", rows=lambda: iter(rows(("a", 3), ("b", 2))))
        result = ingest.execute({})
        assert {name: result[name] for name in ("rows", "batches", "skipped")} == {
            "rows": 5,
            "batches": 1,
            "skipped": 0,
        }
        given: dict[str, Any] = {"collection_name": "docs", "filter": "doc == {d}", "filter_params": {"d": "a"}}
        count = DeleteOperator(task_id="count", dry_run=True, **given).execute({})
        assert (count["rows"], len(there(hook))) == (3, 2)
        deleted = DeleteOperator(task_id="delete", batch_rows=2, **given).execute({})
        assert (deleted["rows"], deleted["batches"]) == (3, 2)
        ids = [row["id"] for row in rows(("b", 1))]
        assert DeleteOperator(task_id="ids", collection_name="docs", ids=ids).execute({})["rows"] == 1
        assert there(hook) == {"b": [[0, 1]]}

    def test_a_try_that_ended_before_airflow_had_its_result_is_not_done_again(
        self, hook: MilvusHook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make(hook, auto_id=True)
        given: dict[str, Any] = {"collection_name": "docs", "rows": rows(("a", 3), auto_id=True)}
        worker = Worker(lambda: IngestOperator(task_id="ingest", **given), monkeypatch)
        result = worker.run()
        assert worker.run() == result  # as after a kill
        assert worker.store is not None
        assert not worker.store.lasting
        assert there(hook) == {"a": [[0, 0], [0, 1], [0, 2]]}
        worker.clear()
        assert worker.run()["rows"] == 3
        assert there(hook) == {"a": [[0, 0], [0, 0], [0, 1], [0, 1], [0, 2], [0, 2]]}

    def test_an_ingest_goes_on_while_airflow_cannot_store_its_progress(
        self, hook: MilvusHook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Away(Store):
            failures = 3

            def set(self, key: str, value: Any, *, retention: Any = None) -> None:
                self.failures -= 1
                if self.failures >= 0:
                    raise AirflowException("the API server is away")
                super().set(key, value, retention=retention)

        make(hook)
        monkeypatch.setattr("airflow_vectordb.ingest.writer.SAVE_PAUSE", 0.0)
        given: dict[str, Any] = {"collection_name": "docs", "rows": rows(("a", 3)), "mode": "insert"}
        worker = Worker(lambda: IngestOperator(task_id="ingest", **given), monkeypatch, Away())
        assert worker.run()["rows"] == 3
        assert there(hook) == {"a": [[0, 0], [0, 1], [0, 2]]}

    @pytest.mark.parametrize("auto_id", [False, True])
    def test_a_retry_finds_another_collection_of_that_name(
        self, hook: MilvusHook, auto_id: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Made again, or an alias that was moved: what an earlier try wrote is not in it."""
        make(hook, auto_id=auto_id)
        monkeypatch.setattr("airflow_vectordb.ingest.writer.SAVE_INTERVAL", 0)
        data = [{}, *rows(("a", 4), auto_id=auto_id)]
        kept: list[dict[str, Any]] = []

        def save(progress: dict[str, Any]) -> None:
            if len(kept) == 3:
                raise KeyboardInterrupt
            kept.append(progress)

        bad = str(tmp_path / "bad.jsonl")
        given: dict[str, Any] = {"on_bad_row": "skip", "bad_rows_path": bad, "batch_rows": 1, "max_in_flight": 1}
        with pytest.raises(KeyboardInterrupt):
            hook.ingest("docs", data, save=save, **given)
        assert there(hook)
        hook.send(collections.drop("docs"))
        make(hook, auto_id=auto_id)
        result = hook.ingest("docs", data, progress=json.loads(json.dumps(kept[-1])), **given)
        assert (result["rows"], result["skipped"]) == (4, 1)
        assert there(hook) == {"a": [[0, 0], [0, 1], [0, 2], [0, 3]]}

    def test_a_function_gets_what_it_asks_for(self, hook: MilvusHook) -> None:
        make(hook)

        def given(params: dict[str, Any]) -> list[dict[str, Any]]:
            return rows((params["doc"], 2))

        IngestOperator(task_id="t", collection_name="docs", rows=given).execute({"params": {"doc": "z"}})  # type: ignore[arg-type,typeddict-item]
        assert there(hook) == {"z": [[0, 0], [0, 1]]}

    @pytest.mark.parametrize("source", ["", " ", "None", ["a.csv", ""], "['a.csv', 'b.csv']"])
    def test_a_source_that_renders_to_nothing_is_not_missing(self, hook: MilvusHook, source: Any) -> None:
        make(hook)
        task = IngestOperator(task_id="t", collection_name="docs", source="{{ x }}", allow_missing=True)
        task.source = source
        with pytest.raises(AirflowFailException, match=r"source is ['\"]"):
            task.execute({})

    def test_rows_that_another_partition_has_are_not_taken_for_those_of_an_earlier_try(self, hook: MilvusHook) -> None:
        make(hook, auto_id=True)
        hook.create_partition("docs", "p")
        hook.ingest("docs", rows(("a", 1), ("b", 1), auto_id=True))
        doubtful = {"reserved": 2, "seconds_in_doubt": 0.0}  # sent, perhaps, by a try that was killed long ago
        mine = rows(("b", 1), ("c", 1), auto_id=True)
        hook.ingest("docs", mine, partition_name="p", key_field="doc", progress=doubtful)
        assert hook.send(entities.count("docs", partitions=["p"])) == 2

    def test_rows_of_a_partition_are_deleted_there(self, hook: MilvusHook) -> None:
        make(hook)
        hook.create_partition("docs", "p")
        hook.ingest("docs", rows(("a", 3)), partition_name="p")
        hook.ingest("docs", rows(("b", 2)))
        given: dict[str, Any] = {"filter": "doc != 'x'", "partition_name": "p"}
        assert hook.delete("docs", dry_run=True, **given)["rows"] == 3
        assert hook.delete("docs", batch_rows=2, **given)["rows"] == 3
        assert there(hook) == {"b": [[0, 0], [0, 1]]}

    def test_rows_that_another_client_writes_again_are_left_to_a_retry(
        self, hook: MilvusHook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make(hook)
        hook.ingest("docs", rows(("a", 2)))
        again = entities.upsert("docs", rows(("a", 2)))
        monkeypatch.setattr(entities, "delete", lambda *_, **__: again)
        with pytest.raises(MilvusError, match="2 rows still exist after their deletion") as caught:
            hook.delete("docs", filter="doc == 'a'")
        assert caught.value.transient

    @pytest.mark.parametrize("value", ["", " ", "None", 5, ["p"], True])
    @pytest.mark.parametrize(
        ("kind", "name"),
        [
            *itertools.product(
                [IngestOperator],
                ("database", "partition_name", "key_field", "replace_documents", "source_conn_id", "bad_rows_path"),
            ),
            *itertools.product([DeleteOperator], ("database", "partition_name", "filter", "filter_params")),
        ],
    )
    def test_a_name_that_renders_to_none_is_refused(self, hook: MilvusHook, kind: Any, name: str, value: Any) -> None:
        """An empty one would mean the whole collection, or another database."""
        make(hook)
        hook.ingest("docs", rows(("a", 2)))
        given: dict[str, Any] = {"rows": rows(("b", 1)), "on_bad_row": "skip"}
        if kind is DeleteOperator:
            given = {"filter": "id >= {first}", "filter_params": {"first": 0}}
        task = kind(task_id="t", collection_name="docs", **{**given, name: "{{ x }}"})
        setattr(task, name, value)
        with pytest.raises(AirflowFailException) as caught:
            task.execute({})
        assert re.search(rf"\b{name} (is|must be) ", str(caught.value)[:100])
        assert there(hook) == {"a": [[0, 0], [0, 1]]}

    def test_a_value_cannot_change_what_a_filter_means(self, hook: MilvusHook) -> None:
        make(hook)
        hook.ingest("docs", rows(("a", 2)))
        assert hook.delete("docs", filter="doc == {d}", filter_params={"d": 'x" or doc != "'})["rows"] == 0
        with pytest.raises(InvalidParametersError, match=r"filter has \{e\}, and filter_params has no 'e'"):
            hook.delete("docs", filter="doc == {e}", filter_params={})

    def test_errors_are_airflows(self, hook: MilvusHook) -> None:
        with pytest.raises(MilvusError) as caught:
            hook.ingest("docs", [])
        assert isinstance(caught.value, AirflowFailException)
        with pytest.raises(AirflowException):
            hook.delete("docs", filter=" ")


@pytest.mark.parametrize("name", ["batch_rows", "batch_bytes", "max_in_flight", "min_rows"])
@pytest.mark.parametrize("value", [-1, True, "8"])
def test_a_number_that_is_none_is_refused(hook: MilvusHook, name: str, value: Any) -> None:
    make(hook)
    with pytest.raises(InvalidParametersError, match=f"{name} must be an integer from [01] to .*, not {value!r}"):
        hook.ingest("docs", rows(("a", 1)), **{name: value})
    assert there(hook) == {}


@pytest.mark.parametrize("fails", [False, True])
def test_the_connections_of_its_threads_are_closed(hook: MilvusHook, fails: bool) -> None:
    make(hook)
    data = rows(("a", 20))
    with pytest.raises(InvalidParametersError) if fails else nullcontext():
        hook.ingest("docs", [*data, {}] if fails else data, batch_rows=1)
    assert list(hook._clients) == [threading.get_ident()]
