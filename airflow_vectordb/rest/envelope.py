"""Status and bytes of an answer -> its data, or the error that it is."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from airflow_vectordb.rest import codes, errors
from airflow_vectordb.rest.call import Answer

#: Both mean success: 0, and 200 on the v2 servers of early 2024.
SUCCESS = (0, 200)

#: 65535 is mostly a validation error without a code of its own, but these words of it pass by themselves.
_PASSING = re.compile(
    r"rate limit|too many requests|try again|retry later|not ready|unavailable|not available|deadline exceeded"
    r"|timed? ?out|connection refused|connection reset|transport is closing|node offline|no available",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Reply:
    """
    What came back over HTTP.

    :param status: the HTTP status
    :param headers: header names in lower case, and values; only ``retry-after`` and ``location`` are looked at
    :param body: the bytes of the body, decompressed
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def open_reply(reply: Reply, redact: Callable[[str], str] = str) -> Answer:
    """
    Take the answer out of a reply.

    :param reply: status, headers and body
    :param redact: takes secrets out of a text. It is given the server's words before they are shortened or tidied
        up: half a secret, or one with its spaces gone, would not be found any more
    :return: the answer, if it is one of success
    :raises MilvusError: the class that the code or else the status stands for
    """
    if 300 <= reply.status < 400:
        target = readable(redact(reply.headers.get("location", "nowhere")), 500)
        raise errors.RedirectError(f"the server redirects to {target!r}", http_status=reply.status)
    envelope = _object(reply.body)
    code = envelope.get("code") if envelope is not None else None
    if envelope is None or not isinstance(code, int) or isinstance(code, bool):
        raise _not_milvus(reply, redact)
    if code in SUCCESS and reply.status == 200 and not _says_no(envelope):
        return Answer(envelope.get("data"), envelope)
    raise _failure(reply, code, envelope, redact)


def _object(body: bytes) -> Mapping[str, Any] | None:
    import orjson

    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _says_no(envelope: Mapping[str, Any]) -> bool:
    # 200 is also "partition not found". Those servers for which it is success say so with data, and without a message.
    return envelope["code"] == 200 and "data" not in envelope and bool(envelope.get("message"))


def _failure(reply: Reply, code: int, envelope: Mapping[str, Any], redact: Callable[[str], str]) -> errors.MilvusError:
    words = envelope.get("message") or envelope.get("msg") or "the server gave no reason"
    message = readable(redact(str(words)), 2000)
    if code in SUCCESS and not _says_no(envelope):
        # Success in the body, failure in the status: somebody in between had the last word.
        cls = codes.class_of_status(reply.status) or errors.UnexpectedError
    else:
        cls = codes.class_of(code, reply.status)
    passing = cls is errors.UnexpectedError and bool(_PASSING.search(message))
    return cls(
        message,
        code=code,
        http_status=reply.status,
        retry_after=retry_after(reply.headers.get("retry-after")),
        transient=True if passing else None,
    )


def _not_milvus(reply: Reply, redact: Callable[[str], str]) -> errors.MilvusError:
    excerpt = _excerpt(reply.body, redact)
    if reply.status == 404:
        return errors.NoSuchEndpointError(f"no such endpoint: {excerpt}", http_status=404)
    cls = codes.class_of_status(reply.status)
    if cls is not None:
        return cls(
            f"not an answer of Milvus's: {excerpt}",
            http_status=reply.status,
            retry_after=retry_after(reply.headers.get("retry-after")),
        )
    return errors.NotMilvusError(f"the answer is not a JSON object with a `code`: {excerpt}", http_status=reply.status)


def _excerpt(body: bytes, redact: Callable[[str], str]) -> str:
    text = redact(body[:0x10000].decode("utf-8", errors="replace"))
    if "<html" in text.lower() or "<!doctype" in text.lower():
        title = re.search(r"<title>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        text = f"an HTML page ({title[1].strip()})" if title else "an HTML page"
    return readable(text, 200) or "an empty body"


def readable(text: str, longest: int) -> str:
    """
    Make a server's words fit for a message: one line, nothing that a terminal obeys, not too long.

    :param text: the words
    :param longest: characters at most, before the ellipsis
    """
    if not text.isprintable():  # most texts are, which is told a hundred times as fast
        text = "".join(c if c.isprintable() or c.isspace() else "�" for c in text)
    text = " ".join(text.split())
    return text if len(text) <= longest else text[:longest] + "…"


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """
    Read a ``Retry-After`` header.

    :param value: seconds, or an HTTP date; None: no such header
    :param now: the present time (tests)
    :return: seconds from now, 0 at least; None if there is no header or it cannot be read
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=timezone.utc)
            seconds = (moment - (now or datetime.now(timezone.utc))).total_seconds()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


__all__ = ["SUCCESS", "Reply", "open_reply", "readable", "retry_after"]
