"""The one retry policy."""

from __future__ import annotations

import pytest

from airflow_vectordb.rest import errors
from airflow_vectordb.rest.http.flow import pause_after

UNAVAILABLE = errors.UnavailableError("x")


def pauses(retries: int, error: errors.MilvusError, *, idempotent: bool = True, random: float = 1.0) -> list[float]:
    found: list[float] = []
    while True:
        attempt = len(found) + 1
        pause = pause_after(error, attempt, retries=retries, idempotent=idempotent, random=lambda: random)
        if pause is None:
            return found
        found.append(pause)
        assert attempt < 100


def test_pauses_double_and_their_number_is_bounded() -> None:
    assert pauses(4, UNAVAILABLE) == [0.5, 1.0, 2.0, 4.0]
    assert pauses(0, UNAVAILABLE) == []
    assert max(pauses(50, UNAVAILABLE)) == 60.0


def test_jitter_is_full() -> None:
    assert pauses(3, UNAVAILABLE, random=0.0) == [0.0, 0.0, 0.0]
    assert pauses(3, UNAVAILABLE, random=0.5) == [0.25, 0.5, 1.0]


def test_permanent_errors_are_not_repeated() -> None:
    assert pauses(4, errors.CollectionNotFoundError("x")) == []


@pytest.mark.parametrize(
    ("error", "repeated"),
    [
        (errors.ConnectError("refused"), True),
        (errors.RateLimitError("x"), True),
        (errors.UnavailableError("x"), False),
        (errors.AnswerTimeoutError("x"), False),
        (errors.BrokenAnswerError("x"), False),
    ],
)
def test_what_may_have_had_an_effect_is_not_repeated(error: errors.MilvusError, repeated: bool) -> None:
    assert bool(pauses(2, error, idempotent=False)) is repeated
    assert pauses(2, error, idempotent=True)


def test_retry_after_is_the_least_pause_and_a_long_one_ends_it() -> None:
    assert pauses(2, errors.RateLimitError("x", retry_after=3.0)) == [3.0, 3.0]
    assert pauses(2, errors.RateLimitError("x", retry_after=0.1)) == [0.5, 1.0]
    assert pauses(2, errors.RateLimitError("x", retry_after=3600.0)) == []


def test_a_limiter_that_does_not_say_when_is_given_more_time() -> None:
    limited = errors.RateLimitError("too many requests")
    assert pauses(4, limited) == [2.0, 4.0, 8.0, 16.0]
    assert pauses(4, limited, random=0.0) == [1.0, 2.0, 4.0, 8.0]  # more than ten seconds
    assert max(pauses(50, limited)) == 60.0


def test_those_that_meet_before_a_limiter_again_are_spread_out() -> None:
    limited = errors.RateLimitError("x", retry_after=10.0)
    assert pauses(5, limited, random=1.0) == [10.0] * 5
    assert pauses(5, limited, random=0.0) == [10.0, 20.0, 30.0, 40.0, 40.0]
    assert pauses(3, errors.RateLimitError("x", retry_after=50.0), random=0.0) == [50.0, 60.0, 60.0]
    assert pauses(3, errors.RateLimitError("x", retry_after=61.0)) == []


def test_any_number_of_retries_will_do() -> None:
    assert pause_after(UNAVAILABLE, 4000, retries=5000, random=lambda: 1.0) == 60.0
