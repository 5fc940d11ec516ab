"""A Milvus in miniature: one collection, its fields and its indexes. A script for :class:`scripted.ScriptedServer`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.scripted import Answer, Behaviour, Request, error, ok

FIELDS = {"id": "Int64", "vector": "FloatVector", "sparse": "SparseFloatVector", "label": "VarChar"}
NO_COLLECTION = error(100, "can't find collection[database=default][collection=nope]")


@dataclass(frozen=True)
class Lost:
    """The work is done, and its answer gets lost in this way."""

    behaviour: Behaviour


@dataclass
class FakeMilvus:
    """
    Answers as a Milvus with one collection does.

    :param collection: its name
    :param fields: name -> type
    :param aliases: other names of the collection
    :param reads: where this server looks for the index type and its parameters, ignoring the other places as real
        ones do: ``indexConfig`` (to spring 2024), ``params`` (from April 2024), ``indexType`` (from October 2024) or
        nowhere that this provider knows of
    :param cloud: turn every vector index into AUTOINDEX, as Zilliz Cloud does
    :param tells: whether describe tells the build parameters, from 2.5 on as one JSON text of the request's ``params``
    :param dynamic: whether any other field is a key of the dynamic field, whose name is ``$meta`` then
    :param rows: rows that it has
    :param progress: name of an index -> what its description says in place of "built"
    :param faults: path -> what to do in place of the next answers; None: answer as ever
    :param refuses: field -> what to answer, once, when its turn comes in a list of indexes to create
    :param indexes: name -> ``fieldName``, ``indexType``, ``metricType``, ``params``
    :param nested: names of those whose request had the index type under ``params``, too: that is part of the text by
        which Milvus tells whether an index that is asked for again is the same
    """

    collection: str = "docs"
    fields: Mapping[str, str] = field(default_factory=lambda: FIELDS)
    aliases: tuple[str, ...] = ()
    reads: str = "indexType"
    cloud: bool = False
    tells: bool = True
    dynamic: bool = False
    rows: int = 100
    progress: Callable[[str], Mapping[str, Any]] = lambda name: {}
    faults: dict[str, list[Behaviour | Lost | None]] = field(default_factory=dict)
    refuses: dict[str, Behaviour] = field(default_factory=dict)
    indexes: dict[str, dict[str, Any]] = field(default_factory=dict)
    nested: set[str] = field(default_factory=set)

    def __call__(self, request: Request) -> Behaviour:
        faults = self.faults.get(request.path)
        fault = faults.pop(0) if faults else None
        if fault is None:
            return self._answer(request.path, request.body)
        if isinstance(fault, Lost):
            self._answer(request.path, request.body)
            return fault.behaviour
        return fault

    def add(self, name: str, index_type: str = "HNSW", metric: str = "COSINE", /, **params: Any) -> None:
        """Have an index on the field of its name, or on ``vector``, as another client has made it."""
        on = name if name in self.fields else "vector"
        told = {key: str(value) for key, value in params.items()}
        self.indexes[name] = {"fieldName": on, "indexType": index_type, "metricType": metric, "params": told}

    def _answer(self, path: str, body: Mapping[str, Any]) -> Behaviour:
        if path in ("aliases/create", "aliases/alter"):
            return ok({})
        if path == "aliases/describe":
            known = body["aliasName"] in self.aliases
            return (
                ok({"collectionName": self.collection}) if known else error(1600, "alias not found[database=default]")
            )
        if body.get("collectionName") not in (self.collection, *self.aliases):
            return NO_COLLECTION
        actions: dict[str, Callable[[Mapping[str, Any]], Behaviour]] = {
            "collections/describe": self._collection,
            "collections/get_stats": lambda _: ok({"rowCount": self.rows}),
            "collections/flush": lambda _: ok(),
            "indexes/list": lambda _: ok(list(self.indexes)),
            "indexes/describe": self._describe,
            "indexes/create": self._create,
            "indexes/drop": self._drop,
        }
        return actions[path](body)

    def _collection(self, body: Mapping[str, Any]) -> Answer:
        fields = [{"name": name, "type": kind, "primaryKey": name == "id"} for name, kind in self.fields.items()]
        # Described by an alias, a collection goes by that name.
        return ok(
            {
                "collectionName": body["collectionName"],
                "aliases": list(self.aliases),
                "fields": fields,
                "enableDynamicField": self.dynamic,
                "load": "LoadStateNotLoad",
            }
        )

    def _describe(self, body: Mapping[str, Any]) -> Answer:
        name = body["indexName"]
        if name not in self.indexes:
            return error(700, f"index not found[index={name}]")
        index = self.indexes[name]
        told = {
            "indexName": name,
            "fieldName": index["fieldName"],
            "indexType": index["indexType"],
            "metricType": index["metricType"],
            "indexState": "Finished",
            "totalRows": self.rows,
            "indexedRows": self.rows,
            "pendingRows": 0,
            "failReason": "",
        }
        if self.tells:
            pairs = {"index_type": index["indexType"], "metric_type": index["metricType"]}
            if self.reads == "indexConfig":
                pairs |= index["params"]
            elif index["params"]:
                params = {key: _sent(value) for key, value in index["params"].items()}
                nested = {"index_type": index["indexType"]} if name in self.nested else {}
                pairs["params"] = json.dumps({**params, **nested}, separators=(",", ":"))
            told["indexParams"] = [{"key": key, "value": str(value)} for key, value in pairs.items() if value]
        return ok([{**told, **self.progress(name)}])

    def _create(self, body: Mapping[str, Any]) -> Behaviour:
        for item in body["indexParams"]:
            if item["fieldName"] in self.refuses:
                return self.refuses.pop(item["fieldName"])
            index_type, params = self._read(item)
            if any(not isinstance(value, str) for value in item.get("indexConfig", {}).values()):
                return error(1801, "can only accept json format request")
            if self.reads == "indexConfig" and not (item.get("indexName") and item.get("metricType")):
                return error(1802, "missing required parameters")
            metric = item.get("metricType", "")
            if self.cloud and metric:
                index_type, params = "AUTOINDEX", {}
            on = "$meta" if self.dynamic and item["fieldName"] not in self.fields else item["fieldName"]
            name = item.get("indexName") or f"_default_idx_{101 + len(self.indexes)}"
            if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
                return error(65535, f"Invalid index name: {name}. Index name can only contain numbers, letters, …")
            new = {"fieldName": on, "indexType": index_type, "metricType": metric, "params": params}
            nested = self.reads != "indexConfig" and bool(params) and "index_type" in item["params"]
            there = next((name for name, index in self.indexes.items() if _place(index) == _place(new)), None)
            if there is None:
                self.indexes[name] = new
                self.nested |= {name} if nested else set()
            elif (self.indexes[there], there in self.nested) != (new, nested):
                return error(65535, "CreateIndex failed: at most one distinct index is allowed per field")
        return ok()

    def _read(self, item: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        found = item.get({"indexType": "params"}.get(self.reads, self.reads), {})
        params = {key: str(value) for key, value in found.items() if key != "index_type"}
        index_type = item.get("indexType") if self.reads == "indexType" else found.get("index_type")
        return (index_type, params) if index_type else ("AUTOINDEX", {})

    def _drop(self, body: Mapping[str, Any]) -> Behaviour:
        self.indexes.pop(body["indexName"], None)
        self.nested.discard(body["indexName"])
        return ok()


def _place(index: Mapping[str, Any]) -> tuple[Any, Any]:
    return index["fieldName"], index["params"].get("json_path")


def _sent(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def rows(pending: int, state: str = "InProgress", total: int = 100_000, indexed: int | None = None) -> dict[str, Any]:
    """Describe how far an index is, for ``progress``."""
    done = total - pending if indexed is None else indexed
    return {"indexState": state, "totalRows": total, "indexedRows": done, "pendingRows": pending}


BUILT = rows(0, "Finished")


def told(*descriptions: Mapping[str, Any]) -> Callable[[str], Mapping[str, Any]]:
    """Tell one after the other, and the last one for good."""
    left = list(descriptions)
    return lambda name: left.pop(0) if len(left) > 1 else left[0]


def indexed(*progress: Mapping[str, Any]) -> FakeMilvus:
    """Have an index on ``vector``, which tells how far it is as :func:`told` does."""
    milvus = FakeMilvus(progress=told(*progress))
    milvus.add("vector", M=16, efConstruction=200)
    return milvus


__all__ = ["BUILT", "FIELDS", "NO_COLLECTION", "FakeMilvus", "Lost", "indexed", "rows", "told"]
