"""What both clients do for a call besides the I/O: its body, its retries, and what is logged of them."""

from __future__ import annotations

import logging
import random as _random
from collections.abc import Callable
from typing import Any

from airflow_vectordb.rest import errors
from airflow_vectordb.rest.config import MilvusConfig
from airflow_vectordb.rest.http.call import Call
from airflow_vectordb.rest.http.json import encode
from airflow_vectordb.rest.wording import duration, sentence

#: Seconds, the longest pause before the second attempt; it doubles from attempt to attempt.
BASE_PAUSE = 0.5
#: The same for a limiter that does not say when it opens. At least half of each pause is waited, so that the four of
#: the default outlast ten seconds, which is Milvus's limit of flushes.
LIMITER_PAUSE = 2.0
#: Seconds, the longest pause of all. A server that asks for more (``Retry-After``) gets no further attempt from here:
#: Airflow's own retries are made for such times.
LONGEST_PAUSE = 60.0

_log = logging.getLogger(__name__)


def encode_body(config: MilvusConfig, call: Call[Any]) -> bytes | bytearray:
    """Return what to post; raise InvalidParametersError if that cannot be encoded."""
    try:
        return encode(call.body if config.database is None else {"dbName": config.database, **call.body})
    except errors.InvalidParametersError as error:
        raise error.with_context(where=_where(config, call)) from None


def _where(config: MilvusConfig, call: Call[Any]) -> errors.Where:
    return errors.Where(call.path, call.target(config.database), config.url, call.names(config.database))


class Attempts:
    """
    The attempts of a call.

    :param retries: attempts after the first; None: the configured one
    """

    def __init__(self, config: MilvusConfig, call: Call[Any], retries: int | None) -> None:
        self._config = config
        self._call = call
        self._retries = config.retries if retries is None else retries
        self._made = 0
        self._reported: dict[object, int] = {}

    def failed(self, error: errors.MilvusError) -> float:
        """
        Return the seconds before the next attempt, after one has failed, and log them.

        :raises MilvusError: when there is no next one: the error, with where it happened
        """
        self._made += 1
        pause = pause_after(error, self._made, retries=self._retries, idempotent=self._call.idempotent)
        if isinstance(error, errors.AuthenticationError) and self._config.token is None:
            error = error.with_context(
                cause="Milvus requires credentials; none were sent",
                hint="Set login and password (an API key: password alone).",
            )
        error = error.with_context(where=_where(self._config, self._call))
        if pause is None:
            raise error.with_context(attempts=self._made) from error.__cause__
        kind = (type(error), error.code, error.http_status, error.message)
        first = self._reported.setdefault(kind, self._made)
        if first < self._made:
            text = f"attempt {self._made} of {self._retries + 1} failed in the same way as attempt {first}"
        else:
            text = f"{sentence(str(error))} Attempt {self._made} of {self._retries + 1}"
        _log.warning("%s; next in %s", text, duration(pause))
        return pause


def pause_after(
    error: errors.MilvusError,
    attempt: int,
    *,
    retries: int,
    idempotent: bool = True,
    random: Callable[[], float] = _random.random,
) -> float | None:
    """
    Return the seconds before the next attempt: exponential backoff with full jitter; None: there is none.

    Rate limits get the pause they ask for, or a longer one than other errors, since immediate retries would prolong
    them.

    :param attempt: how many attempts have failed, this one included
    """
    if not error.transient or attempt > retries or not (idempotent or error.not_executed):
        return None
    limited = isinstance(error, errors.RateLimitError)
    factor = 2.0 ** min(attempt - 1, 30)
    if limited and error.retry_after is None:
        return (0.5 + 0.5 * random()) * min(LONGEST_PAUSE, LIMITER_PAUSE * factor)
    pause = random() * min(LONGEST_PAUSE, BASE_PAUSE * factor)
    if error.retry_after is None:
        return pause
    if error.retry_after > LONGEST_PAUSE:
        return None
    # Many calls are rejected together, but admitted one at a time, so spread their retries.
    spread = error.retry_after * min(attempt - 1, 3) if limited else 0.0
    return max(pause, min(LONGEST_PAUSE, error.retry_after + (1.0 - random()) * spread))
