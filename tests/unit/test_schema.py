"""Schemas: read in each spelling, checked with everything that is wrong at once, compared with what exists."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from airflow_vectordb.rest.errors import InvalidParametersError
from airflow_vectordb.rest.schema.parsing import parse_schema, read_quick, read_schema
from airflow_vectordb.rest.schema.properties import creation_params, read_properties
from tests.support.schemas import DOCS, ID, VECTOR, described, with_fields


def problems(schema: Any) -> list[str]:
    return read_schema(schema).problems


class TestSpellings:
    @pytest.mark.parametrize(
        "schema",
        [
            DOCS,
            DOCS["fields"],
            json.dumps(DOCS),
            yaml.safe_dump(DOCS),
            str(DOCS),
            {"schema": DOCS, "collectionName": "docs", "dbName": "default"},
            {"schema": json.dumps(DOCS)},
            {
                "auto_id": "false",
                "enable_dynamic_field": False,
                "fields": [
                    {"field_name": "id", "data_type": "int64", "is_primary": True},
                    {"name": "title", "type": "VARCHAR", "max_length": "256"},
                    {"name": "vector", "type": "FLOAT_VECTOR", "params": {"dim": "8"}},
                ],
            },
            described().raw,
            described(),
        ],
        ids=[
            "api",
            "list",
            "json",
            "yaml",
            "python",
            "body",
            "body with text",
            "pymilvus",
            "description",
            "collection",
        ],
    )
    def test_all_make_the_same_request(self, schema: Any) -> None:
        assert parse_schema(schema).body() == DOCS

    def test_pymilvus_schema(self) -> None:
        from pymilvus import DataType, Function, FunctionType, MilvusClient

        schema = MilvusClient.create_schema(auto_id=True, enable_dynamic_field=True)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("text", DataType.VARCHAR, max_length=9, enable_analyzer=True, default_value="x")
        schema.add_field("tags", DataType.ARRAY, element_type=DataType.VARCHAR, max_length=3, max_capacity=4)
        schema.add_field("sparse", DataType.SPARSE_FLOAT_VECTOR)
        function = Function("bm25", FunctionType.BM25, input_field_names=["text"], output_field_names=["sparse"])
        schema.add_function(function)
        body = parse_schema(schema).body()
        assert (body["autoID"], body["enableDynamicField"]) == (True, True)
        assert body["fields"][1]["defaultValue"] == "x"
        assert body["fields"][2] == {
            "fieldName": "tags",
            "dataType": "Array",
            "elementDataType": "VarChar",
            "elementTypeParams": {"max_length": 3, "max_capacity": 4},
        }
        assert body["functions"][0]["inputFieldNames"] == ["text"]

    def test_auto_ids_of_the_key_go_beside_the_fields_where_the_server_reads_them(self) -> None:
        body = parse_schema({"fields": [{**ID, "autoID": True}, VECTOR]}).body()
        assert body["autoID"] is True
        assert "autoID" not in body["fields"][0]

    def test_pymilvus_writes_the_type_of_a_field_as_dtype(self) -> None:
        fields = [
            {"name": "id", "dtype": "INT64", "is_primary": True},
            {"name": "v", "dtype": "DataType.FLOAT_VECTOR", "dim": 4},
        ]
        assert [field["dataType"] for field in parse_schema(fields).body()["fields"]] == ["Int64", "FloatVector"]

    def test_quick_setup(self) -> None:
        spec = read_quick("768").spec
        assert spec is not None
        assert [f"{field.name} {field}" for field in spec.fields] == ["id Int64", "vector FloatVector(768)"]
        assert spec.enable_dynamic_field


class TestProblems:
    def test_everything_at_once_with_nearest_names(self) -> None:
        schema = {
            "enabledynamic": True,
            "fields": [
                {"fieldName": "id", "dataType": "Int64", "isPrimaryKey": True},
                {"fieldName": "title", "dataType": "VarChar"},
                {"fieldName": "vector", "dataType": "FlaotVector", "dim": 8},
                {"fieldName": "v2", "dataType": "FloatVector"},
            ],
        }
        assert problems(schema) == [
            "schema: unknown key 'enabledynamic'; did you mean 'enableDynamicField'?",
            "id: unknown key 'isPrimaryKey'; did you mean 'isPrimary'?",
            "title: a VarChar needs max_length",
            "vector: unknown dataType 'FlaotVector'; did you mean 'FloatVector'? allow_unknown=True sends it as it is",
            "v2: a FloatVector needs dim",
        ]

    @pytest.mark.parametrize(
        ("fields", "problem"),
        [
            ([VECTOR], "a schema needs one primary key: set isPrimary of a field"),
            ([ID, VECTOR, {**ID, "fieldName": "id2"}], "a schema needs one primary key: id, id2 have isPrimary"),
            ([ID], "a schema needs a vector field"),
            ([ID, VECTOR, VECTOR], "vector: 2 fields have this name"),
            ([{**ID, "dataType": "Float"}, VECTOR], "id: a primary key is an Int64 or a VarChar, not a Float"),
            ([{**ID, "nullable": True}, VECTOR], "id: a primary key cannot be nullable"),
            ([ID, {**VECTOR, "autoID": True}], "vector: autoID is for the primary key"),
            (
                [ID, {**VECTOR, "elementTypeParams": {"dim": 1}}],
                "vector: dim must be an integer from 2 to 32,768, not 1",
            ),
            ([ID, {**VECTOR, "dim": "many"}], "vector: dim must be an integer from 2 to 32,768, not 'many'"),
            ([ID, {**VECTOR, "dataType": "SparseFloatVector"}], "vector: dim is not for a SparseFloatVector"),
            (
                [ID, {**VECTOR, "dataType": "BinaryVector", "elementTypeParams": {"dim": 9}}],
                "vector: the dim of a BinaryVector is a multiple of 8, not 9",
            ),
        ],
    )
    def test_fields(self, fields: list[Any], problem: str) -> None:
        assert problem in problems({"fields": fields})

    @pytest.mark.parametrize(
        ("field", "problem"),
        [
            ({"dataType": "Int64"}, "fields[2]: fieldName is missing"),
            ({"fieldName": "x"}, "x: dataType is missing"),
            ({"fieldName": "a-b", "dataType": "Int64"}, "a-b: use letters, digits and underscores"),
            ({"fieldName": "x", "dataType": "Int64", "isPartitionKey": True, "nullable": True}, "cannot be nullable"),
            ({"fieldName": "x", "dataType": "Bool", "isPartitionKey": True}, "partition key is an Int64 or a VarChar"),
            ({"fieldName": "x", "dataType": "Array", "max_capacity": 5}, "x: an Array needs elementDataType"),
            (
                {"fieldName": "x", "dataType": "Array", "elementDataType": "JSON", "max_capacity": 5},
                "elements cannot be",
            ),
            (
                {"fieldName": "x", "dataType": "Array", "elementDataType": "VarChar", "max_capacity": 5},
                "needs max_length",
            ),
            ({"fieldName": "x", "dataType": "Int64", "elementDataType": "Int64"}, "elementDataType is for arrays"),
            ({"fieldName": "x", "dataType": "VarChar", "max_lenght": 5}, "did you mean 'max_length'?"),
            ({"fieldName": "x", "dataType": "Int8", "defaultValue": 300}, "defaultValue must be an Int8, not 300"),
            ({"fieldName": "x", "dataType": "Int64", "defaultValue": "a"}, "defaultValue must be an Int64, not 'a'"),
            ({"fieldName": "x", "dataType": "JSON", "defaultValue": {}}, "a JSON cannot have a default value"),
            ({"fieldName": "x", "dataType": "VarChar", "max_length": 1, "defaultValue": "ab"}, "max_length is 1"),
            ({"fieldName": "x", "dataType": "VarChar", "max_length": 9, "enable_match": True}, "needs enable_analyzer"),
            ({"fieldName": "x", "dataType": "Int64", "nullable": "perhaps"}, "nullable must be true or false"),
            ("x", "fields[2] must be a mapping, not a str ('x')"),
        ],
    )
    def test_one_field(self, field: Any, problem: str) -> None:
        found = problems(with_fields(field))
        assert any(problem in text for text in found), found

    @pytest.mark.parametrize(
        ("field", "problem"),
        [
            ({"elementTypeParams": {"dimension": 16}}, "unknown parameter 'dimension'; did you mean 'dim'?"),
            ({"dimension": 16}, "unknown parameter 'dimension'; did you mean 'dim'?"),
            ({"dimm": 16}, "unknown key 'dimm'; did you mean 'dim'?"),
            ({"elementTypeParams": {"dim": "sixteen"}}, "dim must be an integer from 2 to 32,768, not 'sixteen'"),
            ({"elementTypeParams": 16}, "elementTypeParams must be a mapping, not an int (16)"),
            ({"elementTypeParams": {"dim": None}}, "a FloatVector needs dim"),
        ],
    )
    def test_a_parameter_that_cannot_be_used_is_not_said_to_be_missing(self, field: Any, problem: str) -> None:
        (found,) = problems(with_fields({"fieldName": "x", "dataType": "FloatVector", **field}))
        assert found.startswith(f"x: {problem}")

    @pytest.mark.parametrize(
        ("function", "problem"),
        [
            ({"inputFieldNames": ["txt"]}, "inputFieldNames has no field 'txt'; did you mean 'text'?"),
            ({"outputFieldNames": []}, "outputFieldNames is missing"),
            ({"outputFieldNames": ["vector"]}, "BM25 fills a SparseFloatVector, but 'vector' is a FloatVector"),
            ({"inputFieldNames": ["plain"]}, "its input 'plain' needs enable_analyzer: true"),
            ({"type": "BM52"}, "did you mean 'BM25'?"),
            ({"inputField": ["text"]}, "unknown key 'inputField'; did you mean 'inputFieldNames'?"),
        ],
    )
    def test_functions(self, function: dict[str, Any], problem: str) -> None:
        whole = {"name": "bm25", "type": "BM25", "inputFieldNames": ["text"], "outputFieldNames": ["sparse"]}
        fields = [
            {"fieldName": "text", "dataType": "VarChar", "max_length": 9, "enable_analyzer": True},
            {"fieldName": "plain", "dataType": "VarChar", "max_length": 9},
            {"fieldName": "sparse", "dataType": "SparseFloatVector"},
        ]
        assert problems(with_fields(*fields, functions=[whole])) == []
        found = problems(with_fields(*fields, functions=[{**whole, **function}]))
        assert any(problem in text for text in found), found

    @pytest.mark.parametrize(
        ("schema", "problem"),
        [
            (None, "schema must be a mapping with fields, or JSON or YAML of it, not None"),
            ("", "schema is empty: the template or file rendered to nothing"),
            ("None", "schema is empty: the template or file rendered to nothing"),
            ("{", "schema is neither JSON nor YAML"),
            ({"fields": []}, "schema has no fields"),
            ({"fields": "id"}, "fields must be a list, not a str ('id')"),
            ({"schema": DOCS, "indexParams": []}, "indexes go into index_params"),
            ('{"fields": [], "fields": []}', "schema has 'fields' twice in one mapping"),
        ],
    )
    def test_what_is_no_schema(self, schema: Any, problem: str) -> None:
        assert problem in problems(schema)[0]

    def test_what_a_newer_server_may_know_is_sent_with_a_warning(self) -> None:
        spec = parse_schema(
            with_fields({"fieldName": "x", "dataType": "Quaternion", "elementTypeParams": {"handedness": 1}})
        )
        assert spec.body()["fields"][2]["elementTypeParams"] == {"handedness": 1}
        assert len(spec.warnings) == 2

    def test_allow_unknown(self) -> None:
        schema = with_fields({"fieldName": "x", "dataType": "FlaotVector", "elementTypeParams": {"dimm": 8}})
        with pytest.raises(InvalidParametersError, match=r"(?s)FlaotVector.*dimm"):
            parse_schema(schema)
        spec = read_schema(schema, allow_unknown=True).spec
        assert spec is not None
        assert spec.body()["fields"][2]["elementTypeParams"] == {"dimm": 8}
        assert len(spec.warnings) == 2


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"consistencyLevel": "Storng"}, "properties: no consistencyLevel 'Storng'; did you mean 'Strong'?"),
        ({"shardsNum": 0}, "properties: shardsNum must be an integer of at least 1, not 0"),
        ({"mmap.enabled": None}, "properties: mmap.enabled has no value"),
        ({"enable_dynamic_field": False}, "properties: enableDynamicField belongs in the schema"),
        (
            {"collection.ttl.second": 60},
            "properties: unknown property 'collection.ttl.second'; did you mean 'collection.ttl.seconds'? "
            "allow_unknown=True sends it as it is",
        ),
        (["mmap.enabled"], "properties must be a mapping, not a list (['mmap.enabled'])"),
        ("None", "properties is empty: the template or file rendered to nothing"),
        (" ", "properties is empty: the template or file rendered to nothing"),
    ],
)
def test_wrong_properties(given: Any, problem: str) -> None:
    assert read_properties(given)[1:] == ([problem], [])


def test_properties_that_are_not_known_are_sent() -> None:
    misspelt = {"collection.ttl.second": 60}
    assert read_properties(misspelt, allow_unknown=True)[:2] == (misspelt, [])
    limits = {"collection.insertRate.max.mb": 5, "collection.searchRate.max.vps": 9}
    assert read_properties(limits) == (limits, [], [])
    assert read_properties({"ttl": 60, "of_a_newer_server": 1}) == (
        {"collection.ttl.seconds": 60, "of_a_newer_server": 1},
        [],
        ["properties: unknown property 'of_a_newer_server': sent as it is"],
    )


def test_properties_are_called_otherwise_in_the_request_that_creates() -> None:
    given, *_ = read_properties({"collection.ttl.seconds": 5, "ttlField": "expires", "num_shards": 2})
    assert creation_params(given) == {"ttlSeconds": 5, "ttlField": "expires", "shardsNum": 2}


def test_an_object_that_is_none_of_these() -> None:
    assert "schema must be a mapping" in problems(SimpleNamespace())[0]
