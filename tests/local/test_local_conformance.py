"""Every endpoint, held against the rows of :mod:`conformance_table`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.conformance_row import COLLECTION, SCHEMA, Row
from tests.support.conformance_table import ROWS
from tests.support.local_api import Api, Json

# A value of each JSON type, none of them empty.
VALUES: dict[str, Any] = {
    "string": "word",
    "integer": 7,
    "fraction": 7.5,
    "boolean": True,
    "array": [7],
    "object": {"word": 7},
}
HAS_COLLECTION = [row for row in ROWS if row.missing is not None]
HAS_DATABASE = [row for row in ROWS if row.nowhere is not None]
IN_DATABASE = [row for row in HAS_DATABASE if row.path.split("/")[0] != "databases"]


def path_of(row: Row) -> str:
    return row.path


def changed(body: Json, path: str, change: Callable[[Any, Any], None]) -> Json:
    """A copy of a body, with ``change`` called on the object or list that holds what ``path`` leads to, and the key."""
    made = copy.deepcopy(body)
    *way, last = path.split(".")
    at: Any = made
    for step in way:
        at = at[int(step)] if isinstance(at, list) else at.setdefault(step, {})
    change(at, int(last) if isinstance(at, list) else last)
    return made


def without(body: Json, path: str) -> Json:
    return changed(body, path, lambda at, key: at.pop(key))


def having(body: Json, path: str, value: Any) -> Json:
    return changed(body, path, lambda at, key: at.__setitem__(key, value))


def shouted(value: Any) -> Any:
    """The same with all keys of the body in upper case; what is inside of free-form objects keeps its own."""
    free = ("params", "properties", "fieldParams", "elementTypeParams", "options", "exprParams", "data", "searchParams")
    if isinstance(value, dict):
        return {key.upper(): inner if key in free else shouted(inner) for key, inner in value.items()}
    return [shouted(entry) for entry in value] if isinstance(value, list) else value


def absent(row: Row) -> Json:
    """The body with the name of a collection that is not there."""
    return {**row.body, "collectionName": "nosuch"}


def test_the_server_and_the_table_name_the_same_endpoints(api: Api) -> None:
    paths = api.session.get(f"{api.uri}/openapi.json", timeout=10).json()["paths"]
    assert sorted(path.removeprefix("/v2/vectordb/") for path in paths) == sorted(row.path for row in ROWS)


def test_what_gives_no_0_says_why() -> None:
    assert all(bool(row.code) == bool(row.why) for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=path_of)
def test_the_documentation_has_what_is_required(openapi: Json, row: Row) -> None:
    operation = openapi["paths"][f"/v2/vectordb/{row.path}"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    top = {name for name in row.required if "." not in name}
    # Of a search, either data or ids.
    assert set(schema.get("required", [])) == top - ({"data"} if row.path == "entities/search" else set())
    assert {name for name in row.types if "." not in name} <= set(schema["properties"])


@pytest.fixture(scope="module")
def openapi(api: Api) -> Json:
    document: Json = api.session.get(f"{api.uri}/openapi.json", timeout=10).json()
    return document


@pytest.mark.parametrize("row", ROWS, ids=path_of)
def test_without_the_token_it_is_401(api: Api, row: Row) -> None:
    for given in (None, "Bearer root:wrong"):
        response = api.post(row.path, row.body, Authorization=given)
        assert response.status == 401, given
        assert response.json() == {"code": 1800, "message": "user hasn't authenticated"}
    # Even before it is looked at.
    assert api.raw(row.path, b"{", Authorization=None).status == 401


@pytest.mark.parametrize("row", ROWS, ids=path_of)
def test_only_post_is_known(api: Api, row: Row) -> None:
    for method in ("GET", "PUT"):
        response = api.session.request(method, f"{api.uri}/v2/vectordb/{row.path}", json=row.body, timeout=10)
        assert (response.status_code, response.text) == (404, "404 page not found")


@pytest.mark.parametrize("row", ROWS, ids=path_of)
def test_what_is_no_object_is_1801(api: Api, row: Row) -> None:
    for body in (b"", b" ", b"{", b"[]", b'"x"', b"1", b"{'a': 1}", b'{"a": NaN}', b"\xff{}"):
        response = api.raw(row.path, body)
        assert (response.status, response.json()["code"]) == (200, 1801), body


@pytest.mark.parametrize(("row", "path"), [(row, path) for row in ROWS for path in row.required])
def test_a_required_field_missing_or_empty_is_1802(api: Api, row: Row, path: str) -> None:
    bodies = [without(row.body, path), having(row.body, path, None)]
    if row.types.get(path) == "string":
        bodies.append(having(row.body, path, ""))
    for body in bodies:
        code, message = api.fails(row.path, **body)
        assert code == 1802, body
        # Go's names differ from the keys in their case.
        assert path.rsplit(".", 1)[-1].lower() in message.lower()


@pytest.mark.parametrize("row", [row for row in ROWS if row.types], ids=path_of)
def test_a_value_of_the_wrong_type_is_1801(api: Api, row: Row) -> None:
    for path, kind in row.types.items():
        for other, value in VALUES.items():
            if kind in (other, "any"):
                continue
            code, message = api.fails(row.path, **having(row.body, path, value))
            assert code == 1801, f"{path}: {value!r} gave {code} {message}"
            assert path.split(".")[0] in message


@pytest.mark.parametrize("row", HAS_COLLECTION, ids=path_of)
def test_a_collection_that_is_not_there(api: Api, row: Row) -> None:
    assert api.post(row.path, absent(row)).json()["code"] == row.missing


@pytest.mark.parametrize("row", HAS_DATABASE, ids=path_of)
def test_a_database_that_is_not_there(api: Api, row: Row) -> None:
    assert api.post(row.path, {**row.body, "dbName": "nowhere"}).json()["code"] == row.nowhere
    if row in IN_DATABASE:
        # The header names one as well; the body goes before it.
        assert api.post(row.path, row.body, DB_Name="nowhere").json()["code"] == row.nowhere
        inside = api.post(row.path, {**absent(row), "dbName": "default"}, DB_Name="nowhere").json()["code"]
        assert inside != 800 or row.nowhere == 0


@pytest.fixture
def world(api: Api) -> Iterator[str]:
    """A database with the collection that the rows are about."""
    database = "conform"
    api.ok("databases/create", dbName=database)
    inside: Json = {"collectionName": COLLECTION, "dbName": database}
    index = [{"fieldName": "v", "indexType": "FLAT", "metricType": "L2"}]
    api.ok("collections/create", **inside, schema=SCHEMA, indexParams=index)
    api.ok("partitions/create", **inside, partitionName="p")
    api.ok("aliases/create", **inside, aliasName="al")
    data = [{"id": i, "v": [float(i), 1.0], "t": f"t{i}"} for i in range(3)]
    api.ok("entities/insert", **inside, data=data)
    yield database
    for alias in api.ok("aliases/list", dbName=database):
        api.ok("aliases/drop", dbName=database, aliasName=alias)
    for name in api.ok("collections/list", dbName=database):
        api.ok("collections/drop", dbName=database, collectionName=name)
    for name in (database, "conformed"):
        api.ok("databases/drop", dbName=name)


@pytest.mark.parametrize("row", ROWS, ids=path_of)
def test_a_valid_body(api: Api, world: str, row: Row) -> None:
    """With the database in the header, keys in another case and keys that nobody knows."""
    for path, body in row.before:
        assert api.post(path, body, DB_Name=world).json()["code"] == 0
    body = {**shouted(row.body), "nosuchkey": {"a": [1]}, "DbNames": 5}
    response = api.post(row.path, body, DB_Name=world)
    answer = response.json()
    assert (response.status, answer["code"]) == (200, row.code), answer
    if row.code == 0:
        assert "data" in answer
        assert set(answer) <= {"code", "data", "message", "cost", "topks"}
    elif row.code == 10:
        assert "local server" in answer["message"]


# --- quirks of the engine that no other test is about ---


def test_a_collection_without_indexes_is_never_loaded(api: Api, filled: str) -> None:
    """The engine has collections loaded from the start, and loads them again when their last index is dropped."""
    api.ok("collections/release", collectionName=filled)
    for index in ("v", "s"):
        api.ok("indexes/drop", collectionName=filled, indexName=index)
        assert api.ok("collections/get_load_state", collectionName=filled) == {"loadState": "LoadStateNotLoad"}
        assert api.fails("entities/query", collectionName=filled, filter="id > 0")[0] == 101
    assert api.fails("collections/load", collectionName=filled)[0] == 700


def test_an_index_that_is_not_there_is_700(api: Api, filled: str) -> None:
    """The engine describes all of them when it does not know the name."""
    for index in ("nosuch", "V", "rank"):
        code, message = api.fails("indexes/describe", collectionName=filled, indexName=index)
        assert (code, index in message) == (700, True)


def test_names_may_be_those_of_fields_and_of_other_things(api: Api, bare: str) -> None:
    """The engine drops every index where the name is not the field's."""
    wanted = [{"fieldName": "v", "indexName": "s"}, {"fieldName": "s", "indexName": "v"}]
    api.ok("indexes/create", collectionName=bare, indexParams=wanted)
    api.ok("indexes/drop", collectionName=bare, indexName="v")
    assert api.ok("indexes/list", collectionName=bare) == ["s"]
    (left,) = api.ok("indexes/describe", collectionName=bare, indexName="s")
    assert (left["fieldName"], left["metricType"]) == ("v", "COSINE")
