"""Random collections and rows: what was written is what is read, value by value, as Milvus would answer it."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from airflow_vectordb.local import LocalMilvus
from tests.support.local_api import Api, Json

Values = st.SearchStrategy[Any]
_numbers = itertools.count()

# Everything that JSON can carry: no half of a surrogate pair.
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
float32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
scalars: dict[str, Values] = {
    "Bool": st.booleans(),
    **{f"Int{bits}": st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    "Float": float32,
    "Double": st.floats(allow_nan=False, allow_infinity=False),
    "VarChar": text,
}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | scalars["Double"] | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
# A text is taken for that of a document, as on Milvus.
documents = json_values.filter(lambda value: value is not None and not isinstance(value, str))
# Milvus's names of what an array holds.
SLOTS = {"Bool": "BoolData", "Int64": "LongData", "Float": "FloatData", "Double": "DoubleData", "VarChar": "StringData"}


@dataclass(frozen=True)
class Kind:
    """A type of field: how a schema names it, which values it takes, and what Milvus answers for one."""

    schema: Json
    values: Values
    answer: Callable[[Any], Any] = field(default=lambda value: value)
    may_have_default: bool = False


def single(value: float) -> float:
    """A float as it comes back of a float32, in the fewest digits that tell it."""
    return float(str(np.float32(value)))


def array(element: str) -> Kind:
    slot = SLOTS.get(element, "IntData")

    def answer(values: list[Any]) -> Json:
        return {"Data": {slot: {"data": [single(value) for value in values] if element == "Float" else values}}}

    schema = {"dataType": "Array", "elementDataType": element, "elementTypeParams": {"max_capacity": 4}}
    if element == "VarChar":
        schema["elementTypeParams"] = {"max_capacity": 4, "max_length": 60}
    return Kind(schema, st.lists(scalars[element], max_size=4), answer)


KINDS: dict[str, Kind] = {
    **{name: Kind({"dataType": name}, values, may_have_default=True) for name, values in scalars.items()},
    "Float": Kind({"dataType": "Float"}, float32, single, may_have_default=True),
    "VarChar": Kind({"dataType": "VarChar", "elementTypeParams": {"max_length": 60}}, text, may_have_default=True),
    "JSON": Kind({"dataType": "JSON"}, documents),
    **{f"Array of {element}": array(element) for element in scalars},
}
VECTORS: dict[str, Kind] = {
    "FloatVector": Kind(
        {"dataType": "FloatVector", "elementTypeParams": {"dim": 3}},
        st.lists(float32, min_size=3, max_size=3),
        lambda values: [single(value) for value in values],
    ),
    "SparseFloatVector": Kind(
        {"dataType": "SparseFloatVector"},
        st.dictionaries(st.integers(0, 2**32 - 2).map(str), st.floats(2**-10, 2**10, width=32), min_size=1, max_size=4),
        lambda weights: {index: single(weight) for index, weight in weights.items()},
    ),
}


@dataclass
class Example:
    """A collection, its rows as they are sent, and what a query for all of its fields must answer."""

    schema: Json
    rows: list[Json]
    answers: list[Json]
    indexes: list[Json]
    name: str = ""

    @property
    def keys(self) -> list[Any]:
        return [answer["id"] for answer in self.answers]


@st.composite
def examples(draw: st.DrawFn) -> Example:
    key = draw(st.sampled_from(["Int64", "VarChar"]))
    primary = {"fieldName": "id", **KINDS[key].schema, "isPrimary": True}
    auto = draw(st.booleans()) and draw(st.booleans())
    count = draw(st.integers(0, 6))
    keys = draw(st.lists(scalars[key], min_size=count, max_size=count, unique=True))
    fields, plans = [primary], []
    vectors = draw(st.lists(st.sampled_from(sorted(VECTORS)), min_size=1, max_size=2, unique=True))
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), max_size=4))
    partitioned = draw(st.booleans())
    for number, name in enumerate([*vectors, *kinds]):
        kind = {**KINDS, **VECTORS}[name]
        entry = {"fieldName": f"f{number}", **kind.schema}
        optional, default = False, None
        if name in KINDS:
            optional = draw(st.booleans())
            if kind.may_have_default and draw(st.booleans()):
                # Milvus reads numbers of defaults as floats.
                default = draw(kind.values.filter(lambda value: not isinstance(value, int) or abs(value) <= 2**53))
        if partitioned and name in ("Int64", "VarChar") and not any("isPartitionKey" in f for f in fields):
            entry["isPartitionKey"], optional, default = True, False, None
        if optional:
            entry["nullable"] = True
        if default is not None:
            entry["defaultValue"] = default
        fields.append(entry)
        plans.append((entry["fieldName"], kind, optional, default))
    dynamic = draw(st.booleans())
    taken = {entry["fieldName"] for entry in fields} | {"$meta"}
    extras = st.dictionaries(text.filter(lambda name: name not in taken), json_values, max_size=3)
    rows: list[Json] = []
    answers: list[Json] = []
    for value in keys:
        row: Json = {} if auto else {"id": value}
        answer: Json = {"id": value}
        for name, kind, optional, default in plans:
            given_value = draw(st.none() | kind.values) if optional or default is not None else draw(kind.values)
            if given_value is not None or draw(st.booleans()):
                row[name] = given_value  # null is as good as nothing
            kept = default if given_value is None else given_value
            answer[name] = None if kept is None else kind.answer(kept)
        if dynamic:
            more = draw(extras)
            row.update(more)
            answer.update({key: value for key, value in more.items() if value is not None})
        rows.append(row)
        answers.append(answer)
    schema = {"autoID": auto, "enableDynamicField": dynamic, "fields": fields}
    return Example(schema, rows, answers, [{"fieldName": f"f{i}"} for i in range(len(vectors))])


def same(found: Any, wanted: Any) -> bool:
    """Equal, and of one type: 1 is not true, and 1.0 may be written 1 as numbers of JSON are."""
    if isinstance(wanted, bool) or isinstance(found, bool) or wanted is None or found is None:
        return found is wanted
    if isinstance(wanted, float) or isinstance(found, float):
        return (
            isinstance(found, int | float)
            and isinstance(wanted, int | float)
            and math.isclose(found, wanted, rel_tol=0)
        )
    if isinstance(wanted, dict) and isinstance(found, dict):
        return found.keys() == wanted.keys() and all(same(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list) and isinstance(found, list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    return type(found) is type(wanted) and bool(found == wanted)


def expect(found: list[Json], wanted: list[Json], documents: set[str]) -> None:
    """Compare rows; JSON fields come as texts."""
    assert len(found) == len(wanted), f"{len(found)} rows, not {len(wanted)}"
    wanted = sorted(wanted, key=lambda row: row["id"])
    for row, right in zip(sorted(found, key=lambda row: row["id"]), wanted, strict=True):
        assert row.keys() == right.keys()
        for key, value in row.items():
            if key in documents and value is not None:
                assert isinstance(value, str)
                value = json.loads(value)
            assert same(value, right[key]), f"{key}: {value!r} in place of {right[key]!r}"


def write(api: Api, example: Example) -> None:
    example.name = f"random{next(_numbers)}"
    body: Json = {"collectionName": example.name}
    api.ok("collections/create", **body, schema=example.schema, indexParams=example.indexes)
    if example.rows:
        made = api.ok("entities/insert", **body, data=example.rows)["insertIds"]
        if example.schema["autoID"]:
            for answer, key in zip(example.answers, made, strict=True):
                answer["id"] = key
        assert made == example.keys


def check(api: Api, example: Example) -> None:
    body: Json = {"collectionName": example.name}
    texts = {entry["fieldName"] for entry in example.schema["fields"] if entry["dataType"] == "JSON"}
    expect(api.ok("entities/query", **body), example.answers, texts)
    # Keys with quotes are refused.
    if example.keys and not any('"' in str(key) for key in example.keys):
        expect(api.ok("entities/get", **body, id=example.keys), example.answers, texts)
        some = example.answers[-1]
        if some["id"] != "":  # which counts as missing
            expect(api.ok("entities/get", **body, id=some["id"]), [some], texts)
    assert api.ok("entities/query", **body, outputFields=["count(*)"]) == [{"count(*)": len(example.rows)}]
    told = {entry["name"]: entry for entry in api.ok("collections/describe", **body)["fields"]}
    for entry in example.schema["fields"]:
        mine = told[entry["fieldName"]]
        assert mine["nullable"] is entry.get("nullable", False)
        assert mine["partitionKey"] is entry.get("isPartitionKey", False)
        default = list(mine["defaultValue"]["Data"].values()) if "defaultValue" in mine else [None]
        assert same(default, [entry.get("defaultValue")])


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(example=examples())
def test_random_rows_come_back_as_they_were_written(api: Api, example: Example) -> None:
    write(api, example)
    try:
        check(api, example)
        # From sealed rows, which the engine keeps in another form.
        api.ok("collections/flush", collectionName=example.name)
        check(api, example)
    finally:
        api.ok("collections/drop", collectionName=example.name)


# A restart is slow: several collections share one, and a failure is not made smaller.
@pytest.mark.slow
@settings(
    max_examples=3,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(batch=st.lists(examples(), min_size=8, max_size=12), kill=st.booleans(), flushed=st.integers(0, 8))
def test_random_rows_come_back_after_a_restart(
    batch: list[Example],
    kill: bool,
    flushed: int,
    tmp_path_factory: pytest.TempPathFactory,
    connect: Callable[[LocalMilvus], Api],
) -> None:
    running = LocalMilvus(tmp_path_factory.mktemp("data")).start()
    try:
        api = connect(running)
        for example in batch:
            write(api, example)
        for example in batch[:flushed]:
            api.ok("collections/flush", collectionName=example.name)
        (running.kill if kill else running.stop)()
        api = connect(running.start())
        for example in batch:
            check(api, example)
    finally:
        running.stop()
