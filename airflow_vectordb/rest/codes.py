"""Which error code and which HTTP status become which class."""

from __future__ import annotations

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

#: HTTP statuses that may pass by themselves.
TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504})


def class_of(code: int, http_status: int) -> type[MilvusError]:
    """
    Find the class of an answer that carries a Milvus code.

    :param code: the code in the answer's body
    :param http_status: the HTTP status it came with
    :return: the class; for a code on no list, what its HTTP status says, else :class:`UnexpectedError`
    """
    if code in CODES:
        return CODES[code]
    if 96000 <= code <= 96999:  # Zilliz Cloud: no permission for a project or cluster, unknown ids
        return PermissionDeniedError
    return class_of_status(http_status) or UnexpectedError


def class_of_status(http_status: int) -> type[MilvusError] | None:
    """
    Find the class of an HTTP status that comes without a known Milvus code.

    :param http_status: the status
    :return: the class; None for a status that says nothing of the kind
    """
    if http_status == 401:
        return AuthenticationError
    if http_status == 403:
        return PermissionDeniedError
    if http_status == 429:
        return RateLimitError
    if http_status in TRANSIENT_STATUSES:
        return GatewayError
    return None


__all__ = ["CODES", "TRANSIENT_STATUSES", "class_of", "class_of_status"]
