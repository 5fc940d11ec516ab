"""An engine at the pace of a cluster, on a clock that tests move, and the truth behind it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from airflow_vectordb.local import Pace
from airflow_vectordb.local.engine.base import Engine
from airflow_vectordb.local.engine.calls import Written
from airflow_vectordb.local.engine.model import CollectionInfo, CollectionSpec, FieldSpec, IndexInfo, LoadInfo
from airflow_vectordb.local.engine.paced import paced
from airflow_vectordb.local.errors import ApiError, collection_not_found, no_load_state

PACE = Pace(
    row_count=1, total_rows=3, issue=2, build=4, build_per_1000=2, load=2, load_per_1000=1, flush_interval=10
)  # fmt: skip

# Nothing is counted or loaded when the call returns, and everything soon after.
QUICK = Pace(
    row_count=0.2, total_rows=0.8, issue=0, build=0, build_per_1000=0, load=0.1, load_per_1000=0, flush_interval=0
)  # fmt: skip

LOADED = LoadInfo("LoadStateLoaded", 100)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += seconds


class Truth:
    """An engine that does at once what it is asked for; everything in it is true the moment that it is done."""

    def __init__(self) -> None:
        self.written: dict[str, Counter[str]] = {}
        self.flushed: dict[str, Counter[str]] = {}
        self.indexes: dict[str, list[str]] = {}
        self.partitions: dict[str, list[str]] = {}
        self.loaded: dict[str, set[str]] = {}
        self.aliases: dict[str, str] = {}
        self.failing: ApiError | None = None

    def _real(self, name: str) -> str:
        real = self.aliases.get(name, name)
        if real not in self.written:
            raise collection_not_found("default", name)
        return real

    def create_collection(self, database: str, spec: CollectionSpec) -> None:
        name = spec.name
        self.written.setdefault(name, Counter())
        self.flushed.setdefault(name, Counter())
        self.indexes.setdefault(name, [])
        self.partitions.setdefault(name, ["_default", "p"])
        self.loaded.setdefault(name, set())

    def collection_spec(self, database: str, name: str) -> CollectionSpec:
        return spec(self._real(name))

    def describe_collection(self, database: str, name: str) -> CollectionInfo:
        real = self._real(name)
        state = "LoadStateLoaded" if self.loaded[real] else "LoadStateNotLoad"
        return CollectionInfo(1, spec(real), [], state, self.partitions[real])

    def drop_collection(self, database: str, name: str) -> None:
        del self.written[self._real(name)]
        for part in (self.flushed, self.indexes, self.partitions, self.loaded):
            part.pop(name)

    def rename_collection(self, database: str, name: str, new_database: str, new_name: str) -> None:
        parts: tuple[dict[str, Any], ...] = (self.written, self.flushed, self.indexes, self.partitions, self.loaded)
        for part in parts:
            part[new_name] = part.pop(name)

    def insert(self, database: str, collection: str, partition: str, columns: list[Any], count: int) -> Written:
        self.written[self._real(collection)][partition or "_default"] += count
        return Written(count, [])

    def upsert(
        self, database: str, collection: str, partition: str, columns: list[Any], count: int, *, partial: bool
    ) -> Written:
        """In the place of rows that are there."""
        return Written(count, [])

    def delete(self, database: str, collection: str, partition: str, filter: str) -> int:
        self.written[self._real(collection)].clear()
        return 0

    def flush(self, database: str, name: str) -> None:
        if self.failing:
            raise self.failing
        real = self._real(name)
        self.flushed[real] = Counter(self.written[real])

    def row_count(self, database: str, name: str, partition: str = "") -> int:
        flushed = self.flushed[self._real(name)]
        return flushed[partition] if partition else flushed.total()

    def create_index(self, database: str, collection: str, field: str, name: str, params: dict[str, str]) -> None:
        there = self.indexes[self._real(collection)]
        if name not in there:
            there.append(name)

    def describe_indexes(self, database: str, collection: str) -> list[IndexInfo]:
        rows = self.row_count(database, collection)
        return [IndexInfo(name, "v", {}, total=rows, indexed=rows) for name in self.indexes[self._real(collection)]]

    def drop_index(self, database: str, collection: str, name: str) -> None:
        self.indexes[self._real(collection)].remove(name)

    def load_collection(self, database: str, name: str) -> None:
        self.loaded[self._real(name)] |= set(self.partitions[self._real(name)])

    def load_partitions(self, database: str, collection: str, names: list[str]) -> None:
        self.loaded[self._real(collection)] |= set(names)

    def release_collection(self, database: str, name: str) -> None:
        self.loaded[self._real(name)].clear()

    def release_partitions(self, database: str, collection: str, names: list[str]) -> None:
        self.loaded[self._real(collection)] -= set(names)

    def load_state(self, database: str, collection: str, partitions: list[str]) -> LoadInfo:
        if collection not in self.loaded and collection not in self.aliases:
            raise no_load_state(collection)
        loaded = self.loaded[self._real(collection)]
        if not loaded:
            return LoadInfo("LoadStateNotLoad")
        if set(partitions) <= loaded:
            return LOADED
        return LoadInfo("LoadStateLoading", -1, "partition not loaded[partition=7].")


class Part:
    """Some methods of the truth, under the names that a part of an engine has for them; looked up when called."""

    def __init__(self, truth: Truth, **names: str) -> None:
        self.truth = truth
        self.names = names

    def __getattr__(self, name: str) -> Any:
        return getattr(self.truth, self.names[name])


def engine_of(truth: Truth) -> Engine:
    parts: dict[str, Any] = dict.fromkeys(("databases", "aliases", "schemas", "partitions", "searches", "imports"))
    collections = {name: f"{name}_collection" for name in ("create", "describe", "drop", "rename")}
    indexes = {"create": "create_index", "describe": "describe_indexes", "drop": "drop_index"}
    loading = {"load": "load_collection", "release": "release_collection", "state": "load_state"}
    loading |= {name: name for name in ("load_partitions", "release_partitions")}
    return Engine(
        **parts,
        collections=Part(truth, spec="collection_spec", **collections),  # type: ignore[arg-type] # as much as is asked
        loading=Part(truth, **loading),  # type: ignore[arg-type]
        segments=Part(truth, flush="flush", row_count="row_count"),  # type: ignore[arg-type]
        indexes=Part(truth, **indexes),  # type: ignore[arg-type]
        entities=Part(truth, insert="insert", upsert="upsert", delete="delete"),  # type: ignore[arg-type]
        close=lambda timeout: None,
    )


def spec(name: str) -> CollectionSpec:
    return CollectionSpec(name, [FieldSpec("id", "Int64", is_primary=True)])


class World:
    """A paced engine with one collection ``c``, and the questions that are asked of it here."""

    def __init__(self, pace: Pace = PACE) -> None:
        self.clock = Clock()
        self.truth = Truth()
        self.engine = paced(engine_of(self.truth), pace, self.clock)
        self.engine.collections.create("default", spec("c"))

    def insert(self, count: int, partition: str = "", name: str = "c") -> None:
        self.engine.entities.insert("default", name, partition, [], count)

    def flush(self, name: str = "c") -> None:
        self.engine.segments.flush("default", name)

    def index(self, name: str = "i", collection: str = "c") -> None:
        self.engine.indexes.create("default", collection, "v", name, {})

    def count(self, name: str = "c") -> int:
        return self.engine.segments.row_count("default", name)

    def described(self, name: str = "i", collection: str = "c") -> tuple[str, int, int, int]:
        """State, total, indexed and pending rows."""
        found = {one.name: one for one in self.engine.indexes.describe("default", collection)}[name]
        return found.state, found.total, found.indexed, found.pending

    def loading(self, *partitions: str, name: str = "c") -> LoadInfo:
        return self.engine.loading.state("default", name, list(partitions))
