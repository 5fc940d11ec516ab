"""What differs between a schema and a collection that exists, and how it can be altered."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_vectordb.rest import collections
from airflow_vectordb.rest.errors import NotMilvusError
from airflow_vectordb.rest.schema.compare import compare
from airflow_vectordb.rest.schema.parsing import parse_schema
from airflow_vectordb.rest.schema.properties import read_properties
from tests.support.schemas import DOCS, ID, TITLE, VECTOR, described, with_fields


def differences(schema: Any, existing: collections.Collection, properties: Any = None) -> list[tuple[str, bool]]:
    found = compare("docs", parse_schema(schema), existing, properties)
    return [(str(difference), difference.alter is not None) for difference in found]


class TestComparison:
    def test_the_same(self) -> None:
        assert differences(DOCS, described()) == []

    def test_what_a_server_adds_is_no_difference(self) -> None:
        existing = described(properties=[{"key": "timezone", "value": "UTC"}])
        assert differences({**DOCS, "description": "for people"}, existing) == []

    @pytest.mark.parametrize("malformed", [5, "ttl", {"ttl": 1}, [None], ["ttl"], [{"value": 1}], [["ttl", "1"]]])
    def test_properties_that_are_none(self, malformed: Any) -> None:
        with pytest.raises(NotMilvusError, match=r"\(properties: "):
            differences(DOCS, described(properties=malformed))

    def test_what_an_old_server_does_not_describe_is_no_difference(self) -> None:
        existing = described()
        for field in existing.raw["fields"]:
            del field["nullable"], field["clusteringKey"]
        nullable = {**DOCS, "fields": [ID, {**TITLE, "nullable": True}, VECTOR]}
        assert differences(nullable, existing) == []

    @pytest.mark.parametrize(
        ("schema", "expected"),
        [
            (
                [ID, {**TITLE, "elementTypeParams": {"max_length": 512}}, VECTOR],
                ("title: VarChar(256) -> VarChar(512)", True),
            ),
            (
                [ID, {**TITLE, "elementTypeParams": {"max_length": 99}}, VECTOR],
                ("title: VarChar(256) -> VarChar(99)", False),
            ),
            (
                [ID, TITLE, {**VECTOR, "elementTypeParams": {"dim": 4}}],
                ("vector: FloatVector(8) -> FloatVector(4)", False),
            ),
            ([ID, VECTOR], ("title: VarChar(256) -> none", False)),
            (
                [ID, TITLE, VECTOR, {"fieldName": "year", "dataType": "Int32", "nullable": True}],
                ("year: none -> Int32, nullable", True),
            ),
            (
                [ID, TITLE, VECTOR, {"fieldName": "year", "dataType": "Int32"}],
                ("year: none -> Int32 (only a nullable field can be added)", False),
            ),
            ([ID, {**TITLE, "nullable": True}, VECTOR], ("title: not nullable -> nullable", False)),
            ([{**ID, "autoID": True}, TITLE, VECTOR], ("autoID: false -> true", False)),
            (
                [ID, {**TITLE, "elementTypeParams": {"max_length": 256, "mmap.enabled": True}}, VECTOR],
                ("title: mmap.enabled: not set -> true", True),
            ),
        ],
    )
    def test_fields(self, schema: list[Any], expected: tuple[str, bool]) -> None:
        assert differences({"fields": schema}, described()) == [expected]

    def test_defaults(self) -> None:
        year = {"fieldName": "year", "dataType": "Int64", "defaultValue": 5}
        existing = described(with_fields(year))
        assert differences(with_fields(year), existing) == []
        assert differences(with_fields({**year, "defaultValue": 6}), existing) == [("year: default: 5 -> 6", False)]

    def test_arrays(self) -> None:
        tags = {
            "fieldName": "tags",
            "dataType": "Array",
            "elementDataType": "VarChar",
            "max_length": 8,
            "max_capacity": 4,
        }
        existing = described(with_fields(tags))
        assert differences(with_fields(tags), existing) == []
        larger = with_fields({**tags, "max_capacity": 9})
        assert differences(larger, existing) == [("tags: Array<VarChar(8)>(4) -> Array<VarChar(8)>(9)", True)]

    def test_functions_and_the_dynamic_field(self) -> None:
        fields = [
            {"fieldName": "text", "dataType": "VarChar", "max_length": 9, "enable_analyzer": True},
            {"fieldName": "sparse", "dataType": "SparseFloatVector"},
        ]
        function = {"name": "bm25", "type": "BM25", "inputFieldNames": ["text"], "outputFieldNames": ["sparse"]}
        with_function = with_fields(*fields, functions=[function])
        existing = described(with_function)
        assert differences(with_function, existing) == []
        other = with_fields(*fields, enableDynamicField=True)
        assert differences(other, existing) == [
            ("enableDynamicField: false -> true", False),
            ("function bm25: BM25 -> none", False),
        ]

    def test_properties(self) -> None:
        existing = described(properties=[{"key": "collection.ttl.seconds", "value": "60"}])
        asked, wrong, _ = read_properties({"ttlSeconds": 60, "consistency_level": "bounded", "num_shards": "1"})
        assert wrong == []
        assert differences(DOCS, existing, asked) == []
        asked = {"collection.ttl.seconds": 90, "mmap.enabled": True, "consistencyLevel": "Strong"}
        assert differences(DOCS, existing, asked) == [
            ("collection.ttl.seconds: 60 -> 90", True),
            ("mmap.enabled: not set -> true", True),
            ("consistencyLevel: Bounded -> Strong", False),
        ]

    def test_each_difference_has_the_call_that_alters_it(self) -> None:
        schema = [ID, {**TITLE, "elementTypeParams": {"max_length": 512}}, VECTOR]
        schema.append({"fieldName": "year", "dataType": "Int32", "nullable": True})
        found = compare("docs", parse_schema(schema), described(), {"mmap.enabled": True})
        calls = [difference.alter() for difference in found if difference.alter is not None]
        assert [(call.path, dict(call.body)) for call in calls] == [
            (
                "collections/fields/alter_properties",
                {"collectionName": "docs", "fieldName": "title", "fieldParams": {"max_length": 512}},
            ),
            (
                "collections/fields/add",
                {"collectionName": "docs", "schema": {"fieldName": "year", "dataType": "Int32", "nullable": True}},
            ),
            ("collections/alter_properties", {"collectionName": "docs", "properties": {"mmap.enabled": True}}),
        ]
