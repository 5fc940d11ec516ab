"""Parsing of a response into its data or an error."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, TypeVar

from airflow_vectordb.rest import codes, errors, spelling
from airflow_vectordb.rest.config import MilvusConfig
from airflow_vectordb.rest.error_text import names_in
from airflow_vectordb.rest.http.call import Answer, Call
from airflow_vectordb.rest.redaction import redactor_of
from airflow_vectordb.rest.text import sanitize_text
from airflow_vectordb.rest.wording import duration

T = TypeVar("T")

#: Bytes of an answer that describes or lists objects, for example 65,536 names of collections.
MEDIUM_ANSWER = 32 * 1024 * 1024
#: Bytes of an answer with rows. Milvus's answers are smaller.
LARGE_ANSWER = 512 * 1024 * 1024
#: The same for polls, whose answers usually have a few hundred bytes.
SMALL_ANSWERS = {
    "indexes/describe": 256 * 1024,
    "indexes/list": 256 * 1024,
    "collections/get_load_state": 256 * 1024,
    "collections/get_stats": 256 * 1024,
    "jobs/import/describe": 4 * 1024 * 1024,  # with an entry for each file
    "jobs/import/get_progress": 4 * 1024 * 1024,
}
#: Brackets in an answer to a poll. More lists would trigger Python's garbage collector, which takes longer than parsing
#: them.
MOST_PARTS = 20_000

#: What reading an answer of an unexpected shape raises.
UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError)

#: Codes for success: 0, and 200 on servers of early 2024.
SUCCESS = (0, 200)

#: Milvus's answer to a path that it does not have, byte by byte: other servers written in Go add a line break.
_MILVUS_404 = b"404 page not found"
_NO_SUCH_ENDPOINT = f"no such endpoint: {_MILVUS_404.decode()}"

#: Sanitizes a server's text, limited to a number of characters.
Show = Callable[[str, int], str]


class RawResponse(NamedTuple):
    """
    An HTTP response.

    :param headers: names in lower case, and values; only ``retry-after``, ``location`` and ``content-encoding`` count
    :param body: all of it, or more than :func:`largest_answer` allows
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


def largest_answer(call: Call[Any]) -> int:
    """Return the limit for an answer to a call, in bytes, before and after decompression."""
    return SMALL_ANSWERS.get(call.path) or (LARGE_ANSWER if call.has_rows else MEDIUM_ANSWER)


def read_response(reply: RawResponse, call: Call[T], config: MilvusConfig) -> T:
    """Return what a call's ``read`` makes of the response; raise MilvusError if it is not a successful answer."""
    largest = largest_answer(call)
    if reply.headers.get("content-encoding"):
        reply = _decompressed(reply, largest)
    body = reply.body
    problem = ""
    if len(body) > largest:
        problem = f"is larger than {largest >> 20} MiB" if largest >= 1 << 20 else f"is larger than {largest >> 10} KiB"
    elif len(body) > MOST_PARTS and call.path in SMALL_ANSWERS and sum(map(body.count, b"[{")) > MOST_PARTS:
        problem = f"has more than {MOST_PARTS:,} lists and objects"
    answer = parse_response(reply, config.sanitize_text, problem)
    # Rows are the caller's data; names and parameters go to XComs, logs and events.
    if config.token is not None and not call.has_rows:
        redactor = redactor_of(config.token)
        if redactor.finds(body.decode("utf-8", "replace")):
            sent = {value for value in call.body.values() if isinstance(value, str)}
            envelope = redactor.data(answer.envelope, sent)
            answer = Answer(envelope.get("data"), envelope)
    try:
        return call.read(answer)
    except UNREADABLE as error:
        raise misshapen(config.sanitize_text(f"{type(error).__name__}: {error}", 300)) from None


def parse_response(reply: RawResponse, show: Show = sanitize_text, problem: str = "") -> Answer:
    """
    Return the answer in a successful response; raise the error that its code, or else its status, stands for.

    :param problem: why the body must not be parsed
    """
    if 300 <= reply.status < 400:
        target = show(reply.headers.get("location", "nowhere"), 500)
        raise errors.RedirectError(f"the server redirects to {target!r}", http_status=reply.status)
    import orjson

    try:
        envelope: Any = None if problem else orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        envelope = None
    code = envelope.get("code") if isinstance(envelope, dict) else None
    if type(code) is not int:
        raise _not_milvus(reply, show, problem or "is not a JSON object with a `code`")
    if code in SUCCESS and reply.status == 200 and (code == 0 or not _says_no(envelope)):
        return Answer(envelope.get("data"), envelope)
    raise _failure(reply, code, envelope, show)


