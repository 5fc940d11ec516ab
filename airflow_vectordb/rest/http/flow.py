"""How a call is made: everything but the I/O.

:func:`request_flow` is a generator. It yields what is to be done next, a :class:`Request` to send or a :class:`Pause`
to sleep, is told how that went, and returns the call's result or raises its error. ``Client`` and ``AsyncClient`` do
what it says; so there is one retry loop, one reading of answers and one way to word errors, whoever does the I/O.
"""

from __future__ import annotations

import logging
import random as _random
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, TypeVar

from airflow_vectordb.rest.config import MilvusConfig
from airflow_vectordb.rest.errors import InvalidParametersError, MilvusError, NotMilvusError, Where
from airflow_vectordb.rest.http.call import LARGE_ANSWER, MOST_PARTS, Answer, Call
from airflow_vectordb.rest.http.json import encode
from airflow_vectordb.rest.http.response import RawResponse, decompressed, parse_response
from airflow_vectordb.rest.http.retry import RetryPolicy
from airflow_vectordb.rest.wording import duration, sentence

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """
    An HTTP POST to send.

    :param url: where to
    :param headers: with the token
    :param body: JSON
    :param largest_answer: bytes of the answer's body that are read at most, as they come
    """

    url: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    largest_answer: int = LARGE_ANSWER


@dataclass(frozen=True)
class Pause:
    """
    A time to sleep before the next attempt.

    :param seconds: how long
    :param because: the error that makes it necessary
    """

    seconds: float
    because: MilvusError


RequestFlow = Generator["Request | Pause", "RawResponse | MilvusError | None", T]


def request_flow(
    config: MilvusConfig,
    call: Call[T],
    *,
    retries: int | None = None,
    random: Callable[[], float] = _random.random,
) -> RequestFlow[T]:
    """
    Make a call, retries included.

    After a :class:`Request`, send in the :class:`RawResponse`, or the ``NoAnswerError`` that the I/O ended in; after a
    :class:`Pause`, send in None.

    :param config: where
    :param call: what
    :param retries: attempts after the first; None: the configured one
    :param random: gives numbers from 0 to 1, for the jitter
    :return: what the call's ``read`` makes of the answer
    :raises MilvusError: the last attempt's error, with where it happened and the token taken out
    """
    body = dict(call.body)
    if config.database is not None:
        body.setdefault("dbName", config.database)
    try:
        request = Request(config.url_of(call.path), config.headers(), encode(body), call.largest_answer)
    except InvalidParametersError as error:
        error.where = _where(config, call)
        raise
    told: dict[object, int] = {}
    for attempt in count(1):
        outcome = yield request
        try:
            if isinstance(outcome, MilvusError):
                outcome.reword(config.redact)
                raise outcome
            assert outcome is not None, "a Request is answered with a Reply or an error"
            return _result(call, outcome, config, request.largest_answer)
        except MilvusError as error:
            error.where = _where(config, call)
            policy = RetryPolicy(config.retries if retries is None else retries)
            pause = policy.pause(attempt, error, idempotent=call.idempotent, random=random)
            if pause is None:
                error.attempts = attempt
                raise
            because = error
        of, kind = policy.retries + 1, (type(because), because.code, because.http_status, because.message)
        if first := told.get(kind):
            text = f"attempt {attempt} of {of} failed in the same way as attempt {first}"
        else:
            text = f"{sentence(str(because))} Attempt {attempt} of {of}"
        told.setdefault(kind, attempt)
        _log.warning("%s; next in %s", text, duration(pause))
        yield Pause(pause, because)
    raise AssertionError("unreachable: count() does not end")


def _where(config: MilvusConfig, call: Call[Any]) -> Where:
    return Where(call.path, call.target(config.database), config.url, call.names(config.database))


def _result(call: Call[T], reply: RawResponse, config: MilvusConfig, largest: int) -> T:
    reply = decompressed(reply, largest)
    if not call.has_room_for(reply.body):
        if reply.status == 200:
            start = config.sanitize_text(reply.body[:0x1000].decode("utf-8", "replace"), 100)
            raise _misshapen(f"more than {MOST_PARTS:,} lists and objects: {start}")
        reply = replace(reply, body=reply.body[:0x10000], whole=False)
    answer = parse_response(reply, config.sanitize_text, largest=largest)
    try:
        return call.read(answer if call.has_rows else _redacted(answer, reply, call, config))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        raise _misshapen(config.sanitize_text(f"{type(error).__name__}: {error}", 300)) from None


def _misshapen(what: str) -> NotMilvusError:
    return NotMilvusError(f"the answer has not the shape that Milvus gives it ({what})")


def _redacted(answer: Answer, reply: RawResponse, call: Call[Any], config: MilvusConfig) -> Answer:
    """Take the token out of names and parameters, which go to XComs, logs and events."""
    if not config.may_be_in(reply.body):
        return answer
    sent = {value for value in call.body.values() if isinstance(value, str)}
    envelope = config.redact_data(answer.envelope, sent)
    return Answer(envelope.get("data"), envelope)


__all__ = ["Pause", "Request", "RequestFlow", "request_flow"]
