"""Bodies that nobody should send: no endpoint answers with a 500, hangs or dies of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_vectordb.local import LocalMilvus
from tests.support.local_api import SCHEMA, Api, Json

pytestmark = pytest.mark.slow

# Seconds in which each request must be answered, whatever else the machine does.
PATIENCE = 30.0
QUIET = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.integers() | st.floats() | st.sampled_from([2**31, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**400, 1e308])
anything = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=8,
)
# What leads further in than chance would: names that are there, filters, vectors, parameters.
names = st.sampled_from(
    ["fuzz", "quick", "alias", "id", "v", "s", "label", "rank", "vector", "default", "_default", "*"]
)
filters = st.sampled_from(
    [
        "id > 0", "id in [1, 2]", "id in []", "rank % 0 == 0", "rank / 0 > 1", "label like 'a%'", "label like '%'",
        "not not not id == 1", "id == 9223372036854775808", "id > 1e400", "id == -9223372036854775808", "{a}",
        "id in {a}",
        "$meta['x'] > 1", "json_contains(x, 1)", "array_length(x) > 0", "label == 'unterminated", "id =",
        "((((id > 0))))",
        "id > 0 and", "x is null", "rank is not null", "label == rank", "v == [1, 2]", "nosuch > 1", "TRUE", "1", "''",
    ]
)  # fmt: skip
vectors = st.lists(numbers, min_size=4, max_size=4) | st.dictionaries(st.integers().map(str), numbers, max_size=3)
rows = st.dictionaries(st.sampled_from(["id", "v", "s", "label", "rank", "$meta", ""]), vectors | anything, max_size=6)
guesses: dict[str, st.SearchStrategy[Any]] = {
    "string": names | filters | text,
    "integer": st.integers(-5, 20000) | numbers,
    "number": numbers,
    "boolean": st.booleans(),
}


class Wire:
    """Sends bodies as they are, and looks at nothing but what must hold for all of them."""

    def __init__(self, running: LocalMilvus) -> None:
        self.running = running
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {running.token}"
        paths = self.session.get(f"{running.uri}/openapi.json", timeout=10).json()["paths"]
        self.schemas = {
            path: entry["post"]["requestBody"]["content"]["application/json"]["schema"]
            for path, entry in sorted(paths.items())
        }
        self.codes: dict[int, int] = {}
        self.slowest = 0.0

    def send(self, path: str, body: bytes) -> Json:
        started = time.monotonic()
        response = self.session.post(self.running.uri + path, data=body, timeout=PATIENCE)
        self.slowest = max(self.slowest, time.monotonic() - started)
        answer: Json = response.json()
        assert response.status_code == 200, f"{path} {response.status_code} {answer} {body[:500]!r}\n{self.tail()}"
        assert type(answer["code"]) is int, answer
        assert ("data" in answer) is (answer["code"] == 0), answer
        assert answer["code"] == 0 or answer["message"], answer
        assert "Traceback" not in str(answer.get("message"))
        self.codes[answer["code"]] = self.codes.get(answer["code"], 0) + 1
        return answer

    def tail(self) -> str:
        return "\n".join(self.running.log().splitlines()[-25:])

    def lives(self) -> None:
        """It still answers, and nothing of what it was sent is in the way of the next one."""
        assert self.send("/v2/vectordb/collections/list", b"{}")["code"] == 0
        body = json.dumps({"collectionName": "kept", "outputFields": ["label"]}).encode()
        assert self.send("/v2/vectordb/entities/query", body)["data"][0]["label"] == "here"


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    """A server of its own, with a few collections to hit."""
    with LocalMilvus() as running:
        api = Api(running.uri, running.token)
        indexes = [{"fieldName": "v", "metricType": "L2"}, {"fieldName": "s"}]
        for name in ("fuzz", "kept"):
            api.ok("collections/create", collectionName=name, schema=SCHEMA, indexParams=indexes)
            row = {"id": 1, "v": [1, 2, 3, 4], "s": {"1": 1}, "label": "here", "rank": 1}
            api.ok("entities/insert", collectionName=name, data=[row])
        api.ok("collections/create", collectionName="quick", dimension=4)
        api.ok("aliases/create", aliasName="alias", collectionName="quick")
        api.close()
        made = Wire(running)
        with made.session:
            yield made
            made.lives()


def shaped(schema: Json) -> st.SearchStrategy[Any]:
    """Mostly what a schema asks for; now and then something else."""
    kind = schema.get("type")
    if kind == "object" and "properties" in schema:
        fitting: st.SearchStrategy[Any] = st.fixed_dictionaries(
            {}, optional={name: shaped(inner) for name, inner in schema["properties"].items()}
        )
    elif kind == "array":
        fitting = st.lists(shaped(schema.get("items", {})), max_size=3)
    elif kind == "object":
        fitting = rows | st.dictionaries(names | text, anything, max_size=3)
    elif kind in guesses:
        fitting = guesses[kind]
    else:
        fitting = vectors | anything
    return st.integers(0, 9).flatmap(lambda chance: anything if chance == 0 else fitting)


@QUIET
@given(data=st.data())
def test_random_bodies_of_the_right_shape(wire: Wire, data: st.DataObject) -> None:
    for path, schema in wire.schemas.items():
        body = data.draw(shaped(schema), label=path)
        if isinstance(body, dict):
            needed = {name: data.draw(shaped(schema["properties"][name])) for name in schema.get("required", [])}
            if data.draw(st.booleans()):
                needed["collectionName"] = "fuzz"
            body = {**body, **needed}
            if body.get("collectionName") == "kept":
                continue
        # NaN and infinities go as Python writes them, which no JSON parser has to take.
        wire.send(path, json.dumps(body).encode())


@QUIET
@given(body=anything | st.binary(max_size=60), twice=st.booleans())
def test_random_bodies_of_no_shape(wire: Wire, body: Any, twice: bool) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    if twice:
        raw = b'{"collectionName": "fuzz", "collectionName": %s, "COLLECTIONNAME": 1, "dbName": %s}' % (raw, raw)
    for path in wire.schemas:
        wire.send(path, raw)


# --- large ones ---

MEGABYTES = 10
LARGE: dict[str, bytes] = {
    "a string": b'{"collectionName": "%s"}' % (b"x" * MEGABYTES * 2**20),
    "brackets": b'{"collectionName": ' + b"[" * MEGABYTES * 2**20,
    "objects in objects": b'{"data":' * (MEGABYTES * 2**17),
    "nothing": b" " * MEGABYTES * 2**20,
    "many keys": b"{" + b",".join(b'"k%d":%d' % (i, i) for i in range(100_000)) + b"}",
    "digits": b'{"collectionName": "fuzz", "limit": ' + b"9" * MEGABYTES * 2**20 + b"}",
    "no JSON": b"\xff" * MEGABYTES * 2**20,
}


@pytest.mark.parametrize("what", LARGE)
def test_ten_megabytes(wire: Wire, what: str) -> None:
    # Every endpoint reads its body in the same way: a few of them will do.
    for path in list(wire.schemas)[:: 8 if what == "a string" else 16]:
        wire.send(path, LARGE[what])
    wire.lives()


DEEP = 1015  # with what is around it, as much as the JSON parser takes


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("entities/query", lambda: {"filter": "(" * 5000 + "id > 0" + ")" * 5000}),
        ("entities/query", lambda: {"filter": "not " * 5000 + "id > 0"}),
        ("entities/query", lambda: {"filter": " and ".join(["id > 0"] * 5000)}),
        ("entities/query", lambda: {"filter": f"id in [{', '.join(map(str, range(200_000)))}]"}),
        ("entities/query", lambda: {"filter": "id in {a}", "exprParams": {"a": list(range(200_000))}}),
        ("entities/delete", lambda: {"filter": "label == '" + "x" * 2**20 + "'"}),
        ("entities/get", lambda: {"id": list(range(2, 100_000))}),
        ("entities/search", lambda: {"data": [[1.0] * 500_000], "annsField": "v"}),
        ("entities/search", lambda: {"data": [[1.0, 2, 3, 4]] * 5000, "annsField": "v", "limit": 1}),
        ("entities/search", lambda: {"data": [{str(i): 1.0 for i in range(200_000)}], "annsField": "s"}),
        ("entities/insert", lambda: {"data": [{"id": 2, "label": "x" * MEGABYTES * 2**20}]}),
        ("entities/insert", lambda: {"data": [{f"k{i}": i for i in range(200_000)}]}),
        ("entities/upsert", lambda: {"data": [{}] * 200_000}),
        ("indexes/create", lambda: {"indexParams": [{"fieldName": "v", "params": {"M": "9" * 10_000}}]}),
        ("collections/create", lambda: {"schema": {"fields": [{"fieldName": "f", "dataType": "Int64"}] * 50_000}}),
    ],
)
def test_large_values_where_they_are_looked_at(wire: Wire, path: str, body: Callable[[], Json]) -> None:
    wire.send(f"/v2/vectordb/{path}", json.dumps({"collectionName": "fuzz", **body()}).encode())
    wire.lives()


def test_deep_nesting_where_it_is_looked_at(wire: Wire) -> None:
    deep = "[" * DEEP + "]" * DEEP
    nested = '{"a":' * DEEP + "1" + "}" * DEEP
    row = f'{{"id": 5, "vector": [1, 2, 3, 4], "x": {nested}, "fieldName": "v", "params": {nested}}}'
    odd = f'{{"vector": {deep}, "x": {deep}, "a": {nested}, "M": {nested}, "dim": {nested}, "fields": [{row}]}}'
    rest = '"collectionName": "quick", "filter": "id in {a}", "id": 1, "data": [[1, 2, 3, 4]], "dimension": 4'
    for path, schema in wire.schemas.items():
        for field, entry in schema["properties"].items():
            if entry.get("type") not in ("string", "integer", "boolean", "number"):
                for value in (deep, nested, odd, f"[{row}]"):
                    wire.send(path, f'{{{rest}, "{field}": {value}}}'.encode())
    wire.lives()