def _decompressed(reply: RawResponse, largest: int) -> RawResponse:
    """Decompress a response's body, up to one byte more than its limit."""
    encoding = reply.headers["content-encoding"].strip().lower()
    if encoding in ("", "identity") or not reply.body:
        return reply
    if encoding not in ("gzip", "x-gzip", "deflate"):
        return reply._replace(body=b"something in a compression that was not asked for")
    # "deflate" may come with or without a header.
    bare = encoding == "deflate" and (reply.body[0] & 0x0F != 8 or int.from_bytes(reply.body[:2], "big") % 31 != 0)
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS if bare else zlib.MAX_WBITS | 32)
    try:
        body = unpacker.decompress(reply.body, largest + 1)
    except zlib.error:
        raise errors.BrokenAnswerError("the answer cannot be decompressed", http_status=reply.status) from None
    if not unpacker.eof and max(len(body), len(reply.body)) <= largest:
        raise errors.BrokenAnswerError("the answer ends in the middle of its compression", http_status=reply.status)
    return reply._replace(body=body)


def _says_no(envelope: Mapping[str, Any]) -> bool:
    # 200 also means "partition not found". Servers that use it for success send data, and no message.
    return envelope["code"] == 200 and "data" not in envelope and bool(envelope.get("message"))


def _failure(reply: RawResponse, code: int, envelope: Mapping[str, Any], show: Show) -> errors.MilvusError:
    words = envelope.get("message") or envelope.get("msg") or "the server gave no reason"
    # Not shortened before the token is taken out, of which a part would remain.
    message = show(words if isinstance(words, str) else spelling.show(words, MEDIUM_ANSWER), 2000)
    if code in SUCCESS and not _says_no(envelope):
        # Success in the body but failure in the status: from a proxy.
        cls = codes.class_of_status(reply.status) or errors.UnexpectedError
    else:
        cls = codes.class_of(code, reply.status, message)
    transient = cls is errors.UnexpectedError and codes.is_transient(message)
    pause = retry_after(reply.headers.get("retry-after"))
    interval = codes.limiter_interval(message) if cls is errors.RateLimitError else None
    cause, hint = codes.explain(words) if isinstance(words, str) else (None, None)
    cause = cause and show(cause, 300)
    if interval and interval > 1:
        cause = f"A rate limit allows one such call in {duration(interval)}"
    elif cls is errors.PermissionDeniedError and "privilege" in (named := names_in(message)) and "user" not in named:
        cause = f"The connection's user lacks the privilege {named['privilege']}"
    return cls(
        message,
        code=code,
        http_status=reply.status,
        cause=cause,
        hint=codes.HINTS.get(code, "A retry may help." if transient else hint),
        retry_after=interval if pause is None else pause,
        transient=True if transient else None,
    )


def as_outage(error: errors.MilvusError) -> errors.MilvusError:
    """Return the error if Milvus has answered before: a page in its place is then an outage, not a wrong address."""
    # Milvus's own: one without a status, in a shape that is not known here, and its 404. A retry gets the same.
    pages = (errors.NotMilvusError, errors.NoSuchEndpointError)
    if type(error) not in pages or error.http_status is None or error.message == _NO_SUCH_ENDPOINT:
        return error
    cause = "an answer that is not Milvus's, perhaps a proxy's"
    return error.with_context(transient=True, cause=cause, hint="Milvus answered before: a retry may help.")


def _not_milvus(reply: RawResponse, show: Show, problem: str) -> errors.MilvusError:
    cls = errors.NoSuchEndpointError if reply.status == 404 else codes.class_of_status(reply.status)
    excerpt = _excerpt(reply.body, show)
    if cls is errors.NoSuchEndpointError:
        words = f"no such page: {excerpt}"  # of an ingress, for example, while it has no backend
        return cls(_NO_SUCH_ENDPOINT if reply.body == _MILVUS_404 else words, http_status=404)
    if cls is not None:
        return cls(
            f"not an answer of Milvus's: {excerpt}",
            http_status=reply.status,
            cause=f"HTTP {reply.status} from something in front of Milvus",
            hint="Is access from here allowed? Check host and proxies." if reply.status == 403 else None,
            retry_after=retry_after(reply.headers.get("retry-after")),
        )
    return errors.NotMilvusError(f"the answer {problem}: {excerpt}", http_status=reply.status)


def misshapen(what: str) -> errors.NotMilvusError:
    """Return the error of an answer that has not the shape that Milvus gives it."""
    return errors.NotMilvusError(f"the answer does not have the shape that Milvus gives it ({what})")


def _excerpt(body: bytes, show: Show) -> str:
    text = body[:0x10000].decode("utf-8", errors="replace")
    lower = text.lower()
    if "<html" in lower or "<!doctype" in lower:
        # Not a regular expression, which could take quadratic time on a malicious page.
        start = lower.find(">", lower.find("<title")) + 1
        end = lower.find("</title", start)
        if "<title" not in lower or not start or end < 0:
            return "an HTML page"
        return f"an HTML page ({show(text[start:end], 180)})"
    return show(text, 200) or "an empty body"


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Read a ``Retry-After`` header: seconds from now, 0 at least; None if there is none, or it cannot be read."""
    if value is None:
        return None
    value = value[:100]  # parsing an invalid date may take quadratic time
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
            moment = moment.replace(tzinfo=moment.tzinfo or timezone.utc)
            seconds = (moment - (now or datetime.now(timezone.utc))).total_seconds()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
