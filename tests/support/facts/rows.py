"""Rows: how they are read, written, counted, deleted, and found again."""

from __future__ import annotations

from tests.support.facts import LITE, Fact, Json

_C: Json = {"collectionName": "c"}
_V = [1.0, 2.0]
_SCHEMA: Json = {
    "enableDynamicField": True,
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}},
        {"fieldName": "word", "dataType": "VarChar", "elementTypeParams": {"max_length": 16}},
        {"fieldName": "n", "dataType": "Int32"},
        {"fieldName": "b", "dataType": "Bool"},
        {"fieldName": "j", "dataType": "JSON"},
    ],
}
_MOST = {"max_capacity": 3, "max_length": 8}
_INDEX: Json = {"fieldName": "v", "indexName": "v", "metricType": "L2", "indexType": "FLAT"}
_LOADED = (
    Fact("collections/create", {**_C, "schema": _SCHEMA}),
    Fact("indexes/create", {**_C, "indexParams": [_INDEX]}),
    Fact("collections/load", _C),
    Fact("collections/get_load_state", _C, whole=False, data={"loadState": "LoadStateLoaded"}, eventually=True),
)


def _arrays(**kinds: str) -> Fact:
    fields = [
        {"fieldName": name, "dataType": "Array", "elementDataType": kind, "elementTypeParams": _MOST}
        for name, kind in kinds.items()
    ]
    return Fact("collections/create", {**_C, "schema": {"fields": [*_SCHEMA["fields"][:2], *fields]}})


def _row(key: int, **change: object) -> Json:
    return {"id": key, "v": _V, "word": "w", "n": 1, "b": True, "j": {"a": 1}, **change}


def _insert(row: Json, key: int | None = None, over: str = "") -> Fact:
    data = {"insertCount": 1, "insertIds": [row["id"] if key is None else key]}
    return Fact("entities/insert", {**_C, "data": [row]}, data=data, beside={"cost": 0}, over=over)


def _refused(row: Json, says: str = "", code: int = 1804) -> Fact:
    return Fact("entities/insert", {**_C, "data": [row]}, code, says=says)


def _without(row: Json, field: str) -> Json:
    return {key: value for key, value in row.items() if key != field}


def _query(filter: str, fields: list[str], *rows: Json, over: str = "", **more: object) -> Fact:
    body = {**_C, "filter": filter, "outputFields": fields, "consistencyLevel": "Strong", **more}
    return Fact("entities/query", body, data=list(rows), beside={"cost": 0}, over=over)


def _search(code: int = 0, says: str = "", **more: object) -> Fact:
    body = {**_C, "data": [_V], "consistencyLevel": "Strong", **more}
    return Fact("entities/search", body, code, says=says)


def _delete(filter: str, count: int, **more: object) -> Fact:
    return Fact("entities/delete", {**_C, "filter": filter, **more}, data={"deleteCount": count})


