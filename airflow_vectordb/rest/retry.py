"""When a failed call is made again, and after how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from airflow_vectordb.rest.errors import MilvusError


@dataclass(frozen=True)
class RetryPolicy:
    """
    Exponential backoff with full jitter.

    :param retries: attempts after the first
    :param base: seconds, the longest pause before the second attempt; it doubles from attempt to attempt
    :param longest: seconds, the longest pause of all. A server that asks for more (``Retry-After``) gets no further
        attempt from here: Airflow's own retries are made for such times.
    """

    retries: int = 4
    base: float = 0.5
    longest: float = 60.0

    def pause(self, attempt: int, error: MilvusError, *, repeatable: bool, random: Callable[[], float]) -> float | None:
        """
        Decide what follows a failed attempt.

        :param attempt: how many attempts have failed, this one included
        :param error: why it failed
        :param repeatable: whether the call may be made twice
        :param random: gives numbers from 0 to 1
        :return: seconds to wait before the next attempt; None: there is none
        """
        if not error.transient or attempt > self.retries:
            return None
        if not repeatable and not error.without_effect:
            return None
        pause = random() * min(self.longest, self.base * 2.0 ** min(attempt - 1, 30))
        if error.retry_after is None:
            return pause
        return None if error.retry_after > self.longest else max(pause, error.retry_after)


__all__ = ["RetryPolicy"]
