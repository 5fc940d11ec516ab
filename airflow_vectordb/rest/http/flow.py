"""The logic of a call, without the I/O.

:func:`request_flow` is a generator, see :mod:`~airflow_vectordb.rest.driver`: it yields a :class:`Request` to send or a
:class:`~airflow_vectordb.rest.driver.Sleep`, and returns the call's result or raises its error. So both clients share
retries, parsing and error messages.
"""

from __future__ import annotations

import logging
import random as _random
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, TypeVar

from airflow_vectordb.rest.config import MilvusConfig
from airflow_vectordb.rest.driver import Sleep
from airflow_vectordb.rest.errors import AuthenticationError, InvalidParametersError, MilvusError, Where
from airflow_vectordb.rest.http.call import Answer, Call
from airflow_vectordb.rest.http.json import encode
from airflow_vectordb.rest.http.response import (
    MOST_PARTS,
    UNREADABLE,
    RawResponse,
    decompressed,
    has_room_for,
    largest_answer,
    misshapen,
    parse_response,
)
from airflow_vectordb.rest.http.retry import RetryPolicy
from airflow_vectordb.rest.redaction import redactor_of
from airflow_vectordb.rest.wording import duration, sentence

T = TypeVar("T")

_log = logging.getLogger(__name__)

_UNAUTHENTICATED = "Milvus requires credentials; none were sent"
_SET_CREDENTIALS = "Set login and password (an API key: password alone)."


@dataclass
class Request:
    """
    An HTTP POST to send.

    :param url: the target
    :param body: JSON; the headers are :meth:`MilvusConfig.headers <airflow_vectordb.rest.config.MilvusConfig.headers>`
    :param read: parses the response into the call's result; raises MilvusError
    :param largest_answer: the maximum number of bytes to read of the body, before decompression
    """

    url: str
    body: bytes | bytearray = field(repr=False)
    read: Callable[[RawResponse], Any] = field(repr=False)
    largest_answer: int


RequestFlow = Generator["Request | Sleep", Any, T]


def request_flow(
    config: MilvusConfig,
    call: Call[T],
    *,
    retries: int | None = None,
    random: Callable[[], float] = _random.random,
) -> RequestFlow[T]:
    """
    Make a call, retries included.

    After a :class:`Request`, send in what its ``read`` returned, or throw in the error that it or the I/O raised.

    :param config: where
    :param call: what
    :param retries: attempts after the first; None: the configured one
    :param random: gives numbers from 0 to 1, for the jitter
    :return: what the call's ``read`` makes of the answer
    :raises MilvusError: the last attempt's error, with where it happened
    """
    body = call.body if config.database is None else {"dbName": config.database, **call.body}
    largest = largest_answer(call)
    try:
        request = Request(config.url_of(call.path), encode(body), partial(_read, call, config, largest), largest)
    except InvalidParametersError as error:
        raise error.with_context(where=_where(config, call)) from None
    retries = config.retries if retries is None else retries
    reported: dict[object, int] = {}
    for attempt in count(1):
        try:
            result: T = yield request
            return result
        except MilvusError as error:
            pause = RetryPolicy(retries).pause(attempt, error, idempotent=call.idempotent, random=random)
            if isinstance(error, AuthenticationError) and config.token is None:
                error = error.with_context(cause=_UNAUTHENTICATED, hint=_SET_CREDENTIALS)
            if pause is None:
                raise error.with_context(where=_where(config, call), attempts=attempt) from error.__cause__
            kind = (type(error), error.code, error.http_status, error.message)
            if first := reported.get(kind):
                text = f"attempt {attempt} of {retries + 1} failed in the same way as attempt {first}"
            else:
                words = sentence(str(error.with_context(where=_where(config, call))))
                text = f"{words} Attempt {attempt} of {retries + 1}"
            reported.setdefault(kind, attempt)
        yield Sleep(pause, logging.WARNING, f"{text}; next in {duration(pause)}")
    raise AssertionError("unreachable: count() does not end")


def log(level: int, text: str) -> None:
    """Log a line about attempts."""
    _log.log(level, "%s", text)


def _where(config: MilvusConfig, call: Call[Any]) -> Where:
    return Where(call.path, call.target(config.database), config.url, call.names(config.database))


def _read(call: Call[T], config: MilvusConfig, largest: int, reply: RawResponse) -> T:
    reply = decompressed(reply, largest)
    if len(reply.body) > MOST_PARTS and not has_room_for(call, reply.body):
        if reply.status == 200:
            start = config.sanitize_text(reply.body[:0x1000].decode("utf-8", "replace"), 100)
            raise misshapen(f"more than {MOST_PARTS:,} lists and objects: {start}")
        reply = reply._replace(body=reply.body[:0x10000], whole=False)
    answer = parse_response(reply, config.sanitize_text, largest=largest)
    try:
        return call.read(answer if call.has_rows else _redacted(answer, reply, call, config))
    except UNREADABLE as error:
        raise misshapen(config.sanitize_text(f"{type(error).__name__}: {error}", 300)) from None


def _redacted(answer: Answer, reply: RawResponse, call: Call[Any], config: MilvusConfig) -> Answer:
    """Remove the token from names and parameters, which go to XComs, logs and events."""
    if config.token is None:
        return answer
    redactor = redactor_of(config.token)
    if not redactor.finds(reply.body.decode("utf-8", "replace")):
        return answer
    sent = {value for value in call.body.values() if isinstance(value, str)}
    envelope = redactor.data(answer.envelope, sent)
    return Answer(envelope.get("data"), envelope)
