"""The logic of a call without the I/O, shared by both clients: its body, its retries, and what is logged of them."""

from __future__ import annotations

import logging
import random as _random
from collections.abc import Callable, Generator
from itertools import count
from typing import Any, TypeVar

from airflow_vectordb.rest import errors
from airflow_vectordb.rest.config import MilvusConfig
from airflow_vectordb.rest.driver import Sleep
from airflow_vectordb.rest.http.call import Call
from airflow_vectordb.rest.http.json import encode
from airflow_vectordb.rest.wording import duration, sentence

T = TypeVar("T")
#: A client's own form of the bytes to post.
Body = TypeVar("Body")

#: Seconds, the longest pause before the second attempt; it doubles from attempt to attempt.
BASE_PAUSE = 0.5
#: The same for a limiter that does not say when it opens. At least half of each pause is waited, so that the four of
#: the default outlast ten seconds, which is Milvus's limit of flushes.
LIMITER_PAUSE = 2.0
#: Seconds, the longest pause of all. A server that asks for more (``Retry-After``) gets no further attempt from here:
#: Airflow's own retries are made for such times.
LONGEST_PAUSE = 60.0

#: Writes a line about attempts.
log = logging.getLogger(__name__).log


def encode_body(config: MilvusConfig, call: Call[Any]) -> bytes | bytearray:
    """Return what to post; raise InvalidParametersError if that cannot be encoded."""
    try:
        return encode(call.body if config.database is None else {"dbName": config.database, **call.body})
    except errors.InvalidParametersError as error:
        raise error.with_context(where=_where(config, call)) from None


def _where(config: MilvusConfig, call: Call[Any]) -> errors.Where:
    return errors.Where(call.path, call.target(config.database), config.url, call.names(config.database))


def request_flow(
    config: MilvusConfig, call: Call[T], body: Body, *, retries: int | None = None
) -> Generator[Body | Sleep, T, T]:
    """
    Make a call, retries included: a generator of steps, see :mod:`~airflow_vectordb.rest.driver`.

    Whenever it yields the body, post it, and send in the call's result, or throw in the error.

    :param retries: attempts after the first; None: the configured one
    :return: the result
    :raises MilvusError: the last attempt's error, with where it happened
    """
    retries = config.retries if retries is None else retries
    reported: dict[object, int] = {}
    for attempt in count(1):
        try:
            result = yield body
            return result
        except errors.MilvusError as error:
            pause = pause_after(error, attempt, retries=retries, idempotent=call.idempotent)
            if isinstance(error, errors.AuthenticationError) and config.token is None:
                error = error.with_context(
                    cause="Milvus requires credentials; none were sent",
                    hint="Set login and password (an API key: password alone).",
                )
            error = error.with_context(where=_where(config, call))
            if pause is None:
                raise error.with_context(attempts=attempt) from error.__cause__
            kind = (type(error), error.code, error.http_status, error.message)
            first = reported.setdefault(kind, attempt)
            if first < attempt:
                text = f"attempt {attempt} of {retries + 1} failed in the same way as attempt {first}"
            else:
                text = f"{sentence(str(error))} Attempt {attempt} of {retries + 1}"
        yield Sleep(pause, logging.WARNING, f"{text}; next in {duration(pause)}")
    raise AssertionError("unreachable: count() does not end")


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
