"""The example DAGs: parsed by Airflow's own DagBag, and run against a real server."""

from __future__ import annotations

import csv
import gzip
import hashlib
import math
import random
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.rest import Client, MilvusConfig, aliases, collections, entities, indexes

EXAMPLES = Path(__file__).resolve().parents[2] / "dags_examples"
ORDER = ["create_collection", "ingest", "create_index", "load_collection", "search"]
# Imported by tasks, if at all: a DAG file is parsed again and again.
HEAVY = {"numpy", "pandas", "pymilvus", "requests", "aiohttp", "orjson", "fastapi", "uvicorn", "pyarrow", "yaml"}


SCHEMA = {
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}},
    ],
}
RUNS = {
    "scheduled": ("create_index", "2026-03-07T06:00:00Z", {}),
    "manual": ("create_index", None, {}),
    "first": ("digits_search", None, {"M": 12, "efConstruction": 90}),
    "again": ("digits_search", None, {"metric": "L2"}),
    # The DAG's params allow it, a server does not.
    "bad index": ("digits_search", None, {"collection": "unindexed", "efConstruction": 10**15}),
    "created elsewhere": ("create_elsewhere", None, {"collection": "elsewhere"}),
    "waited for": ("wait_elsewhere", None, {"collection": "elsewhere"}),
    "many": ("index_many_collections", None, {"prefix": "many_"}),
    "many again": ("index_many_collections", None, {"prefix": "many_"}),
    "none": ("index_many_collections", None, {"prefix": "there_are_none_"}),
    "nightly": ("nightly_ingest", "2026-03-07T00:00:00Z", {"folder": "nightly"}),
    "night without files": ("nightly_ingest", "2026-03-08T00:00:00Z", {"folder": "nightly", "files": 0}),
    "documents": ("documents", None, {}),
    "documents again": ("documents", None, {"texts": {"ada": "It originates nothing.", "alan": ""}}),
    "index first": ("index_first", None, {}),
    "then ingest": ("ingest_after_index", None, {}),
    "first places": ("blue_green_reindex", None, {}),
    "next places": ("blue_green_reindex", None, {}),
    # Last, so that its time is another one than that of the first.
    "manual again": ("create_index", None, {}),
}


@pytest.fixture(scope="module")
def client(server: LocalMilvus) -> Iterator[Client]:
    with Client(MilvusConfig(server.uri, token=server.token)) as made:
        yield made


@pytest.fixture(scope="module")
def runs(run_dags: Callable[..., Any], client: Client, server: LocalMilvus) -> Any:
    """All runs in one process, in this order on one server: starting Airflow is what takes long."""
    rows = [{"id": i, "vector": [math.cos(i), math.sin(i)]} for i in range(20)]
    for number in range(3):
        client.send(collections.create(f"many_{number}", schema=SCHEMA))
        client.send(entities.insert(f"many_{number}", rows[: 5 + number]))
    bulk = {"stage_to": (server.files / "staging").as_uri(), "files_prefix": "staging", "rows": 500}
    given = {"bulk": ("bulk_import", None, bulk), **RUNS}
    return dict(zip(given, run_dags(EXAMPLES, given.values()), strict=True))


class TestParsing:
    def test_without_errors_and_warnings(self, parsed: Any) -> None:
        assert parsed["import_errors"] == {}
        assert parsed["warnings"] == []
        assert set(parsed["dags"]) == {
            "create_index",
            "digits_search",
            "create_elsewhere",
            "wait_elsewhere",
            "index_many_collections",
            "index_first",
            "ingest_after_index",
            "nightly_ingest",
            "documents",
            "bulk_import",
            "blue_green_reindex",
            "roll_back_places",
        }

    def test_no_schedule_begins_in_the_past(self, parsed: Any) -> None:
        assert {dag_id for dag_id, dag in parsed["dags"].items() if dag["schedule"]} == {
            "create_index",
            "ingest_after_index",
            "nightly_ingest",
            "blue_green_reindex",
        }
        assert not any(dag["catchup"] for dag in parsed["dags"].values())

    def test_nothing_heavy_is_imported(self, parsed: Any) -> None:
        assert HEAVY & {name.partition(".")[0] for name in parsed["imported"]} == set()
        assert "airflow_vectordb.operators.index" in parsed["imported"]

    def test_create_index(self, parsed: Any) -> None:
        dag = parsed["dags"]["create_index"]
        assert dag["schedule"] == "@daily"
        assert dag["types"]["create_index"] == "CreateIndexOperator"

    def test_digits_search(self, parsed: Any) -> None:
        dag = parsed["dags"]["digits_search"]
        assert dag["schedule"] is None
        assert dag["tasks"] == {
            **{one: [other] for one, other in pairwise(ORDER)},
            "search": [],
        }
        assert dag["types"]["create_index"] == "CreateIndexOperator"


