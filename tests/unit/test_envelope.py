"""Status and bytes -> data or error."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_vectordb.rest import errors
from airflow_vectordb.rest.http.response import RawResponse, parse_response, retry_after


def reply(status: int = 200, /, **envelope: object) -> RawResponse:
    return RawResponse(status, {}, orjson.dumps(envelope))


@pytest.mark.parametrize("code", [0, 200])
def test_both_success_codes_mean_success(code: int) -> None:
    assert parse_response(reply(code=code, data={"a": 1})).data == {"a": 1}


def test_what_stands_beside_data_can_be_read() -> None:
    assert parse_response(reply(code=0, data=[], topks=[0])).envelope["topks"] == [0]


def test_a_failure_with_http_200_is_a_failure() -> None:
    with pytest.raises(errors.CollectionNotFoundError) as caught:
        parse_response(reply(code=100, message="can't find\n collection"))
    assert (caught.value.code, caught.value.http_status) == (100, 200)
    assert caught.value.message == "can't find collection"


@pytest.mark.parametrize(
    ("status", "envelope", "cls"),
    [
        (401, {"code": 1800, "message": "x"}, errors.AuthenticationError),
        (403, {"code": 1401, "message": "x"}, errors.PermissionDeniedError),
        (408, {"code": 10001, "message": "request timeout"}, errors.UnavailableError),
        (500, {"code": 500, "message": "panic"}, errors.GatewayError),
        (503, {"code": 0, "data": {}}, errors.GatewayError),
        (404, {"code": 0}, errors.UnexpectedError),
        (200, {"code": 200, "message": "partition not found[partition=p]"}, errors.PartitionNotFoundError),
        (200, {"code": 424242, "message": "x"}, errors.UnexpectedError),
        (200, {"code": 65535, "message": "at most one distinct index"}, errors.UnexpectedError),
    ],
)
def test_codes_and_statuses(status: int, envelope: dict[str, object], cls: type[errors.MilvusError]) -> None:
    with pytest.raises(errors.MilvusError) as caught:
        parse_response(RawResponse(status, {}, orjson.dumps(envelope)))
    assert type(caught.value) is cls


@pytest.mark.parametrize("words", ["rate limit exceeded", "service not ready", "context deadline exceeded"])
def test_65535_passes_if_its_words_say_so(words: str) -> None:
    with pytest.raises(errors.UnexpectedError) as caught:
        parse_response(reply(code=65535, message=words))
    assert caught.value.transient


@pytest.mark.parametrize(
    ("status", "body", "cls"),
    [
        (200, b"<html><title>Sign in</title></html>", errors.NotMilvusError),
        (200, b"[]", errors.NotMilvusError),
        (200, b'{"status": "ok"}', errors.NotMilvusError),
        (200, b'{"code": "0"}', errors.NotMilvusError),
        (200, b'{"code": true}', errors.NotMilvusError),
        (200, b"", errors.NotMilvusError),
        (404, b"404 page not found", errors.NoSuchEndpointError),
        (401, b"<html>", errors.AuthenticationError),
        (502, b"<html>Bad Gateway</html>", errors.GatewayError),
        (429, b"slow down", errors.RateLimitError),
        (302, b"", errors.RedirectError),
        (308, b'{"code": 0}', errors.RedirectError),
    ],
)
def test_what_is_not_milvus(status: int, body: bytes, cls: type[errors.MilvusError]) -> None:
    with pytest.raises(errors.MilvusError) as caught:
        parse_response(RawResponse(status, {"location": "https://elsewhere/"}, body))
    assert type(caught.value) is cls


def test_an_html_page_is_named_by_its_title() -> None:
    with pytest.raises(errors.NotMilvusError, match=r"an HTML page \(Sign in\)"):
        parse_response(RawResponse(200, {}, b"<!DOCTYPE html><html><title>Sign in</title>" + b"x" * 10_000))


@given(st.integers(200, 599), st.binary(max_size=200))
def test_any_bytes_are_an_error_or_an_answer(status: int, body: bytes) -> None:
    try:
        answer = parse_response(RawResponse(status, {}, body))
    except errors.MilvusError as error:
        assert len(str(error)) < 3000
    else:
        assert status == 200
        assert answer.envelope["code"] in (0, 200)


def test_retry_after_reads_seconds_and_dates() -> None:
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    assert retry_after("7", now) == 7.0
    assert retry_after(format_datetime(now + timedelta(seconds=90), usegmt=True), now) == 90.0
    assert retry_after(format_datetime(now - timedelta(seconds=90), usegmt=True), now) == 0.0
    assert retry_after("-3", now) == 0.0
    assert retry_after(None, now) is None
    for odd in ("soon", "nan", "inf", ""):
        assert retry_after(odd, now) is None
