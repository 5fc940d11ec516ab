"""Requests of too many parts are refused before each of them is looked at, and answers repeat no more than a part."""

from __future__ import annotations

import pytest

from airflow_vectordb.local import LocalMilvus
from tests.support.local_api import SCHEMA, Api, Json, cpu_seconds

COUNT = 20_000
FIELDS: list[Json] = [{"fieldName": f"f{i}", "dataType": "Int64"} for i in range(COUNT)]
FUNCTION: Json = {"name": "f", "type": "BM25", "inputFieldNames": ["t"], "outputFieldNames": ["s"]}


@pytest.mark.parametrize(
    ("path", "body", "code", "words"),
    [
        (
            "collections/create",
            {"schema": {"fields": SCHEMA["fields"] + FIELDS}},
            65535,
            "limited to 64, but got 20005",
        ),
        ("collections/create", {"schema": {"fields": FIELDS[:65]}}, 65535, "limited to 64, but got 65"),
        ("collections/create", {"schema": {**SCHEMA, "functions": [FUNCTION] * COUNT}}, 65535, "function"),
        ("collections/create", {"dimension": 4, "indexParams": [{"fieldName": "v"}] * COUNT}, 65535, "indexParam"),
        ("indexes/create", {"indexParams": [{"fieldName": "v"}] * COUNT}, 65535, "indexParam"),
        ("entities/search", {"data": [[1, 1, 1, 1]] * COUNT, "annsField": "v"}, 65535, "nq [20000]"),
        ("entities/hybrid_search", {"search": [{"data": [], "annsField": "v"}] * COUNT, "rerank": {}}, 65535, "search"),
        ("jobs/import/create", {"files": [["a.npy"] * COUNT]}, 2100, "1024"),
        ("jobs/import/create", {"files": [["a.npy"] * 100] * 100}, 2100, "1024"),
    ],
)
def test_too_many(server: LocalMilvus, api: Api, shared: str, path: str, body: Json, code: int, words: str) -> None:
    name = "never" if path == "collections/create" else shared
    before = cpu_seconds(server.pid)
    told = api.fails(path, collectionName=name, **body)
    assert (told[0], words in told[1]) == (code, True), told
    assert cpu_seconds(server.pid) - before < 3


def test_64_fields_are_not_too_many(api: Api, name: str) -> None:
    schema = {**SCHEMA, "fields": SCHEMA["fields"] + FIELDS[:59]}
    api.ok("collections/create", collectionName=name, schema=schema)
    assert len(api.ok("collections/describe", collectionName=name)["fields"]) == 64


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("entities/query", {"filter": "id == " + "1" * 1_000_000}),
        ("entities/query", {"outputFields": ["x" * 1_000_000]}),
        ("collections/create", {"dimension": 4, "params": {"partitionKeyIsolation": "9" * 1_000_000}}),
        ("collections/create", {"schema": {"fields": [{"fieldName": "id", "dataType": "x" * 1_000_000}]}}),
    ],
)
def test_a_refusal_repeats_a_part_of_what_was_given(api: Api, shared: str, path: str, body: Json) -> None:
    name = "never" if path == "collections/create" else shared
    _, message = api.fails(path, collectionName=name, **body)
    assert 1000 < len(message) < 5000
