"""The time of a cluster, seen on a clock that the tests move: what shows of the truth, and when."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest

from airflow_vectordb.local.engine.model import IndexInfo, LoadInfo
from airflow_vectordb.local.engine.paced import paced
from airflow_vectordb.local.errors import ApiError, unexpected
from tests.support.paced_engine import LOADED, PACE, QUICK, Truth, World, engine_of, spec


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
