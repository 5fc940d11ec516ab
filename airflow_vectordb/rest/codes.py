"""Which error code, HTTP status and words become which class."""

from __future__ import annotations

import math
import re

from airflow_vectordb.rest.errors import (
    AliasNotFoundError,
    AuthenticationError,
    BadRequestError,
    CollectionNotFoundError,
    ConflictError,
    DatabaseNotFoundError,
    FieldNotFoundError,
    GatewayError,
    ImportFailedError,
    IndexNotFoundError,
    LimitExceededError,
    MilvusError,
    NotLoadedError,
    PartitionNotFoundError,
    PermissionDeniedError,
    RateLimitError,
    UnavailableError,
    UnexpectedError,
    UnsupportedError,
)

# Codes whose words may say that it is something else: the limiter looks up what is asked for before it counts (1807),
# and old servers have one code for all that goes wrong (1).
_VAGUE = frozenset({1, 1807})

#: Milvus's error codes and what they become. The codes are those of Milvus 2.3 to 3.0 and of Zilliz Cloud's gateway.
CODES: dict[int, type[MilvusError]] = {
    1: UnavailableError,
    2: UnavailableError,
    3: LimitExceededError,
    4: RateLimitError,
    7: LimitExceededError,
    8: RateLimitError,
    9: LimitExceededError,
    10: UnsupportedError,
    12: UnavailableError,
    100: CollectionNotFoundError,
    101: NotLoadedError,
    102: LimitExceededError,
    103: UnavailableError,
    105: BadRequestError,
    106: UnavailableError,
    200: PartitionNotFoundError,
    202: UnavailableError,
    700: IndexNotFoundError,
    701: UnsupportedError,
    702: ConflictError,
    800: DatabaseNotFoundError,
    801: LimitExceededError,
    802: BadRequestError,
    1002: UnavailableError,
    1100: BadRequestError,
    1101: BadRequestError,
    1102: BadRequestError,
    1400: AuthenticationError,
    1401: PermissionDeniedError,
    1600: AliasNotFoundError,
    1601: ConflictError,
    1602: ConflictError,
    1700: FieldNotFoundError,
    1701: BadRequestError,
    1800: AuthenticationError,
    1801: BadRequestError,
    1802: BadRequestError,
    1804: BadRequestError,
    1806: BadRequestError,
    1807: RateLimitError,
    2100: ImportFailedError,
    2200: UnavailableError,
    2307: UnavailableError,
    2308: UnavailableError,
    2309: UnavailableError,
    2311: UnavailableError,
    2312: UnavailableError,
    2313: UnavailableError,
    3000: UnsupportedError,
    10001: UnavailableError,
    65535: UnexpectedError,
    80000: BadRequestError,
    80001: AuthenticationError,
    80002: AuthenticationError,
}

#: What to do, where the class's own advice is not the best.
HINTS = {
    702: "Drop that index first, or ask for what is there.",
    10001: "Raise the connection's `timeout`; it may still be done.",
}

# `collection not found[…]`, `partition name p1 not found`, `database:nodb not found`, `can't find collection[…]`,
# `cannot create index on non-exist field`
_MISSING = (
    r"(?:can't|cannot|can not|couldn't|could not) find (?:the )?NOUN\b|non-exist(?:ent|ing)? NOUN\b"
    r"|\bNOUN(?: ?name)?[:=]?(?: ?[\[('\"`]?[\w.$-]{1,255}[])'\"`]?)??"
    r" (?:(?:is |was |can ?|could )?not (?:be )?(?:found|exists?)|does(?: not|n't) exist)"
)
#: Words that say what the code does not, and the class that they stand for.
_WORDS: tuple[tuple[re.Pattern[str], type[MilvusError]], ...] = tuple(
    (re.compile(words, re.IGNORECASE), cls)
    for words, cls in (
        (_MISSING.replace("NOUN", "collection"), CollectionNotFoundError),
        (_MISSING.replace("NOUN", "partition"), PartitionNotFoundError),
        (_MISSING.replace("NOUN", "database"), DatabaseNotFoundError),
        (_MISSING.replace("NOUN", "index"), IndexNotFoundError),
        (_MISSING.replace("NOUN", "alias"), AliasNotFoundError),
        (_MISSING.replace("NOUN", "field"), FieldNotFoundError),
        (r"code = PermissionDenied|permission deny|privilege not permitted", PermissionDeniedError),
        (r"code = Unauthenticated|hasn't authenticated|auth check failure", AuthenticationError),
        # In other words it may come from within, when half of the work is done.
        (r"rate limit exceeded\[rate=|rejected by .{0,40}RateLimiter", RateLimitError),
        (r"code = Unimplemented", UnsupportedError),
        (
            r"\b(?:collection|partition)s?[:=]?(?: ?[\['\"`]?[\w.$-]{1,255}[\]'\"`]?)??"
            r" (?:is |are |was |were |has |have )?not (?:been )?loaded\b",
            NotLoadedError,
        ),
        (r"no vector index on|please create index firstly", IndexNotFoundError),
    )
)
# 65535 is mostly a validation error without a code of its own, but what these words are about is transient.
_PASSING = re.compile(
    r"rate limit|too many requests|try again|retry later|not ready|unavailable|not available|deadline exceeded"
    r"|not fully loaded|timed? ?out|connection refused|connection reset|transport is closing|node offline|no available",
    re.IGNORECASE,
)
_RATE = re.compile(r"rate limit exceeded\[rate=([0-9.e+-]{1,30})\]")


def class_of(code: int, http_status: int, words: str = "") -> type[MilvusError]:
    """
    Find the class of an answer that carries a Milvus code.

    The code decides, unless it says nothing: 65535, one on no list, or 1807 and 1 beside words about something that is
    missing. Then the HTTP status decides, and where that says nothing either, the words.

    :param code: the code in the answer's body
    :param http_status: the HTTP status it came with
    :param words: the server's message
    """
    if 96000 <= code <= 96999:  # Zilliz Cloud: no permission for a project or cluster, unknown ids
        return PermissionDeniedError
    by_code = CODES.get(code, UnexpectedError)
    if by_code is not UnexpectedError and code not in _VAGUE:
        return by_code
    meant = next((cls for pattern, cls in _WORDS if pattern.search(words)), None)
    if by_code is not UnexpectedError and (meant is None or meant.transient):
        return by_code
    return class_of_status(http_status) or meant or by_code


def is_transient(words: str) -> bool:
    """Return whether the message of an error without a code of its own is about something transient."""
    return bool(_PASSING.search(words))


def limiter_interval(words: str) -> float | None:
    """Return the seconds between calls that a limiter grants: 10 by ``rate limit exceeded[rate=0.1]``."""
    found = _RATE.search(words)
    try:
        interval = 1.0 / float(found[1]) if found else 0.0
    except (ValueError, ZeroDivisionError):
        return None
    return interval if 0.0 < interval < math.inf else None


def class_of_status(http_status: int) -> type[MilvusError] | None:
    """Find the class of an HTTP status without a Milvus code, or with one that says nothing; None: it has none."""
    if http_status == 401:
        return AuthenticationError
    if http_status == 403:
        return PermissionDeniedError
    if http_status == 429:
        return RateLimitError
    # 501 and 505 say that the server cannot; the others, those of proxies beyond 504 among them, that it cannot now.
    if http_status == 408 or (http_status >= 500 and http_status not in (501, 505)):
        return GatewayError
    return None


__all__ = ["CODES", "HINTS", "class_of", "class_of_status", "is_transient", "limiter_interval"]
