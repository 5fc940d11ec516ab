"""What names something that does not exist, or is no name."""

from __future__ import annotations

from tests.support.facts import Fact, Json

_IN = {"collectionName": "nope"}
_VECTOR = [[0.5, 1.0]]
_CREATE = Fact("collections/create", {"collectionName": "c", "dimension": 2})
_ROWS = {"data": [{"id": 1, "vector": _VECTOR[0]}]}
_HYBRID: Json = {"search": [{"data": _VECTOR, "annsField": "vector", "limit": 2}], "rerank": {"strategy": "rrf"}}
# Calls that name a collection, by how they say that there is none.
_CANT_FIND: list[tuple[str, Json]] = [
    ("collections/describe", {}),
    ("entities/insert", _ROWS),
    ("entities/upsert", _ROWS),
    ("entities/delete", {"filter": "id in [1]"}),
    ("entities/query", {"filter": "id < 2"}),
    ("entities/get", {"id": [1]}),
    ("entities/search", {"data": _VECTOR}),
    ("entities/hybrid_search", _HYBRID),
    ("entities/advanced_search", _HYBRID),
]
_NOT_FOUND: list[tuple[str, Json]] = [
    ("collections/get_stats", {}),
    ("collections/load", {}),
    ("collections/refresh_load", {}),
    ("collections/release", {}),
    ("collections/alter_properties", {"properties": {"collection.ttl.seconds": 100}}),
    ("collections/compact", {}),
    ("partitions/list", {}),
    ("partitions/has", {"partitionName": "p"}),
    ("partitions/get_stats", {"partitionName": "p"}),
    ("partitions/create", {"partitionName": "p"}),
    ("partitions/load", {"partitionNames": ["p"]}),
    ("partitions/release", {"partitionNames": ["p"]}),
    ("partitions/drop", {"partitionName": "p"}),
    ("indexes/list", {}),
    ("indexes/describe", {"indexName": "v"}),
    ("indexes/create", {"indexParams": [{"fieldName": "vector", "indexType": "HNSW", "metricType": "L2"}]}),
    ("indexes/drop", {"indexName": "v"}),
    ("aliases/create", {"aliasName": "al"}),
    ("aliases/list", {}),
]
_IMPORTS: list[tuple[str, Json]] = [("jobs/import/create", {"files": [["a.json"]]}), ("jobs/import/list", {})]
_ALL = _CANT_FIND + _NOT_FOUND
# Where nobody looks for the database, the collection is what is not there.
_NO_MATTER_WHERE = ("partitions/list", "partitions/has")


def _nope(path: str, body: Json, words: str, over: str = "") -> Fact:
    return Fact(
        path, {**_IN, "dbName": "default", **body}, 100, says=f"{words}[database=default][collection=nope]", over=over
    )


