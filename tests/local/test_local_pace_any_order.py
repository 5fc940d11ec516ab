"""The time of a cluster, whatever happens in which order: no more shows than there is, and all of it in the end."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.paced_engine import PACE, World


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
