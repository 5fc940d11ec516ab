"""What a refusal is: by its code, or where that says nothing by the HTTP status, and then by its words."""

from __future__ import annotations

import pytest

from airflow_vectordb.rest import errors
from airflow_vectordb.rest.codes import CODES
from airflow_vectordb.rest.http.response import RawResponse, parse_response
from tests.support.scripted import error

LIMITED = (
    "request is rejected by limiter, error: request is rejected by grpc RateLimiter middleware, please retry later: "
    "rate limit exceeded[rate=0.1]"
)
DENIED = (
    "rpc error: code = PermissionDenied desc = PrivilegeCreateIndex: permission deny to etl in the `default` database"
)
BY_STATUS = {
    401: errors.AuthenticationError,
    403: errors.PermissionDeniedError,
    408: errors.GatewayError,
    429: errors.RateLimitError,
    500: errors.GatewayError,
    502: errors.GatewayError,
    503: errors.GatewayError,
    504: errors.GatewayError,
    520: errors.GatewayError,
}


def told(code: int, words: str, status: int = 200) -> errors.MilvusError:
    with pytest.raises(errors.MilvusError) as caught:
        parse_response(RawResponse(status, {}, error(code, words).encoded()))
    return caught.value


@pytest.mark.parametrize("status", BY_STATUS)
@pytest.mark.parametrize("code", [65535, 31337, 500, -1])
def test_where_the_code_says_nothing_the_status_decides(code: int, status: int) -> None:
    found = told(code, "rpc error: something", status)
    assert type(found) is BY_STATUS[status]
    assert found.transient is (status not in (401, 403))


@pytest.mark.parametrize("status", [200, *BY_STATUS])
def test_a_code_that_says_something_decides(status: int) -> None:
    expected = {code: cls for code, cls in CODES.items() if code not in (1, 1807, 65535)}
    assert {code: type(told(code, "collection not found", status)) for code in expected} == expected


@pytest.mark.parametrize(
    ("words", "cls"),
    [
        ("can't find collection[database=default][collection=nope]", errors.CollectionNotFoundError),
        ("describe collection failed: can't find collection: nope", errors.CollectionNotFoundError),
        ("collection not found[database=default][collection=nope]", errors.CollectionNotFoundError),
        ("collection not found[collection=nope]", errors.CollectionNotFoundError),
        ("collection 'nope' does not exist", errors.CollectionNotFoundError),
        ("request is rejected by limiter, error: collection not found[x=y]", errors.CollectionNotFoundError),
        ("request is rejected by limiter, error: partition not found[partition=p]", errors.PartitionNotFoundError),
        ("partition name p1 not found", errors.PartitionNotFoundError),
        ("partitionID of partitionName:p1 can not be found", errors.PartitionNotFoundError),
        ("request is rejected by limiter, error: database not found[database=d]", errors.DatabaseNotFoundError),
        ("database:nodb not found", errors.DatabaseNotFoundError),
        ("index not found[collection=sp]", errors.IndexNotFoundError),
        ("index doesn't exist, collectionID 447", errors.IndexNotFoundError),
        ("alias not found[database=default][alias=c]", errors.AliasNotFoundError),
        ("CreateIndex failed: cannot create index on non-exist field: vectr", errors.FieldNotFoundError),
        (DENIED, errors.PermissionDeniedError),
        ("rpc error: code = Unauthenticated desc = auth check failure", errors.AuthenticationError),
        ("rpc error: code = Unimplemented desc = unknown method Flush", errors.UnsupportedError),
        ("privilege not permitted[actual=PrivilegeLoad]", errors.PermissionDeniedError),
        ("fail to Query, QueryNode ID = 1, reason=partition not loaded[partition=[4]]", errors.NotLoadedError),
        ("collection docs has not been loaded to memory or load failed", errors.NotLoadedError),
        ("collection:447 is not loaded", errors.NotLoadedError),
        ("there is no vector index on field: [v], please create index firstly", errors.IndexNotFoundError),
    ],
)
def test_where_the_status_says_nothing_either_the_words_decide(words: str, cls: type[errors.MilvusError]) -> None:
    found = {code: told(code, words) for code in (65535, 1807, 1, 5, 31337)}
    assert {code: (type(error), error.transient) for code, error in found.items()} == dict.fromkeys(found, (cls, False))


@pytest.mark.parametrize(
    "words",
    [
        "M out of range: [1, 2048]",
        "create index failed, cannot find function of function output field: s",
        "cannot drop the collection via alias = al",
        "CreateIndex failed: at most one distinct index is allowed per field",
        "partition cannot be dropped, partition is loaded, please release it first",
        "duplicated field name v found",
        "segment not found[segment=4]",
        "collection 447: segment 12 not found",
    ],
)
def test_words_that_are_about_something_else(words: str) -> None:
    assert type(told(65535, words)) is errors.UnexpectedError


@pytest.mark.parametrize("code", [1807, 65535, 8])
def test_a_true_limiter_says_when_to_come_back(code: int) -> None:
    found = told(code, LIMITED)
    assert (type(found), found.transient, found.not_executed) == (errors.RateLimitError, True, True)
    assert found.retry_after == 10.0


@pytest.mark.parametrize("rate", ["0", "-1", "x", "1e400", "1e-400", ""])
def test_a_rate_that_cannot_be(rate: str) -> None:
    found = told(1807, f"rate limit exceeded[rate={rate}]")
    assert (type(found), found.retry_after) == (errors.RateLimitError, None)


def test_a_missing_privilege_is_named() -> None:
    found = told(65535, DENIED, 403)
    found.where = errors.Where("indexes/create", "collection 'docs' (database 'default')", "http://milvus:19530")
    assert str(found) == (
        "No privilege CreateIndex for user 'etl' in database 'default'. Grant it to the user's role. indexes/create "
        f"for collection 'docs' (database 'default') at http://milvus:19530 (code 65535, HTTP 403): \"{DENIED}\""
    )


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1401, "privilege not permitted[actual=PrivilegeCreateIndex]"),
        (65535, "PrivilegeCreateIndex is missing"),
        (65535, "PrivilegeCreateIndex: permission deny"),
    ],
)
def test_a_missing_privilege_is_named_in_other_words(code: int, words: str) -> None:
    text = str(told(code, words, 403))
    assert text.startswith("The connection's user lacks the privilege CreateIndex. Grant it to the user's role. ")
    assert text.endswith(f'"{words}"')


@pytest.mark.parametrize(
    "words", [DENIED * 9, "Privilege" * 500, "collection " * 400, "index [" * 500, "a" * 5000, "collection [" * 400]
)
def test_any_words_are_read_in_no_time(words: str) -> None:
    assert str(told(65535, words))