FACTS: dict[str, list[Fact]] = {
    "collections": [
        *(_nope(path, body, "can't find collection") for path, body in _CANT_FIND),
        *(_nope(path, body, "collection not found", "lite") for path, body in _NOT_FOUND + _IMPORTS),
        *(Fact(path, {**_IN, **body}, 100, over="milvus") for path, body in _NOT_FOUND),
        Fact("collections/get_load_state", _IN, 100, says="collection not found[collection=nope]"),
        Fact("collections/has", _IN, data={"has": False}),
        Fact("collections/drop", _IN, data={}),
        Fact(
            "collections/flush",
            {**_IN, "dbName": "default"},
            1807,
            says="request is rejected by limiter, error: collection not found[database=default][collection=nope]",
        ),
    ],
    "databases": [
        *(
            Fact(
                path,
                {**body, "collectionName": "c", "dbName": "nowhere"},
                800,
                says="database not found[database=nowhere]",
            )
            for path, body in _ALL
            if path != "collections/compact" and path not in _NO_MATTER_WHERE
        ),
        *(
            Fact(path, {"collectionName": "c", "dbName": "nowhere", "partitionName": "p"}, 100)
            for path in (*_NO_MATTER_WHERE, "collections/get_load_state")
        ),
        *(
            Fact(
                path,
                {"collectionName": "c", "dbName": "nowhere"},
                1807,
                says="request is rejected by limiter, error: database not found[database=nowhere]",
            )
            for path in ("collections/flush", "collections/compact")
        ),
        Fact("jobs/import/describe", {"jobId": "123", "dbName": "nowhere"}, 2100, over="lite"),
        Fact("collections/list", {"dbName": "nowhere"}, 800),
        *(
            Fact(f"collections/{action}", {"collectionName": "c", "dbName": "nowhere"}, 800)
            for action in ("has", "drop")
        ),
        Fact("aliases/describe", {"aliasName": "al", "dbName": "nowhere"}, 800),
    ],
    "partitions": [
        _CREATE,
        *(
            Fact(path, {"collectionName": "c", **body, **place}, 1807, says="request is rejected by limiter, error: ")
            for path, body, place in (
                ("entities/insert", _ROWS, {"partitionName": "nope"}),
                ("entities/upsert", _ROWS, {"partitionName": "nope"}),
                ("entities/delete", {"filter": "id in [1]"}, {"partitionName": "nope"}),
                ("entities/query", {"filter": "id < 2"}, {"partitionNames": ["nope"]}),
                ("entities/get", {"id": [1]}, {"partitionNames": ["nope"]}),
                ("entities/get", {"id": [1]}, {"partitionName": "nope"}),
                ("entities/search", {"data": _VECTOR}, {"partitionNames": ["nope"]}),
            )
        ),
        *(
            Fact(
                path, {"collectionName": "c", "partitionName": "nope"}, 200, says="partition not found[partition=nope]"
            )
            for path in ("partitions/get_stats",)
        ),
        *(
            Fact(
                path,
                {"collectionName": "c", "partitionNames": ["nope"]},
                200,
                says="partition not found[partition=nope]",
            )
            for path in ("partitions/load", "partitions/release")
        ),
        Fact("partitions/has", {"collectionName": "c", "partitionName": "nope"}, data={"has": False}),
        Fact("partitions/drop", {"collectionName": "c", "partitionName": "nope"}, data={}),
    ],
    "names": [
        *(
            Fact(
                path,
                {"collectionName": "a-b", **body},
                1100,
                says="Invalid collection name: a-b. collection name can only contain",
            )
            for path, body in [
                *_ALL,
                ("collections/has", {}),
                ("collections/get_load_state", {}),
                ("collections/drop", {}),
            ]
        ),
        *(
            Fact(
                "collections/has",
                {"collectionName": name},
                1100,
                says="the first character of a collection name must be",
            )
            for name in (" c ", "ü", "1a", "-")
        ),
        Fact(
            "collections/has",
            {"collectionName": "a" * 256},
            1100,
            says="the length of a collection name must be less than 255",
        ),
        Fact("collections/has", {"collectionName": "a" * 255}, data={"has": False}),
        # The limiter is the first to look.
        Fact("collections/flush", {"collectionName": "a-b"}, 1807, over="lite"),
        _CREATE,
        *(
            Fact(path, {"collectionName": "c", "aliasName": "a-b"}, 1100, says="Invalid collection alias: a-b.")
            for path in ("aliases/create", "aliases/alter", "aliases/describe", "aliases/drop")
        ),
        *(
            Fact(f"databases/{path}", {"dbName": name}, 802, says=why)
            for path in ("create", "drop")
            for name, why in (
                (
                    "a-b",
                    "numbers, letters and underscores: invalid database name[database=a-b]",
                ),
                ("a b", "database name can only contain numbers, letters and underscores"),
                ("1a", "the first character of a database name must be an underscore or letter"),
                ("a" * 300, "the length of a database name must be less than 255 characters"),
            )
        ),
        *(
            Fact(
                f"partitions/{action}",
                {"collectionName": "c", "partitionName": name},
                65535,
                says=f"Invalid partition name: {name}. ",
            )
            for action in ("create", "drop", "has")
            for name in ("a b", "é")
        ),
        Fact(
            "partitions/create",
            {"collectionName": "c", "partitionName": "p" * 256},
            65535,
            says="The length of a partition name must be less than 255 characters.",
        ),
        Fact("partitions/create", {"collectionName": "c", "partitionName": "1a"}),
        Fact("partitions/create", {"collectionName": "c", "partitionName": "a-b"}, over="lite"),
        Fact("partitions/list", {"collectionName": "c"}, data=["1a", "_default", "a-b"], over="lite"),
    ],
}
