"""How often a wait looks, how late it notices, and when it gives up."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from airflow_vectordb._compat import AirflowException, AirflowFailException
from tests.support.fake_milvus import FakeMilvus
from tests.support.harness import HNSW, Clock, Looks, Operating
from tests.support.scripted import Behaviour, Serve, page

HOUR = 3600.0
PENDING = {"indexState": "InProgress", "totalRows": 50_000, "indexedRows": 20_000, "pendingRows": 30_000}


def build_of(seconds: float, clock: Clock) -> FakeMilvus:
    return FakeMilvus(progress=lambda name: {} if clock.elapsed >= seconds else PENDING)


@pytest.mark.parametrize("seconds", [0.3, 1, 7, 30, 600, 10 * HOUR])
def test_few_looks_and_none_late(seconds: float, serve: Serve, operating: Operating, clock: Clock) -> None:
    seen = Looks(clock, build_of(seconds, clock))

    operating.create(serve(seen), poll_interval=30)

    late = clock.elapsed - seconds
    assert -1e-6 <= late <= max(1.0, min(30.0, 0.1 * seconds)) + 1e-6
    # First they are 0.4 to 0.5 s apart, then at least 6% of the time so far, in the end 24 to 30 s.
    growing = math.log(min(max(seconds, 6.0), 375.0) / 6.0) / math.log(1.06)
    assert len(seen.times) <= 4 + min(seconds, 6.0) / 0.4 + growing + max(0.0, seconds - 375.0) / 24.0
    assert min(seen.gaps) >= 0.4 - 1e-6
    for since, gap in zip(seen.times, seen.gaps, strict=False):  # no build would have been noticed later than that
        assert gap <= min(30.0, max(1.0, 0.1 * since)) + 1e-6


@pytest.mark.parametrize("poll_interval", [0.1, 0.2, 2.0, 30.0, 300.0])
def test_the_poll_interval_is_the_longest_pause(
    poll_interval: float, serve: Serve, operating: Operating, clock: Clock
) -> None:
    seconds = min(poll_interval * 40, HOUR)
    seen = Looks(clock, build_of(seconds, clock))

    operating.create(serve(seen), poll_interval=poll_interval)

    assert max(seen.gaps) <= poll_interval + 1e-6
    assert min(seen.gaps) >= 0.8 * min(poll_interval, 0.5) - 1e-6
    assert -1e-6 <= clock.elapsed - seconds <= poll_interval + 1e-6


def test_waits_that_begin_together_do_not_look_together(serve: Serve, operating: Operating, clock: Clock) -> None:
    seen = Looks(clock, build_of(900, clock))
    operating.create(serve(seen), poll_interval=10)
    full = [gap for since, gap in zip(seen.times, seen.gaps, strict=False) if since > 200]
    assert 8.0 - 1e-6 <= min(full) < 8.7 < 9.3 < max(full) <= 10.0 + 1e-6


@pytest.mark.parametrize(
    ("arguments", "limit", "words"),
    [
        ({"timeout": 600}, 600, ["10 min", "timeout"]),
        ({"timeout": timedelta(hours=3)}, 3 * HOUR, ["3 h", "timeout"]),
        ({"timeout": 90.0, "execution_timeout": timedelta(hours=1)}, 90, ["1 min 30 s", "timeout"]),
        # A little earlier than Airflow's own alarm, whose message says nothing of the index.
        ({"execution_timeout": timedelta(minutes=20)}, 1199, ["20 min", "execution_timeout"]),
        ({}, 24 * HOUR, ["1 day"]),
    ],
)
def test_the_deadline(
    arguments: dict[str, Any], limit: float, words: list[str], serve: Serve, operating: Operating, clock: Clock
) -> None:
    seen = Looks(clock, build_of(math.inf, clock))

    with pytest.raises(AirflowException) as caught:
        operating.create(serve(seen), poll_interval=600, **arguments)

    assert not isinstance(caught.value, AirflowFailException)  # Airflow's retries wait on
    for word in ("task index", "'vector'", "'docs'", "20,000 of 50,000 rows (40%)", *words):
        assert word in str(caught.value)
    assert limit <= clock.elapsed <= limit + 0.5
    assert seen.times[-1] == pytest.approx(clock.elapsed)  # a last look before giving up
    assert min(seen.gaps[:-1]) >= 0.4 - 1e-6


def test_the_deadline_within_an_outage(serve: Serve, operating: Operating, clock: Clock) -> None:
    def answer(elapsed: float) -> Behaviour | None:
        return page(503, "Down for maintenance") if elapsed > 60 else None

    seen = Looks(clock, build_of(math.inf, clock), answer)

    with pytest.raises(AirflowException, match=r"(?s)10 min \(timeout\).*Down for maintenance") as caught:
        operating.create(serve(seen), timeout=600)

    assert not isinstance(caught.value, AirflowFailException)
    assert clock.elapsed < 601


def test_a_wait_that_is_done_at_its_deadline(serve: Serve, operating: Operating, clock: Clock) -> None:
    seen = Looks(clock, build_of(59.9, clock))
    (index,) = operating.create(serve(seen), timeout=60, poll_interval=300)
    assert index["state"] == "Finished"


def test_hardly_any_time(serve: Serve, operating: Operating, clock: Clock) -> None:
    seen = Looks(clock, build_of(10, clock))
    with pytest.raises(AirflowException, match="timeout"):
        operating.create(serve(seen), timeout=0.001)
    assert clock.elapsed < 1


def test_one_connection_for_hours(serve: Serve, operating: Operating, clock: Clock) -> None:
    server = serve(Looks(clock, build_of(HOUR, clock)))
    operating.create(server)
    assert len(server.requests) > 100
    assert server.connections == 1


def test_a_retry_after_the_deadline_waits_on(serve: Serve, operating: Operating, clock: Clock) -> None:
    server = serve(Looks(clock, build_of(900, clock)))
    with pytest.raises(AirflowException, match="retry"):
        operating.create(server, [HNSW], timeout=600)

    (index,) = operating.create(server, [HNSW], timeout=600, try_number=2)

    assert index["state"] == "Finished"
    assert server.paths.count("indexes/create") == 1
