"""Refusals of the local server, with Milvus's codes, statuses and messages.

The messages follow Milvus's own (``pkg/util/merr`` and the REST handlers), since people grep for them and some
clients match on them. For features that only this server lacks, use :func:`not_here`.
"""

from __future__ import annotations


class ApiError(Exception):
    """A request that was refused or failed.

    :param code: Milvus's error code.
    :param message: what the caller reads; never holds a token, a row or a stack trace.
    :param http_status: the HTTP status of the answer; Milvus sends most failures with 200.
    """

    def __init__(self, code: int, message: str, http_status: int = 200) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.http_status = http_status

    def __repr__(self) -> str:
        return f"ApiError({self.code}, {self.message!r})"


class DiskError(ApiError):
    """A request failed because of the disk; its change may be half done."""


def bad_format(detail: str) -> ApiError:
    """1801: the body is not a JSON object, or a value has the wrong JSON type."""
    return ApiError(1801, f"can only accept json format request, error: {detail}")


def no_body() -> ApiError:
    """1801: the body is empty."""
    return ApiError(1801, "can only accept json format request, the request body should be nil, however {} is valid")


def missing(detail: str) -> ApiError:
    """1802: a required field is missing or empty."""
    return ApiError(1802, f"missing required parameters, error: {detail}")


def invalid(detail: str) -> ApiError:
    """1100: the request is well-formed, but invalid."""
    return ApiError(1100, f"{detail}: invalid parameter")


def not_expected(detail: str, expected: str, actual: str) -> ApiError:
    """1100 with what Milvus expected and what it got."""
    return ApiError(1100, f"{detail}: invalid parameter[expected={expected}][actual={actual}]")


def unexpected(detail: str) -> ApiError:
    """65535: Milvus's code for validation errors without their own code."""
    return ApiError(65535, detail)


def not_here(detail: str) -> ApiError:
    """10: Milvus supports this, but this local server does not."""
    return ApiError(10, f"{detail}: not implemented by this local server")


def not_there(detail: str) -> ApiError:
    """10: the Milvus behind this server does not support it, or this server cannot pass it on."""
    return ApiError(10, f"{detail}: not implemented over the Milvus behind this server")


def no_space() -> DiskError:
    """7: the disk is full."""
    return DiskError(7, "no space left on the disk of the data directory: disk limit exceeded")


def database_not_found(database: str) -> ApiError:
    return ApiError(800, f"database not found[database={database}]")


def collection_not_found(database: str, collection: str) -> ApiError:
    return ApiError(100, f"can't find collection[database={database}][collection={collection}]")


def no_load_state(collection: str) -> ApiError:
    """100 in the words of ``get_load_state``, which takes a missing database for a missing collection."""
    return ApiError(100, f"collection not found[collection={collection}]")


def already_loaded(collection: str, why: str) -> ApiError:
    return ApiError(104, f"{why}: collection already loaded[collection={collection}]")


def collection_not_loaded(database: str, collection: str) -> ApiError:
    return ApiError(101, f"collection not loaded[database={database}][collection={collection}]")


def partition_not_found(partition: str) -> ApiError:
    return ApiError(200, f"partition not found[partition={partition}]")


def partition_not_loaded(partition: str) -> ApiError:
    return ApiError(201, f"partition not loaded[partition={partition}]")


def index_not_found(collection: str, index: str = "") -> ApiError:
    what = f"[indexName={index}]" if index else ""
    return ApiError(700, f"index not found{what}[collection={collection}]")


def import_failed(why: str) -> ApiError:
    return ApiError(2100, f"{why}: importing data failed")


def import_not_found(job: str) -> ApiError:
    if not job.isdecimal():
        return import_failed(f'parse job id failed: strconv.ParseInt: parsing "{job}": invalid syntax')
    return import_failed(f"import job does not exist, jobID={job}")


def alias_not_found(database: str, alias: str) -> ApiError:
    return ApiError(1600, f"alias not found[database={database}][alias={alias}]")


def rejected(reason: str) -> ApiError:
    """1807: Milvus's rate limiter refuses early requests, and those that name something missing."""
    return ApiError(1807, f"request is rejected by limiter, error: {reason}")


def rate_limited(rate: float) -> ApiError:
    """1807: too soon after the last request.

    :param rate: how many are allowed per second.
    """
    reason = "request is rejected by grpc RateLimiter middleware, please retry later: rate limit exceeded"
    return rejected(f"{reason}[rate={rate:g}]")


def time_out() -> ApiError:
    return ApiError(10001, "request timeout", http_status=408)