class TestCreateIndex:
    @pytest.mark.parametrize("name", ["scheduled", "manual", "manual again"])
    def test_indexes_the_collection_of_its_run(self, runs: Any, client: Client, name: str) -> None:
        run = runs[name]
        assert run["state"] == "success"
        collection = run["rendered"]["create_index"]["collection_name"]
        (index,) = client.send(indexes.describe(collection, "vector"))
        assert (index.index_type, index.metric_type, *built(index)) == ("HNSW", "COSINE", "16", "200")
        assert (index.state, index.indexed_rows, index.pending_rows) == ("Finished", 360, 0)
        assert run["returned"]["create_index"] == [{**index.as_json(), "collection_name": collection}]

    def test_the_collection_is_named_after_the_moment_of_the_run(self, runs: Any) -> None:
        of_runs = [runs[name] for name in ("scheduled", "manual", "manual again")]
        names = [run["rendered"]["create_index"]["collection_name"] for run in of_runs]
        assert names == ["docs_" + re.sub(r"[-:]|\..*", "", run["run_after"]) for run in of_runs]
        assert names[0] == "docs_20260307T060000"
        assert len(set(names)) == 3


class TestIndexThenIngest:
    def test_the_index_is_there_before_the_rows(self, runs: Any, client: Client) -> None:
        first, then = runs["index first"], runs["then ingest"]
        assert (first["state"], then["state"]) == ("success", "success")
        (index,) = first["returned"]["create_index"]
        assert (index["index_type"], index["state"], index["total_rows"]) == ("HNSW", "Finished", 0)
        assert then["returned"]["ingest"]["rows"] == 360
        client.send(collections.load("indexed_docs"))
        (count,) = client.send(entities.query("indexed_docs", filter="", output_fields=["count(*)"]))
        assert count == {"count(*)": 360}


class TestNightlyIngest:
    def test_each_file_is_ingested_and_then_indexed(self, runs: Any) -> None:
        run = runs["nightly"]
        assert run["state"] == "success"
        results = [run["returned"][f"ingest[{number}]"] for number in range(4)]
        assert [(result["rows"], result["batches"], result["skipped"]) for result in results] == [(90, 1, 0)] * 4
        (index,) = run["returned"]["create_index"]
        assert (index["state"], index["indexed_rows"], index["pending_rows"]) == ("Finished", 360, 0)

    def test_a_night_without_files_is_green(self, runs: Any) -> None:
        run = runs["night without files"]
        assert run["state"] == "success"
        assert run["states"]["ingest"] == run["states"]["create_index"] == "skipped"


class TestBulkImport:
    def test_rows_are_staged_imported_and_indexed(self, runs: Any, server: LocalMilvus) -> None:
        run = runs["bulk"]
        assert run["state"] == "success"
        imported = run["returned"]["import_rows"]
        assert (imported["rows"], imported["files"], imported["skipped"]) == (500, 1, 0)
        (index,) = run["returned"]["create_index"]
        assert (index["state"], index["indexed_rows"]) == ("Finished", 500)
        assert list((server.files / "staging").iterdir()) == []


