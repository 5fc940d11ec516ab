"""Aliases and databases."""

from __future__ import annotations

from tests.support.facts import Fact, Json

_CREATE = [Fact("collections/create", {"collectionName": name, "dimension": 2}) for name in ("c", "c2")]
_AL = {"aliasName": "al"}
_NONE: list[Json] = [{}, {"properties": {}}, {"properties": None}]

FACTS: dict[str, list[Fact]] = {
    "aliases": [
        *_CREATE,
        Fact("aliases/list", {}, data=[]),
        *(Fact("aliases/create", {**_AL, "collectionName": "c"}, data={}) for _ in range(2)),
        Fact("aliases/create", {**_AL, "collectionName": "c2"}, 1602, says="al is alias to another collection: c"),
        Fact(
            "aliases/create",
            {"aliasName": "c2", "collectionName": "c"},
            1601,
            says="alias and collection name conflict",
        ),
        Fact("aliases/alter", {"aliasName": "c2", "collectionName": "c"}, 1601),
        *(
            Fact(f"aliases/{action}", {**_AL, "collectionName": "al"}, 100, says="collection not found")
            for action in ("create", "alter")
        ),
        Fact("aliases/describe", _AL, data={"collectionName": "c", "aliasName": "al"}, whole=False, over="lite"),
        *(
            Fact("aliases/describe", {"aliasName": name}, 1600, says="alias not found", over="lite")
            for name in ("nope", "c")
        ),
        *(Fact("aliases/list", {"collectionName": name}, data=["al"], over="lite") for name in ("c", "al")),
        Fact("aliases/list", {"collectionName": "c2"}, data=[], over="lite"),
        # What is called by it answers by it.
        Fact("collections/describe", {"collectionName": "al"}, data={"collectionName": "al"}, whole=False),
        Fact("collections/has", {"collectionName": "al"}, data={"has": True}),
        Fact("indexes/list", {"collectionName": "al"}, data=["vector"]),
        Fact("collections/get_stats", {"collectionName": "al"}, data={"rowCount": 0}),
        Fact("collections/drop", {"collectionName": "al"}, 65535, says="cannot drop the collection via alias = al"),
        *(Fact("aliases/alter", {**_AL, "collectionName": "c2"}, data={}) for _ in range(2)),
        Fact("aliases/list", {"collectionName": "c"}, data=[], over="lite"),
        Fact("aliases/alter", {"aliasName": "nope", "collectionName": "c2"}, 1600),
        Fact("collections/create", {**_AL, "collectionName": "al", "dimension": 2}, 1601, says="alias", over="lite"),
        Fact("aliases/alter", {**_AL, "collectionName": "nope"}, 100),
        *(Fact("aliases/drop", {"aliasName": name}, data={}) for name in ("al", "al", "c")),
        Fact("collections/has", {"collectionName": "c"}, data={"has": True}),
    ],
    "databases": [
        Fact("databases/create", {"dbName": "default"}, 65535),
        Fact("databases/drop", {"dbName": "default"}, 65535, says="can not drop default database"),
        Fact("databases/drop", {"dbName": "nowhere"}, data={}),
        Fact("databases/describe", {"dbName": "nowhere"}, 800, over="lite"),
        Fact("databases/alter", {"dbName": "nowhere", "properties": {}}, 800, over="lite"),
        *(Fact("databases/alter", {"dbName": "default", **properties}, data={}, over="lite") for properties in _NONE),
        Fact("databases/drop_properties", {"dbName": "default"}, data={}, over="lite"),
    ],
}
