"""Waiting, decided without a clock, a network or a sleep."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_vectordb.rest import errors
from airflow_vectordb.rest.driver import Sleep
from airflow_vectordb.rest.index.description import BuildState, parse_build_state
from airflow_vectordb.waiting import Done, IndexesBuilt, Pending
from airflow_vectordb.waiting.polling import Deadline, pause_after, poll_until_done, steady_clock

HOUR = 3600.0


def described(state: str = "Finished", **changes: Any) -> BuildState:
    index = {"indexName": "v", "fieldName": "vector", "indexType": "HNSW", "metricType": "COSINE"}
    rows = {"totalRows": 100, "indexedRows": 100, "pendingRows": 0}
    return parse_build_state({**index, "indexState": state, **rows})._replace(**changes)


@dataclass
class World:
    """A server that answers by the clock, a clock that naps move, and a record of it all."""

    answer: Callable[[float], Any]
    now: float = 1_000_000.0
    looks: list[float] = field(default_factory=list)
    naps: list[float] = field(default_factory=list)
    told: list[tuple[int, str]] = field(default_factory=list)
    clock: Callable[[], float] | None = None

    def run(self, wait: IndexesBuilt, *, poll_interval: float = 30.0, limit: float = 24 * HOUR) -> Any:
        begin = self.now
        steps = poll_until_done(
            wait,
            Deadline(begin + limit, "timeout", limit),
            poll_interval=poll_interval,
            started=begin,
            clock=self.clock or (lambda: self.now),
            random=lambda: 1.0,
        )
        outcome: Any = None
        try:
            while True:
                step = steps.throw(outcome) if isinstance(outcome, Exception) else steps.send(outcome)
                if isinstance(step, Sleep):
                    self.naps.append(step.seconds)
                    self.now += step.seconds
                    outcome = None
                    if step.text:
                        self.told.append((step.level, step.text))
                else:
                    self.looks.append(self.now - begin)
                    outcome = self.answer(self.now - begin)
                    if step.path == "indexes/describe" and isinstance(outcome, BuildState):
                        outcome = [outcome]
        except StopIteration as stop:
            return stop.value


WAIT = IndexesBuilt("docs", ("v",))


@pytest.mark.parametrize(
    ("description", "built"),
    [
        (described(), True),
        (described(indexed_rows=40), True),  # small segments get no index
        (described(pending_rows=1), False),
        (described("InProgress"), False),
        (described("Unissued", total_rows=0, indexed_rows=0), False),
        (described("Retry"), False),
        (described(total_rows=0, indexed_rows=0), True),
        (described(pending_rows=None), True),
        (described(pending_rows=None, indexed_rows=40), False),
        (described(pending_rows=None, indexed_rows=None, total_rows=None), True),
        (described("IndexStateNone", pending_rows=None), False),
        (described("Sideways"), False),
    ],
)
def test_built_means_finished_and_nothing_pending(description: BuildState, built: bool) -> None:
    assert isinstance(WAIT.judge([description]), Done if built else Pending)
    assert isinstance(WAIT.judge([described(), description]), Done if built else Pending)


def test_failure_has_the_servers_reason() -> None:
    with pytest.raises(errors.IndexFailedError, match="disk is full"):
        WAIT.judge([described("Failed", fail_reason="disk is full")])
    with pytest.raises(errors.IndexNotFoundError, match="dropped"):
        WAIT.judge([described("Deleted")])


def test_an_empty_collection_whose_index_is_not_issued_is_built() -> None:
    waiting = described("Unissued", total_rows=0, indexed_rows=0)
    world = World(lambda t: 0 if len(world.looks) == 2 else waiting)
    (result,) = world.run(WAIT)
    assert result["state"] == "Unissued"
    assert len(world.looks) == 2  # describe, get_stats
    # The same answer, with rows in the collection, is one to wait for.
    world = World(lambda t: described() if t > 5 else (7 if len(world.looks) % 2 == 0 else waiting))
    world.run(WAIT)
    assert world.now - 1_000_000.0 > 5


@pytest.mark.parametrize("build", [1.0, 30.0, 600.0, 10 * HOUR])
def test_the_end_is_noticed_soon_and_with_few_looks(build: float) -> None:
    world = World(lambda t: described() if t >= build else described("InProgress", pending_rows=50))
    world.run(WAIT)
    assert world.looks[-1] - build <= max(1.0, 0.1 * build)
    until_30_s = [look for look in world.looks if look < 300]
    assert len(until_30_s) <= 75
    assert len(world.looks) <= len(until_30_s) + build / (0.95 * 30) + 2


def test_no_two_looks_are_closer_than_the_floor_whatever_comes_back() -> None:
    answers = [
        errors.GatewayError("x"),
        errors.RateLimitError("x", retry_after=0.0),
        described("InProgress", pending_rows=50),
        errors.AnswerTimeoutError("x"),
        errors.NotMilvusError("html"),
        errors.BrokenAnswerError("x"),
    ]
    world = World(lambda t: described() if t > 20 else answers[len(world.looks) % len(answers)])
    world.run(WAIT)
    assert min(world.naps) >= 0.4
    assert min(pause_after(0, 30, lambda jitter=jitter: jitter) for jitter in (0.0, 0.5, 1.0)) >= 0.4


def test_an_outage_neither_ends_nor_resets_the_wait_and_is_told_seldom() -> None:
    def answer(t: float) -> Any:
        if 60 < t < 2 * HOUR:
            return errors.ConnectError("Connection refused")
        return described() if t > 3 * HOUR else described("InProgress", pending_rows=50)

    world = World(answer)
    world.run(WAIT)
    warnings = [text for level, text in world.told if level == logging.WARNING]
    assert "Connection refused" in warnings[0]
    assert 2 <= len(warnings) <= 2 * HOUR / 300 + 1
    assert any("answers again" in text for level, text in world.told if level == logging.INFO)


def test_what_is_not_milvus_is_an_outage_only_after_milvus_has_answered() -> None:
    world = World(lambda t: errors.NotMilvusError("html"))
    with pytest.raises(errors.NotMilvusError):
        world.run(WAIT)
    assert len(world.looks) == 1
    world = World(lambda t: described() if t > 60 else (errors.NotMilvusError("html") if t > 1 else described("Retry")))
    assert world.run(WAIT)


@pytest.mark.parametrize(
    "error",
    [errors.IndexNotFoundError("gone", code=700), errors.AuthenticationError("revoked"), errors.RedirectError("away")],
)
def test_a_lasting_error_ends_the_wait_at_once(error: errors.MilvusError) -> None:
    world = World(lambda t: error if t > 60 else described("InProgress", pending_rows=50))
    with pytest.raises(type(error)):
        world.run(WAIT)
    assert 60 < world.looks[-1] < 70


@pytest.mark.parametrize("later", [False, True])
def test_a_dropped_index_is_told_from_a_misspelt_one(later: bool) -> None:
    gone = errors.IndexNotFoundError("index not found[index=v]", code=700)
    world = World(lambda t: described("InProgress", pending_rows=50) if later and t < 60 else gone)
    with pytest.raises(errors.IndexNotFoundError) as caught:
        world.run(WAIT)
    hint = "Another client dropped it during the wait." if later else errors.IndexNotFoundError.advice
    assert caught.value.hint == hint


def test_a_proxy_that_lags_does_not_end_the_wait() -> None:
    """Of two behind a load balancer, which answer in turn, it does not know the index, or its collection."""
    known = described("InProgress", pending_rows=50)
    gone = (errors.IndexNotFoundError("gone", code=700), errors.CollectionNotFoundError("gone", code=100))
    answers = itertools.cycle([known, gone[0], known, gone[1]])
    world = World(lambda t: described() if t > HOUR else next(answers))
    assert world.run(WAIT)


@pytest.mark.parametrize("limit", [0.0, 10.0, 1000.0])
def test_the_deadline_is_kept_with_a_last_look_at_it(limit: float) -> None:
    world = World(lambda t: described("InProgress", pending_rows=50))
    with pytest.raises(errors.WaitTimeoutError) as caught:
        world.run(WAIT, limit=limit)
    assert limit <= world.looks[-1] <= limit + 0.2
    assert "timeout" in str(caught.value)
    assert "50 of 100 rows (50%)" in str(caught.value)
    assert caught.value.transient


def test_no_haste_at_the_deadline_either() -> None:
    world = World(lambda t: described("InProgress", pending_rows=50))
    with pytest.raises(errors.WaitTimeoutError):
        world.run(WAIT, limit=0.48)
    assert world.naps == pytest.approx([0.475, 0.1])


def test_a_long_outage_is_told_in_full_once_and_another_error_at_once() -> None:
    def answer(t: float) -> Any:
        if t > HOUR:
            return described()
        return errors.UnavailableError("down for repair", code=1) if 1200 < t < 1300 else errors.ConnectError("refused")

    world = World(answer)
    world.run(WAIT)

    warnings = [text for level, text in world.told if level == logging.WARNING]
    of = "index 'v' of collection 'docs'"
    again = "it fails in the same way as before (ConnectError)"
    assert [text for text in warnings if again not in text] == [
        f"refused. Is it up? Check host and port; still waiting for {of}",
        f"{errors.UnavailableError('down for repair', code=1)}; still waiting for {of}",
    ]
    repeated = [text for text in warnings if again in text]
    assert all(text.startswith(f"still waiting for {of} after ") for text in repeated)
    assert len(repeated) == len(set(repeated)) == 5
    assert len(warnings) == len(set(warnings))


def test_progress_is_told_as_it_moves() -> None:
    world = World(
        lambda t: (
            described() if t >= 100 else described("InProgress", total_rows=10_000, pending_rows=10_000 - int(100 * t))
        )
    )
    world.run(WAIT)
    texts = [text for _, text in world.told]
    assert texts[0] == "docs/v: 0 of 10,000 rows (0%)"
    assert any(text.endswith("s left") and "about" in text for text in texts)
    units = {"min": 60, "s": 1}
    times = [text.split("about ")[1].removesuffix(" left").split() for text in texts if "about" in text]
    left = [sum(int(n) * units[unit] for n, unit in zip(t[::2], t[1::2], strict=True)) for t in times]
    assert left == sorted(left, reverse=True)
    assert len(texts) == len(set(texts))


def test_counts_that_go_backwards_do_no_harm() -> None:
    world = World(lambda t: described() if t >= 100 else described("InProgress", pending_rows=10 if t < 50 else 90))
    world.run(WAIT)
    assert [text for _, text in world.told][:2] == ["docs/v: 90 of 100 rows (90%)", "docs/v: 10 of 100 rows (10%)"]


def test_standstill_is_told_seldom() -> None:
    world = World(lambda t: described() if t >= HOUR else described("InProgress", pending_rows=10))
    world.run(WAIT)
    first, *others = [text for _, text in world.told]
    assert first == "docs/v: 90 of 100 rows (90%)"
    assert all(text.startswith(f"{first} (unchanged for ") for text in others)
    assert len(others) == len(set(others)) == 3


def test_counts_that_go_back_and_forth_are_not_told_each_time() -> None:
    world = World(
        lambda t: described("InProgress", pending_rows=50 + int(t / 30) % 3) if t < 24 * HOUR else described()
    )
    world.run(WAIT)
    texts = [text for _, text in world.told]
    assert len(texts) == len(set(texts)) <= 12


def test_neither_an_outage_nor_a_standstill_keeps_the_other_out_of_the_log() -> None:
    """Each is repeated ever more seldom, the longer it lasts; then the other's turn comes."""

    def told_late(down: Callable[[float], bool], late: float) -> list[str]:
        def answer(t: float) -> Any:
            return errors.ConnectError("refused") if down(t) else described("InProgress", pending_rows=50)

        world = World(lambda t: described() if t > late + HOUR / 2 else answer(t))
        world.run(WAIT)
        return [text for _, text in world.told[-2:]]

    late = 10 * HOUR
    outage = told_late(lambda t: 60 < t < 120 or t > late, late)
    assert "in the same way as before" in outage[-1]
    standstill = told_late(lambda t: 60 < t < late, late)
    assert "answers again" in standstill[0]
    assert "unchanged for 10 h" in standstill[1]


def test_retry_after_is_heeded_within_reason() -> None:
    world = World(lambda t: described() if len(world.looks) > 2 else errors.RateLimitError("x", retry_after=20.0))
    world.run(WAIT)
    assert world.naps == [20.0, 20.0]
    world = World(lambda t: described() if len(world.looks) > 1 else errors.RateLimitError("x", retry_after=1e9))
    world.run(WAIT)
    assert world.naps == [60.0]


@pytest.mark.parametrize("hours", [-2, 2])
@pytest.mark.parametrize("limit", [5.0, HOUR])
def test_a_clock_that_is_set_in_mid_wait_moves_no_deadline(hours: int, limit: float) -> None:
    world = World(lambda t: described("InProgress", pending_rows=50))
    begin = world.now
    world.clock = steady_clock(
        lambda: world.now + (hours * HOUR if world.now > begin + limit / 2 else 0.0), lambda: world.now - 77.0
    )
    with pytest.raises(errors.WaitTimeoutError):
        world.run(WAIT, limit=limit)
    assert limit <= world.looks[-1] <= limit + 0.2