class TestDocuments:
    def test_a_document_has_the_rows_that_came_last(self, runs: Any, client: Client) -> None:
        first, again = runs["documents"], runs["documents again"]
        assert (first["state"], again["state"]) == ("success", "success")
        assert first["returned"]["ingest"]["rows"] == 4
        assert again["returned"]["ingest"]["rows"] == 1
        query = entities.query("documents", filter="doc_id != ''", output_fields=["doc_id", "text"], limit=10)
        (row,) = client.send(query)
        assert (row["doc_id"], row["text"]) == ("ada", "It originates nothing")


class TestBlueGreenReindex:
    def test_readers_get_the_collection_of_the_last_run(self, runs: Any, client: Client) -> None:
        first, then = (runs[name]["returned"]["reindex.switch"] for name in ("first places", "next places"))
        assert (first["previous"], then["previous"]) == (None, first["collection_name"])
        assert client.send(aliases.describe("places")) == then["collection_name"]
        (hits,) = client.send(entities.search("places", [[0.0, 1.0]], limit=1))
        assert hits[0]["id"] == 90

    def test_it_is_checked_first(self, runs: Any) -> None:
        checked = runs["next places"]["returned"]["reindex.verify"]
        assert (checked["rows"], checked["sampled"], checked["found"], checked["recall"]) == (360, 100, 100, 1.0)


class TestDigitsSearch:
    @pytest.mark.parametrize(("name", "expected"), [("first", ("COSINE", "12", "90")), ("again", ("L2", "16", "200"))])
    def test_searches_what_it_ingested_and_indexed(self, runs: Any, name: str, expected: tuple[str, ...]) -> None:
        run = runs[name]
        assert run["state"] == "success"
        assert run["order"] == ORDER
        assert run["returned"]["ingest"]["rows"] == 1797
        (index,) = run["returned"]["create_index"]
        assert (index["metric_type"], str(index["params"]["M"]), str(index["params"]["efConstruction"])) == expected
        found = run["returned"]["search"]
        assert found["queries"] == 1797
        assert 0.95 <= found["recall_at_10"] <= 1.0
        assert 1760 <= found["same_label"] < 1797

    def test_the_server_has_the_second_runs_index_and_rows(self, runs: Any, client: Client) -> None:
        (index,) = client.send(indexes.describe("digits", "vector_hnsw"))
        assert (index.index_type, index.metric_type, *built(index)) == ("HNSW", "L2", "16", "200")
        assert (index.state, index.total_rows, index.indexed_rows, index.pending_rows) == ("Finished", 1797, 1797, 0)
        assert runs["again"]["returned"]["create_index"] == [{**index.as_json(), "collection_name": "digits"}]

    def test_nothing_is_searched_when_the_index_fails(self, runs: Any, client: Client) -> None:
        run = runs["bad index"]
        assert run["state"] == "failed"
        assert run["returned"].keys() == {"ingest"}
        assert run["states"]["create_index"] == "failed"
        assert run["states"]["load_collection"] == run["states"]["search"] == "upstream_failed"
        assert client.send(indexes.list_("unindexed")) == []


class TestWaitElsewhere:
    def test_what_one_dag_asks_for_another_waits_for(self, runs: Any, client: Client) -> None:
        assert runs["created elsewhere"]["state"] == runs["waited for"]["state"] == "success"
        assert runs["created elsewhere"]["returned"]["ingest"]["rows"] == 360
        (index,) = runs["waited for"]["returned"]["index_is_built"]
        (there,) = client.send(indexes.describe("elsewhere", "vector"))
        assert index["index_type"] == there.index_type == "HNSW"
        assert (index["state"], index["indexed_rows"], index["pending_rows"]) == ("Finished", 360, 0)

    def test_then_it_loads_and_searches(self, runs: Any) -> None:
        run = runs["waited for"]
        assert run["order"] == ["index_is_built", "load", "search"]
        assert run["returned"]["load"]["load_state"] == "LoadStateLoaded"
        assert run["returned"]["search"] == [41, 42, 40]


