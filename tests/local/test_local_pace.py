"""The time of a cluster, seen on a clock that the tests move: what shows of the truth, and when."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_vectordb.local import Pace
from airflow_vectordb.local.engine.base import Engine
from airflow_vectordb.local.engine.calls import Written
from airflow_vectordb.local.engine.model import CollectionInfo, CollectionSpec, FieldSpec, IndexInfo, LoadInfo
from airflow_vectordb.local.engine.paced import paced
from airflow_vectordb.local.errors import ApiError, collection_not_found, no_load_state, unexpected

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


@pytest.fixture
def world() -> World:
    return World()


def test_no_pace_is_the_engine_itself() -> None:
    engine = engine_of(Truth())
    assert paced(engine, None) is engine


def test_after_a_flush_rows_are_counted_then_sealed_then_built(world: World) -> None:
    """As seen on Milvus 2.6.3: `Finished, 0 of 0 rows`, then all of them pending, then built."""
    world.index()
    world.insert(1000)
    assert world.count() == 0
    world.clock.move(100)
    assert world.count() == 0  # however long ago they were inserted
    world.flush()
    seen = []
    for moment, seconds in ((0, 0.9), (0.9, 0.2), (1.1, 1.8), (2.9, 0.2), (3.1, 2.9), (6, 2.9), (8.9, 0.2), (9.1, 0)):
        seen.append((moment, world.count(), world.described()))
        world.clock.move(seconds)
    assert seen == [
        (0, 0, ("Finished", 0, 0, 0)),
        (0.9, 0, ("Finished", 0, 0, 0)),
        (1.1, 1000, ("Finished", 0, 0, 0)),
        (2.9, 1000, ("Finished", 0, 0, 0)),
        (3.1, 1000, ("Finished", 1000, 16, 984)),
        (6, 1000, ("Finished", 1000, 500, 500)),
        (8.9, 1000, ("Finished", 1000, 983, 17)),
        (9.1, 1000, ("Finished", 1000, 1000, 0)),
    ]


def test_an_index_over_sealed_rows_goes_through_all_states(world: World) -> None:
    world.insert(1000)
    world.flush()
    world.clock.move(20)
    world.index()
    seen = []
    for _ in range(90):
        seen.append(world.described())
        world.clock.move(0.1)
    states = [state for state, *_ in seen]
    assert list(dict.fromkeys(states)) == ["Unissued", "InProgress", "Finished"]
    assert seen[0] == ("Unissued", 1000, 0, 1000)
    assert states.count("Unissued") == 20
    # Finished is said before it is so.
    first_finished = seen[states.index("Finished")]
    assert first_finished[3] == pytest.approx(250, abs=20)
    assert seen[-1] == ("Finished", 1000, 1000, 0)
    pending = [rows for *_, rows in seen]
    assert pending == sorted(pending, reverse=True)
    assert len(set(pending)) > 30
    assert all(indexed + rows == total == 1000 for _, total, indexed, rows in seen)


def test_more_rows_take_longer(world: World) -> None:
    took = []
    for rows in (1000, 10_000):
        world.insert(rows)
        world.flush()
        world.clock.move(100)
        world.index(f"i{rows}")
        start = world.clock.now
        while world.described(f"i{rows}")[3]:
            world.clock.move(0.25)
        took.append(world.clock.now - start)
    assert took == [2 + 4 + 2 * 1, 2 + 4 + 2 * 11]


def test_an_index_that_was_not_there_covers_nothing_of_what_is_not_sealed(world: World) -> None:
    world.insert(1000)
    world.flush()
    world.clock.move(1)
    world.index()
    assert world.described() == ("Finished", 0, 0, 0)
    world.clock.move(2.1)
    state, total, _, pending = world.described()
    assert (state, total, pending > 900) == ("Finished", 1000, True)


@pytest.mark.parametrize("rows", [0, 1000])
def test_a_build_of_no_time_may_begin_late(rows: int) -> None:
    world = World(dataclasses.replace(QUICK, issue=2))
    world.insert(rows)
    world.flush()
    world.clock.move(1)
    world.index()
    assert world.described() == ("Unissued" if rows else "Finished", rows, 0, rows)
    world.clock.move(2)
    assert world.described() == ("Finished", rows, rows, 0)


def test_an_index_over_nothing_is_finished(world: World) -> None:
    world.index()
    assert world.described() == ("Finished", 0, 0, 0)


def test_an_index_that_is_there_is_not_built_anew(world: World) -> None:
    world.insert(1000)
    world.flush()
    world.index()
    world.clock.move(100)
    world.index()
    assert world.described() == ("Finished", 1000, 1000, 0)
    world.engine.indexes.drop("default", "c", "i")
    world.index()
    assert world.described() == ("Unissued", 1000, 0, 1000)


def test_builds_of_several_flushes_come_one_after_the_other() -> None:
    world = World(dataclasses.replace(PACE, flush_interval=0))
    world.index()
    for _ in range(3):
        world.insert(1000)
        world.flush()
    # 3 s until they are sealed, then 4 s and 2 s more for each.
    for moment, pending in ((3, 3000), (9, 2000), (15, 1000), (21, 0)):
        world.clock.now = moment
        assert world.described() == ("Finished", 3000, 3000 - pending, pending)


def test_rows_in_the_place_of_others_are_built_anew(world: World) -> None:
    """A retried ingest writes the same keys: no row more, but a segment more."""
    world.index()
    world.insert(1000)
    world.flush()
    world.clock.move(100)
    world.engine.entities.upsert("default", "c", "", [], 400, partial=False)
    world.flush()
    assert (world.count(), world.described()) == (1000, ("Finished", 1000, 1000, 0))
    world.clock.move(3)
    assert (world.count(), world.described()) == (1000, ("Finished", 1000, 600, 400))
    world.clock.move(100)
    assert world.described() == ("Finished", 1000, 1000, 0)


def test_a_flush_of_nothing_changes_nothing(world: World) -> None:
    world.index()
    world.insert(10)
    world.flush()
    world.clock.move(100)
    world.flush()
    for _ in range(10):
        assert (world.count(), world.described()) == (10, ("Finished", 10, 10, 0))
        world.clock.move(1)


def test_rows_of_an_import_are_counted_when_it_is_complete(world: World) -> None:
    world.index()
    world.truth.written["c"]["_default"] = world.truth.flushed["c"]["_default"] = 500
    assert (world.count(), world.described()) == (500, ("Finished", 500, 500, 0))
    world.insert(10)
    world.flush()
    assert (world.count(), world.described()) == (500, ("Finished", 500, 500, 0))
    world.clock.move(1)
    assert world.count() == 510


@pytest.mark.parametrize("after", [0.0, 0.5])
def test_rows_that_are_counted_after_someone_has_looked(world: World, after: float) -> None:
    """While a flush is at work, or in front of a Milvus, which counts what it has sealed somewhat later."""
    world.index()
    world.insert(1000)
    world.truth.flush, flush = lambda *_: None, world.truth.flush  # type: ignore[method-assign]
    world.flush()
    assert (world.count(), world.described()) == (0, ("Finished", 0, 0, 0))
    world.clock.move(after)
    flush("default", "c")
    assert (world.count(), world.described()) == (0, ("Finished", 0, 0, 0))
    world.clock.move(1)
    assert (world.count(), world.described()) == (1000, ("Finished", 0, 0, 0))
    world.clock.move(2)
    assert world.described() == ("Finished", 1000, 0, 1000)


def test_fewer_rows_are_told_at_once(world: World) -> None:
    world.index()
    world.insert(1000)
    world.flush()
    world.clock.move(4)
    world.truth.flushed["c"] = Counter(_default=300)
    assert world.count() == 300
    _, total, indexed, pending = world.described()
    assert (total, indexed, pending) == (300, 0, 300)


def test_rows_of_partitions_are_counted_with_the_others(world: World) -> None:
    world.insert(100, "p")
    world.insert(50)
    world.flush()
    world.clock.move(50)
    world.insert(10, "p")
    world.flush()

    def counts() -> list[int]:
        return [world.engine.segments.row_count("default", "c", name) for name in ("_default", "p")]

    assert (world.count(), counts()) == (150, [50, 100])
    world.clock.move(1)
    assert (world.count(), counts()) == (160, [50, 110])


def test_the_limit_on_flushes(world: World) -> None:
    world.engine.collections.create("default", spec("other"))
    world.truth.aliases["al"] = "c"
    world.flush()
    world.flush("other")
    for name in ("c", "al"):
        with pytest.raises(ApiError) as caught:
            world.flush(name)
        assert (caught.value.code, caught.value.http_status, caught.value.message) == (
            1807,
            200,
            "request is rejected by limiter, error: request is rejected by grpc RateLimiter middleware, "
            "please retry later: rate limit exceeded[rate=0.1]",
        )
    world.clock.move(9.9)
    with pytest.raises(ApiError):
        world.flush()
    world.clock.move(0.1)
    world.flush()


def test_a_limit_of_its_own_or_none() -> None:
    world = World(dataclasses.replace(PACE, flush_interval=2))
    world.flush()
    with pytest.raises(ApiError, match=r"rate=0\.5\]"):
        world.flush()
    world = World(dataclasses.replace(PACE, flush_interval=0))
    for _ in range(5):
        world.flush()


def test_a_flush_that_failed_does_not_count(world: World) -> None:
    world.index()
    world.insert(1000)
    world.truth.failing = unexpected("the disk is on fire")
    with pytest.raises(ApiError, match="fire"):
        world.flush()
    world.truth.failing = None
    world.flush()
    world.clock.move(3)
    assert world.described() == ("Finished", 1000, 0, 1000)
    with pytest.raises(ApiError) as caught:
        world.flush("nosuch")
    assert caught.value.code == 100


def test_loading_takes_a_while_and_tells_its_percentage(world: World) -> None:
    world.insert(2000)
    world.flush()
    world.clock.move(50)
    assert world.loading() == LoadInfo("LoadStateNotLoad")
    world.engine.loading.load("default", "c")
    seen = []
    for _ in range(5):
        seen.append(world.loading())
        info = world.engine.collections.describe("default", "c")
        assert info.load_state == seen[-1].state
        world.clock.move(1)
    assert seen == [LoadInfo("LoadStateLoading", percent) for percent in (0, 25, 50, 75)] + [LOADED]
    # Loading what is loaded takes no time.
    world.engine.loading.load("default", "c")
    assert world.loading() == LOADED


def test_loading_again_goes_on_with_the_same(world: World) -> None:
    world.engine.loading.load("default", "c")
    world.clock.move(1)
    world.engine.loading.load("default", "c")
    assert world.loading() == LoadInfo("LoadStateLoading", 50)
    world.engine.loading.release("default", "c")
    assert world.loading() == LoadInfo("LoadStateNotLoad")
    world.engine.loading.load("default", "c")
    assert world.loading() == LoadInfo("LoadStateLoading", 0)


def test_partitions_load_each_for_itself(world: World) -> None:
    world.engine.loading.load_partitions("default", "c", ["p"])
    assert world.loading("p") == LoadInfo("LoadStateLoading", 0)
    released = LoadInfo("LoadStateLoading", -1, "partition not loaded[partition=7].")
    assert [world.loading("_default"), world.loading("p", "_default")] == [released, released]
    world.clock.move(2)
    assert [world.loading("p"), world.loading()] == [LOADED, LOADED]
    world.engine.loading.load("default", "c")
    world.clock.move(1)
    half = LoadInfo("LoadStateLoading", 50)
    assert [world.loading("p"), world.loading("_default"), world.loading()] == [LOADED, half, half]
    world.engine.loading.release_partitions("default", "c", ["_default"])
    assert [world.loading("p"), world.loading("_default"), world.loading()] == [LOADED, released, LOADED]


def test_a_dropped_collection_leaves_nothing_to_the_next_of_its_name(world: World) -> None:
    world.index()
    world.insert(1000)
    world.flush()
    world.engine.loading.load("default", "c")
    world.engine.collections.drop("default", "c")
    with pytest.raises(ApiError):
        world.loading()
    world.engine.collections.create("default", spec("c"))
    world.index()
    world.flush()  # not limited by the flush of the other one
    assert (world.count(), world.described()) == (0, ("Finished", 0, 0, 0))
    world.engine.loading.load("default", "c")
    assert world.loading() == LoadInfo("LoadStateLoading", 0)


def test_what_is_under_way_goes_on_under_a_new_name(world: World) -> None:
    world.index()
    world.insert(1000)
    world.flush()
    world.engine.loading.load("default", "c")
    world.engine.collections.rename("default", "c", "", "d")
    assert world.loading(name="d") == LoadInfo("LoadStateLoading", 0)
    world.clock.move(3)
    assert world.described(collection="d") == ("Finished", 1000, 0, 1000)


def test_an_alias_shows_the_same(world: World) -> None:
    world.truth.aliases["al"] = "c"
    world.index(collection="al")
    world.insert(1000, name="al")
    world.flush("al")
    world.engine.loading.load("default", "al")
    world.clock.move(1)
    assert (world.count(), world.count("al")) == (1000, 1000)
    assert world.loading() == world.loading(name="al") == LoadInfo("LoadStateLoading", 33)
    world.clock.move(2)
    assert world.described() == world.described(collection="al") == ("Finished", 1000, 0, 1000)


def test_a_restart_finishes_what_was_pending(world: World) -> None:
    world.index()
    world.insert(1000)
    world.flush()
    world.engine.loading.load("default", "c")
    world.engine = paced(engine_of(world.truth), PACE, world.clock)
    assert (world.count(), world.described(), world.loading()) == (1000, ("Finished", 1000, 1000, 0), LOADED)


def test_an_engine_that_takes_time_itself_takes_it_too(world: World) -> None:
    """In front of a Milvus: a state that is not finished, and rows that are pending, are its own."""
    world.index()
    world.insert(1000)
    world.flush()
    world.clock.move(3)
    building = IndexInfo("i", "v", {}, "InProgress", total=1000, indexed=900, pending=100)
    world.truth.describe_indexes = lambda database, collection: [building]  # type: ignore[method-assign]
    assert world.described() == ("InProgress", 1000, 0, 1000)
    world.clock.move(3)
    assert world.described() == ("InProgress", 1000, 400, 600)
    world.clock.move(100)
    assert world.described() == ("InProgress", 1000, 900, 100)


def test_a_caller_who_may_not_count_sees_the_truth(world: World) -> None:
    """Who may ask for an index may do so whatever else is denied; the pace needs more than that."""

    def denied(database: str, name: str, partition: str = "") -> int:
        raise ApiError(65535, "PrivilegeGetStatistics: permission deny", http_status=403)

    world.index()
    world.truth.row_count, count = denied, world.truth.row_count  # type: ignore[method-assign]
    world.truth.describe_indexes = lambda *_: [IndexInfo("i", "v", {}, total=5, indexed=5)]  # type: ignore[method-assign]
    world.insert(5)
    world.flush()
    assert world.described() == ("Finished", 5, 5, 0)
    with pytest.raises(ApiError, match="permission deny"):
        world.count()
    world.truth.row_count = count  # type: ignore[method-assign]


def test_everybody_at_once() -> None:
    """Readers, writers and flushes of one collection: nothing is lost, nothing shows that is not there."""
    world = World(dataclasses.replace(PACE, flush_interval=0))
    world.index()
    wrong: list[Any] = []

    def write(_: int) -> None:
        for _ in range(50):
            world.insert(1)
            world.flush()

    def read(_: int) -> None:
        for _ in range(200):
            _, total, indexed, pending = world.described()
            if not 0 <= indexed <= total <= 200 or pending > total or world.count() > 200:
                wrong.append((total, indexed, pending))
            world.clock.now += 0.001  # not atomic, and nobody minds

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda job: job[0](job[1]), [(write, i) for i in range(4)] + [(read, i) for i in range(4)]))
    assert wrong == []
    world.flush()
    world.clock.move(10_000)
    assert (world.count(), world.described()) == (200, ("Finished", 200, 200, 0))
    ledger = next(iter(world.engine.segments._ledgers._ledgers.values()))  # type: ignore[attr-defined]
    assert (ledger.sealed, ledger.builds) == ([], [])


_STEPS = st.one_of(
    st.tuples(st.just("insert"), st.integers(1, 3000)),
    st.tuples(st.just("upsert"), st.integers(1, 3000)),
    st.tuples(st.just("flush"), st.none()),
    st.tuples(st.just("index"), st.sampled_from("ij")),
    st.tuples(st.just("wait"), st.floats(0, 8)),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(_STEPS, max_size=25))
def test_it_shows_no_more_than_there_is_and_all_of_it_in_the_end(steps: list[tuple[str, Any]]) -> None:
    world = World(dataclasses.replace(PACE, flush_interval=0))
    last = 0
    for step, value in steps:
        if step == "insert":
            world.insert(value)
        elif step == "upsert":
            world.engine.entities.upsert("default", "c", "", [], value, partial=False)
        elif step == "flush":
            world.flush()
        elif step == "index":
            world.index(value)
        else:
            world.clock.move(value)
        truth = world.truth.row_count("default", "c")
        # Nothing is deleted here, so counts only grow; descriptions come after rowCount.
        assert last <= (last := world.count()) <= truth
        for index in world.truth.indexes["c"]:
            state, total, indexed, pending = world.described(index)
            assert (state in ("Unissued", "InProgress", "Finished"), indexed + pending) == (True, total)
            assert total <= last
            assert pending or state == "Finished"
    world.clock.move(10_000)
    truth = world.truth.row_count("default", "c")
    assert world.count() == truth
    for index in world.truth.indexes["c"]:
        assert world.described(index) == ("Finished", truth, truth, 0)


@pytest.mark.parametrize(
    ("text", "pace"),
    [
        ("immediate", None),
        ("real", Pace()),
        ("quick", QUICK),
        ("quick,load=5", dataclasses.replace(QUICK, load=5)),
        ("real,build=8", Pace(build=8)),
        (" real , flush_interval = 0 ,load=.5", Pace(flush_interval=0, load=0.5)),
    ],
)
def test_a_pace_as_text(text: str, pace: Pace | None) -> None:
    assert Pace.of(text) == Pace.parse(text) == pace


def test_the_default_is_quick_but_before_an_engine_that_takes_time_of_its_own() -> None:
    assert Pace.of(None) == QUICK
    assert Pace.of(None, backend=True) is None
    assert Pace.of(QUICK, backend=True) is QUICK


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "immediate, quick or real"),
        ("fast", "immediate, quick or real"),
        ("immediate,build=1", "immediate, quick or real"),
        ("real,biuld=1", "'biuld'; build?"),
        ("real,x=1", "row_count, total_rows"),
        ("real,build", "number of seconds"),
        ("real,build=soon", "'soon'"),
        ("real,build=-1", "-1.0"),
        ("real,build=nan", "nan"),
        ("real,build=inf", "inf"),
    ],
)
def test_what_is_no_pace(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        Pace.parse(text)


@pytest.mark.parametrize("value", ["1", None, True, -0.1])
def test_what_is_no_number_of_seconds(value: Any) -> None:
    with pytest.raises(ValueError, match="load of a pace"):
        Pace(load=value)
