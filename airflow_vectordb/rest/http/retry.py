"""When to retry a failed call, and after which pause."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from airflow_vectordb.rest.errors import MilvusError, RateLimitError


@dataclass(frozen=True)
class RetryPolicy:
    """
    Exponential backoff with full jitter.

    Rate limits get the pause they ask for, or a longer one than other errors, since immediate retries would prolong
    them.

    :param retries: attempts after the first
    :param base: seconds, the longest pause before the second attempt; it doubles from attempt to attempt
    :param limiter_base: seconds, likewise, for a limiter that does not say when it opens. At least half of each pause
        is waited, so that the four of the default outlast ten seconds, which is Milvus's limit of flushes
    :param longest: seconds, the longest pause of all. A server that asks for more (``Retry-After``) gets no further
        attempt from here: Airflow's own retries are made for such times.
    """

    retries: int = 4
    base: float = 0.5
    limiter_base: float = 2.0
    longest: float = 60.0

    def pause(self, attempt: int, error: MilvusError, *, idempotent: bool, random: Callable[[], float]) -> float | None:
        """
        Return the pause before the next attempt, or None.

        :param attempt: how many attempts have failed, this one included
        :param error: why it failed
        :param idempotent: whether the call may be made twice
        :param random: gives numbers from 0 to 1
        :return: seconds to wait before the next attempt; None: there is none
        """
        if not error.transient or attempt > self.retries:
            return None
        if not idempotent and not error.not_executed:
            return None
        limited = isinstance(error, RateLimitError)
        factor = 2.0 ** min(attempt - 1, 30)
        if limited and error.retry_after is None:
            return (0.5 + 0.5 * random()) * min(self.longest, self.limiter_base * factor)
        pause = random() * min(self.longest, self.base * factor)
        if error.retry_after is None:
            return pause
        if error.retry_after > self.longest:
            return None
        # Many calls are rejected together, but admitted one at a time, so spread their retries.
        spread = error.retry_after * min(attempt - 1, 3) if limited else 0.0
        return max(pause, min(self.longest, error.retry_after + (1.0 - random()) * spread))