class TestIndexManyCollections:
    def test_each_collection_gets_its_index(self, runs: Any, client: Client) -> None:
        run = runs["many"]
        assert run["state"] == "success"
        assert run["returned"]["list_collections"] == ["many_0", "many_1", "many_2"]
        assert [run["states"][f"create_index[{number}]"] for number in range(3)] == ["success"] * 3
        for number in range(3):
            (index,) = client.send(indexes.describe(f"many_{number}", "vector"))
            assert (index.index_type, *built(index)) == ("HNSW", "16", "200")
        assert run["returned"]["count"] == {"many_0": 5, "many_1": 6, "many_2": 7}

    def test_a_second_run_finds_them(self, runs: Any) -> None:
        assert runs["many again"]["state"] == "success"
        assert runs["many again"]["returned"]["count"] == runs["many"]["returned"]["count"]

    def test_no_collections_are_no_failure(self, runs: Any) -> None:
        assert runs["none"]["state"] == "success"
        assert runs["none"]["states"]["create_index"] == "skipped"
        assert runs["none"]["returned"]["count"] == {}


def built(index: indexes.IndexDescription) -> tuple[str, str]:
    return str(index.params["M"]), str(index.params["efConstruction"])


class TestCompare:
    """The comparison with an exact search, on hits that are made here."""

    @pytest.fixture
    def points(self) -> list[list[float]]:
        numbers = random.Random(7)
        return [[numbers.uniform(-1, 1) for _ in range(4)] for _ in range(60)]

    @staticmethod
    def score(one: list[float], other: list[float], metric: str) -> float:
        if metric == "L2":
            return -math.dist(one, other)
        inner = sum(a * b for a, b in zip(one, other, strict=True))
        return inner if metric == "IP" else inner / (math.hypot(*one) * math.hypot(*other))

    def ranked(self, points: list[list[float]], query: int, metric: str) -> list[int]:
        others = [i for i in range(len(points)) if i != query]
        return sorted(others, key=lambda i: -self.score(points[query], points[i], metric))

    @pytest.mark.parametrize("metric", ["COSINE", "IP", "L2"])
    @pytest.mark.parametrize(("wrong", "recall"), [(0, 1.0), (3, 0.7), (10, 0.0)])
    def test_recall(
        self, digits_search: ModuleType, points: list[list[float]], metric: str, wrong: int, recall: float
    ) -> None:
        hits = []
        for query in range(len(points)):
            order = self.ranked(points, query, metric)
            ids = [query, *order[: 10 - wrong], *order[len(order) - wrong :]]
            hits.append([{"id": i, "label": i} for i in ids])
        found = digits_search.compare(hits, points, list(range(len(points))), metric)
        assert found["recall_at_10"] == pytest.approx(recall)
        assert found["queries"] == len(points)

    def test_a_digit_is_not_its_own_neighbour(self, digits_search: ModuleType, points: list[list[float]]) -> None:
        # Each label once: only the digit itself could bear the right one.
        hits = [
            [{"id": i, "label": i} for i in [query, *self.ranked(points, query, "L2")[:10]]]
            for query in range(len(points))
        ]
        assert digits_search.compare(hits, points, list(range(len(points))), "L2")["same_label"] == 0
        assert digits_search.compare(hits, points, [near[1]["label"] for near in hits], "L2")["same_label"] == 60

    def test_hits_that_are_missing_are_not_found(self, digits_search: ModuleType, points: list[list[float]]) -> None:
        hits = [[{"id": i, "label": 0} for i in self.ranked(points, query, "L2")[:5]] for query in range(len(points))]
        assert digits_search.compare(hits, points, [0] * 60, "L2")["recall_at_10"] == pytest.approx(0.5)


def test_the_data_is_what_its_readme_says() -> None:
    text = gzip.decompress((EXAMPLES / "data" / "digits.csv.gz").read_bytes())
    assert hashlib.sha256(text).hexdigest() in (EXAMPLES / "data" / "README.md").read_text()
    rows = list(csv.reader(text.decode().splitlines()))
    assert len(rows) == 1797
    assert {len(row) for row in rows} == {65}
    assert {int(value) for row in rows for value in row[:64]} == set(range(17))
    assert {int(row[64]) for row in rows} == set(range(10))
