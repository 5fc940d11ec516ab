"""Mapping of error codes, HTTP statuses and messages to error classes."""

from __future__ import annotations

import math
import re

from airflow_vectordb.rest import errors

# Codes whose message may describe another error: the rate limiter looks up the target first (1807), and old servers use
# one code for everything (1).
_VAGUE = frozenset({1, 1807})

#: The error codes of Milvus 2.3 to 3.0 and of Zilliz Cloud's gateway, by error class.
_CODES_OF: dict[type[errors.MilvusError], tuple[int, ...]] = {
    errors.UnavailableError: (1, 2, 12, 103, 106, 202, 1002, 2200, 2307, 2308, 2309, 2311, 2312, 2313, 10001),
    errors.LimitExceededError: (3, 7, 9, 102, 801),
    errors.RateLimitError: (4, 8, 1807),
    errors.UnsupportedError: (10, 701, 3000),
    errors.CollectionNotFoundError: (100,),
    errors.NotLoadedError: (101,),
    errors.BadRequestError: (105, 802, 1100, 1101, 1102, 1701, 1801, 1802, 1804, 1806, 80000),
    errors.PartitionNotFoundError: (200,),
    errors.IndexNotFoundError: (700,),
    errors.ConflictError: (702, 1601, 1602),
    errors.DatabaseNotFoundError: (800,),
    errors.AuthenticationError: (1400, 1800, 21119, 80001, 80002),
    errors.PermissionDeniedError: (1401,),
    errors.AliasNotFoundError: (1600,),
    errors.FieldNotFoundError: (1700,),
    errors.ImportFailedError: (2100,),
    errors.UnexpectedError: (65535,),
}
CODES = {code: cls for cls, codes in _CODES_OF.items() for code in codes}

_BY_STATUS: dict[int, type[errors.MilvusError]] = {
    401: errors.AuthenticationError,
    403: errors.PermissionDeniedError,
    408: errors.GatewayError,
    429: errors.RateLimitError,
}
#: Advice for codes that need another one than their class.
HINTS = {
    702: "Drop that index first, or request the existing one.",
    10001: "Raise the connection's `timeout`; it may still be done.",
}

# `collection not found[…]`, `partition name p1 not found`, `database:nodb not found`, `can't find collection[…]`,
# `cannot create index on non-exist field`
_MISSING = (
    r"(?:can't|cannot|can not|couldn't|could not) find (?:the )?NOUN\b|non-exist(?:ent|ing)? NOUN\b"
    r"|\bNOUN(?: ?name)?[:=]?(?: ?[\[('\"`]?[\w.$-]{1,255}[])'\"`]?)??"
    r" (?:(?:is |was |can ?|could )?not (?:be )?(?:found|exists?)|does(?: not|n't) exist)"
)
#: Patterns of messages whose code is ambiguous, with the class they indicate.
_WORDS: tuple[tuple[re.Pattern[str], type[errors.MilvusError]], ...] = tuple(
    (re.compile(words, re.IGNORECASE), cls)
    for words, cls in (
        (_MISSING.replace("NOUN", "collection"), errors.CollectionNotFoundError),
        (_MISSING.replace("NOUN", "partition"), errors.PartitionNotFoundError),
        (_MISSING.replace("NOUN", "database"), errors.DatabaseNotFoundError),
        (_MISSING.replace("NOUN", "index"), errors.IndexNotFoundError),
        (_MISSING.replace("NOUN", "alias"), errors.AliasNotFoundError),
        (_MISSING.replace("NOUN", "field"), errors.FieldNotFoundError),
        (r"code = PermissionDenied|permission deny|privilege not permitted", errors.PermissionDeniedError),
        (r"code = Unauthenticated|hasn't authenticated|auth check failure", errors.AuthenticationError),
        # Other messages may come from within Milvus, with the work half done.
        (r"rate limit exceeded\[rate=|rejected by .{0,40}RateLimiter", errors.RateLimitError),
        (r"code = Unimplemented", errors.UnsupportedError),
        (
            r"\b(?:collection|partition)s?[:=]?(?: ?[\['\"`]?[\w.$-]{1,255}[\]'\"`]?)??"
            r" (?:is |are |was |were |has |have )?not (?:been )?loaded\b",
            errors.NotLoadedError,
        ),
        (r"no vector index on|please create index firstly", errors.IndexNotFoundError),
        (r"because it has associated aliases", errors.ConflictError),
    )
)
# 65535 is mostly a validation error without its own code, but these messages are about transient errors.
_PASSING = re.compile(
    r"rate limit|too many requests|try again|retry later|not ready|unavailable|not available|deadline exceeded"
    r"|not fully loaded|timed? ?out|connection refused|connection reset|transport is closing|node offline|no available",
    re.IGNORECASE,
)
# `cannot parse expression: yaer > 3, error: field yaer not exist`
_FILTER = re.compile(r"cannot parse expression: .*?, error: (.+?)(?:: invalid parameter\b.*)?$", re.DOTALL)
_ALIASES = re.compile(r"because it has associated aliases \[([^\[\]]{1,1000})\]")
_RATE = re.compile(r"rate limit exceeded\[rate=([0-9.e+-]{1,30})\]")


def class_of(code: int, http_status: int, words: str = "") -> type[errors.MilvusError]:
    """
    Find the class of an answer that carries a Milvus code.

    The code decides, unless it is ambiguous: 65535, unknown codes, and 1807 or 1 with a message about something that is
    missing. Then the HTTP status decides, and otherwise the message.
    """
    if 96000 <= code <= 96999:  # Zilliz Cloud: no permission for a project or cluster, unknown ids
        return errors.PermissionDeniedError
    by_code = CODES.get(code, errors.UnexpectedError)
    if by_code is not errors.UnexpectedError and code not in _VAGUE:
        return by_code
    meant = next((cls for pattern, cls in _WORDS if pattern.search(words)), None)
    if by_code is not errors.UnexpectedError and (meant is None or meant.transient):
        return by_code
    return class_of_status(http_status) or meant or by_code


def explain(words: str) -> tuple[str | None, str | None]:
    """Return cause and hint of a refusal whose reason is buried in the server's message; None: those of its class."""
    if found := _FILTER.search(words):
        return f"The filter does not parse: {found[1].strip()}", None
    if found := _ALIASES.search(words):
        aliases = re.findall(r"\w+", found[1])
        verb = "alias {} points" if len(aliases) == 1 else "aliases {} point"
        return f"{verb.format(', '.join(map(repr, aliases)))} to it", "Switch or drop the alias."
    return None, None


def is_transient(words: str) -> bool:
    """Return whether the message of an error without its own code indicates something transient."""
    return bool(_PASSING.search(words))


def limiter_interval(words: str) -> float | None:
    """Return the seconds between calls that a rate limit allows: 10 for ``rate limit exceeded[rate=0.1]``."""
    found = _RATE.search(words)
    try:
        interval = 1.0 / float(found[1]) if found else 0.0
    except (ValueError, ZeroDivisionError):
        return None
    return interval if 0.0 < interval < math.inf else None


def class_of_status(http_status: int) -> type[errors.MilvusError] | None:
    """Find the class of an HTTP status without a Milvus code, or with an ambiguous one; None: there is none."""
    # 501 and 505 are permanent; the others, including nonstandard ones of proxies, are temporary.
    temporary = http_status >= 500 and http_status not in (501, 505)
    return _BY_STATUS.get(http_status, errors.GatewayError if temporary else None)