FACTS: dict[str, list[Fact]] = {
    "what is a row": [
        *_LOADED,
        *(Fact(f"entities/{path}", {**_C, "data": []}, 1804) for path in ("insert", "upsert")),
        _refused({}),
        _refused(_without(_row(1), "id")),
        _refused(_without(_row(1), "v")),
        *(_refused(_row(1, v=value)) for value in (None, [], [1.0], [1.0, 2.0, 3.0], ["1", "2"], [[1, 2]], True)),
        _refused(_row(1, v=[1e40, 1.0])),
        *(_refused(_row(value)) for value in (1.5, True, None, "x", [1], 2**63)),  # type: ignore[arg-type]
        *(_refused(_row(1, n=value)) for value in ("x", True, None, 1.5)),
        *(_refused(_row(1, b=value)) for value in (None, "yes")),
        _refused(_row(1, word="x" * 17), "exceeds max length", 1100),
        _refused(_row(1, word="ü" * 16), "32", 1100),
        _refused({**_row(1), "$meta": {"a": 1}}, "$meta"),
        _insert(_row(1, v="[1, 2]")),
        _insert(_row(2, v=[None, 2])),
        _insert(_without(_row(3), "word")),
        _insert(_row(4, word=None, n="7", b=1)),
        _insert(_row(5, word=5, b="t")),
        _insert(_row(6, word={"a": 1}, n=2.0)),
        _insert({**_row(7), "id": "7"}, 7),
        _insert({**_row(8), "x": 1, "t": "y", "f": 1.5, "l": [1, 2], "o": {"a": 1}, "z": None, "many": 2**53 + 1}),
        _query("id == 2", ["v"], {"id": 2, "v": [0, 2]}),
        _query(
            "id >= 3 and id <= 6",
            ["word"],
            *({"id": i, "word": w} for i, w in zip((3, 4, 5, 6), ("", "", "5", '{"a": 1}'), strict=True)),
        ),
        _query("id == 4", ["n", "b"], {"id": 4, "n": 7, "b": True}),
        _query(
            "id == 8",
            ["x", "t", "f", "l", "o", "z", "many"],
            {"id": 8, "x": 1, "t": "y", "f": 1.5, "l": [1, 2], "o": {"a": 1}, "many": 2**53},
        ),
    ],
    "numbers as texts": [
        *_LOADED,
        *(_insert(_row(1 + i, n=text)) for i, text in enumerate(("0x10", "010", "-7"))),
        _query("id < 4", ["n"], {"id": 1, "n": 16}, {"id": 2, "n": 8}, {"id": 3, "n": -7}),
        *(_refused(_row(4, n=text), says="[expected=Int32]") for text in ("7.0", " 7", "1e3", "")),
        _refused(_row(4, n=True), says="the value true of field n is not a valid Int32"),
        *(_refused({**_row(4), "id": key}, says="[expected=Int64]") for key in ("0x10", "7.0", " 7", "9" * 5000)),
        _insert({**_row(10), "id": "010"}, 10),
    ],
    "elements of arrays": [
        _arrays(i="Int32", t="VarChar", b="Bool", d="Double"),
        Fact("indexes/create", {**_C, "indexParams": [_INDEX]}),
        Fact("collections/load", _C),
        Fact("collections/get_load_state", _C, whole=False, data={"loadState": "LoadStateLoaded"}, eventually=True),
        *(
            _refused({"id": 1, "v": _V, "i": [1], "t": ["a"], "b": [True], "d": [0.5], **change})
            for change in (
                *({"i": value} for value in ([1.5], [2.0], ["1"], [True], [[1]], [2**31], 1, "x", {"a": 1}, None)),
                *({"t": value} for value in ([1], [True], [["a"]], "a", None)),
                *({"b": value} for value in ([1], ["true"], True)),
                *({"d": value} for value in (["1"], [True], 0.5)),
            )
        ),
        _insert({"id": 1, "v": _V, "i": [None, 2], "t": [None, "b"], "b": [None, True], "d": [None, 1]}),
        _insert({"id": 2, "v": _V, "i": "[1, 2]", "t": '["a"]', "b": [], "d": [0.5]}),
        _query(
            "id < 3",
            ["i", "t", "b", "d"],
            *(
                {
                    "id": key,
                    "i": {"Data": {"IntData": {"data": i}}},
                    "t": {"Data": {"StringData": {"data": t}}},
                    "b": {"Data": {"BoolData": {"data": b}}},
                    "d": {"Data": {"DoubleData": {"data": d}}},
                }
                for key, i, t, b, d in (
                    (1, [0, 2], ["", "b"], [False, True], [0, 1]),
                    (2, [1, 2], ["a"], [], [0.5]),
                )
            ),
            over=LITE,
        ),
    ],
    "elements of small integers": [
        _arrays(i="Int8", s="Int16"),
        *(
            _refused({"id": 1, "v": _V, "i": [1], "s": [1], **change}, says, code)
            for change, code, says in (
                ({"i": [0, 128]}, 1100, "the 1th element (128) out of range: [-128, 127]"),
                ({"s": [-32769]}, 1100, "the 0th element (-32769) out of range: [-32768, 32767]"),
                *(({"i": [value]}, 1804, "") for value in (2**31, 1.5, "1", True)),
            )
        ),
        _insert({"id": 1, "v": _V, "i": [-128, 127], "s": [-32768, 32767, None]}),
    ],
    "documents": [
        *_LOADED,
        _insert(_row(1)),
        _insert(_row(2, j='{"a": 2}')),
        *(_insert(_row(3 + i, j=value), over=LITE) for i, value in enumerate((5, True, "word", None, [1, 2]))),
        _query(
            "id > 2",
            ["j"],
            *({"id": 3 + i, "j": kept} for i, kept in enumerate(("5", "true", "word", "", "[1, 2]"))),
            over=LITE,
        ),
        _query("j['a'] == 2", ["j"], {"id": 2, "j": '{"a": 2}'}),
    ],
    "what is found": [
        *_LOADED,
        Fact("entities/insert", {**_C, "data": [_row(i, n=i, v=[i, 2.0]) for i in range(6)]}),
        _query("id < 2", [], {"id": 0}, {"id": 1}),
        _query("id < 3", ["id"], {"id": 0}, {"id": 1}, limit=2),
        _query("id < 3", ["id"], {"id": 0}, {"id": 1}, {"id": 2}, limit=0),
        _query("id < 2", ["id"], {"id": 0}, {"id": 1}, offset=-1),
        _query("", ["count(*)"], {"count(*)": 6}),
        _query("id < 3", ["count(*)"], {"count(*)": 3}, limit=1),
        Fact("entities/query", {**_C, "limit": 16385}, 65535, says="(offset+limit) should be in range [1, 16384]"),
        Fact("entities/query", {**_C, "filter": "id <"}, 1100, says="cannot parse expression: id <"),
        Fact("entities/query", {**_C, "filter": "id < 3", "partitionNames": ["nope"]}, 1807, says="partition"),
        Fact(
            "entities/query", {**_C, "filter": "id < 3", "partitionNames": [""]}, 65535, says="Invalid partition name"
        ),
        Fact("entities/get", {**_C, "id": []}, data=[]),
        *(
            Fact("entities/get", {**_C, "id": key}, 1806, says="please check the primary key")
            for key in (True, {"a": 1}, "", {}, "x", 1.5)
        ),
        Fact("entities/get", {**_C, "id": ["1", 2], "outputFields": ["id"]}, data=[{"id": 1}, {"id": 2}]),
        Fact(
            "entities/search",
            {**_C, "data": [[1.0, 2.0]], "limit": 2, "filter": "id < 2", "consistencyLevel": "Strong"},
            data=[{"id": 1, "distance": 0}, {"id": 0, "distance": 1}],
            beside={"cost": 0, "topks": [2]},
        ),
        Fact("entities/search", {**_C, "data": [_V, _V], "filter": "id > 9"}, data=[], beside={"cost": 0}),
        *(_search(65535, f"topk [{limit}] is invalid", limit=limit) for limit in (0, -1, 16385)),
        _search(65535, "offset+topk [17000] is invalid", limit=16000, offset=1000),
        _search(1100, "exceeds configured max group size:10", groupingField="word", groupSize=11),
        _search(1100, "consistencyLevel can only be [Strong,", consistencyLevel="strong"),
        *(
            Fact("entities/query", {**_C, "filter": text}, 1100, says="this local server's engine", over=LITE)
            for text in ("id % 2 == 0", "n ** 2 == 4", "random_sample(0.5)")
        ),
        Fact("entities/query", {**_C, "filter": "id == 9999999999999999999"}, 1100, says="cannot parse expression"),
        _search(65535, "nq [0] is invalid", data=[]),
        _search(1802, data=None),
        *(_search(1801, data=data) for data in ([[1.0]], [["1", "2"]], ["x"], [1.0, 2.0], [None])),
        _search(1801, params={"radius": "x"}),
        _search(searchParams={"metricType": "NOPE"}),
        _search(65535, "metric type not match", searchParams={"metric_type": "IP"}),
        *(
            Fact(
                f"entities/{path}",
                {**_C, "search": [{"data": [_V], "annsField": "v", "limit": 3}], "rerank": rerank},
                65535,
                says=f"unsupported rank type {says}",
            )
            for path in ("hybrid_search", "advanced_search")
            for rerank, says in ((None, ""), ({}, ""), ({"strategy": "nope"}, "nope"))
        ),
        Fact("entities/hybrid_search", {**_C, "search": [], "rerank": {"strategy": "rrf"}}, 65535, says="nq [0]"),
        _delete("id in [1, 99]", 2),
        _delete("id == 98", 1),
        _delete("n == 77", 0),
        _delete("n > 3", 2),
        _query("id >= 0", ["id"], {"id": 0}, {"id": 2}, {"id": 3}),
        Fact("entities/delete", {**_C, "id": [1]}, 1802),
    ],
    "keys that are texts": [
        Fact(
            "collections/create",
            {**_C, "dimension": 2, "idType": "VarChar", "params": {"max_length": 10}},
        ),
        Fact("collections/get_load_state", _C, whole=False, data={"loadState": "LoadStateLoaded"}, eventually=True),
        Fact("entities/insert", {**_C, "data": [{"id": "a", "vector": _V}, {"id": "b", "vector": [2.0, -1.0]}]}),
        *(_insert({"id": key, "vector": _V}, kept) for key, kept in ((5, "5"), ("", ""))),  # type: ignore[arg-type]
        _refused({"id": "x" * 11, "vector": _V}, "exceeds max length", 1100),
        *(
            Fact("entities/get", {**_C, "id": [key], "outputFields": ["id"]}, data=[{"id": found}], eventually=True)
            for key, found in (("a", "a"), (5, ""), ("5", "5"))
        ),
        _delete("id in ['a']", 1),
        # Equally near: in the order of keys.
        Fact(
            "entities/search",
            {
                **_C,
                "data": [_V],
                "limit": 2,
                "filter": "id != 'b'",
                "consistencyLevel": "Strong",
                "outputFields": ["id"],
            },
            data=[{"id": key, "distance": 0.99999994} for key in ("", "5")],
            over=LITE,
        ),
    ],
}
