"""What holds for all endpoints alike, tried on one of them; what is tried on each is in test_local_conformance."""

from __future__ import annotations

import base64
import json
import time
from html.parser import HTMLParser

import pytest
import requests

import airflow_vectordb
from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.local.guard import MAX_BODY
from tests.support.local_api import Api


def url(server: LocalMilvus, path: str) -> str:
    return f"{server.uri}/v2/vectordb/{path}"


def basic(token: str) -> str:
    return base64.b64encode(token.encode()).decode()


def test_the_spellings_of_the_token(server: LocalMilvus) -> None:
    token = str(server.token)
    right = [token, f"Bearer {token}", f"Basic {basic(token)}", f"basic {basic(token)}"]
    wrong = [
        "",
        "Bearer",
        "Bearer root:wrong",
        "root:wrong",
        f"Bearer {token}2",
        f"{token} x",
        token[:-1],
        "root",
        "root:",
    ]
    wrong += [
        f"{word}{token}"
        for word in ("bearer ", "BEARER ", "Bearer  ", "Bearer\t", "Bearer", "Token ", "Bearer Bearer ")
    ]
    wrong += [f"Basic {token}", f"Basic {basic('root:wrong')}", f"Bearer {basic(token)}", "Basic cm9vdA==", "Basic !"]
    for path in ("collections/list", "collections/list/", "nosuch/list", ""):
        for given, known in [*((one, True) for one in right), *((one, False) for one in wrong)]:
            sent = {"Authorization": given}
            response = requests.post(url(server, path), json={}, headers=sent, timeout=60, allow_redirects=False)
            assert (response.status_code == 401) is not known, (path, given)
            if not known:
                assert response.json() == {"code": 1800, "message": "user hasn't authenticated"}


@pytest.mark.parametrize(
    ("header", "key"),
    [(None, 7), ("true", 7), ("T", 7), ("maybe", 7), ("", 7), ("false", "7"), ("0", "7"), ("FALSE", "7")],
)
def test_int64_values_are_numbers_unless_told_no(api: Api, name: str, header: str | None, key: int | str) -> None:
    api.ok("collections/create", collectionName=name, dimension=2)
    row = {"id": 7, "vector": [0.5, 0.25]}
    written = api.post("entities/insert", {"collectionName": name, "data": [row]}, Accept_Type_Allow_Int64=header)
    assert written.json()["data"]["insertIds"] == [key]
    read = api.post("entities/get", {"collectionName": name, "id": [7]}, Accept_Type_Allow_Int64=header).json()
    assert read["data"][0]["id"] == key


def test_a_body_that_is_nested_too_deeply_is_1801(api: Api) -> None:
    for body in (b"[" * 9999, b'{"a":' * 9999):
        response = api.raw("collections/list", body)
        assert (response.status, response.json()["code"]) == (200, 1801), body[:20]


def test_an_unknown_path_is_answered_as_plain_text(api: Api) -> None:
    assert api.post("nosuch/list", {}).headers["Content-Type"].startswith("text/plain")


def test_a_slash_at_the_end_leads_to_the_call_without_it(api: Api) -> None:
    followed = api.session.post(f"{api.uri}/v2/vectordb/databases/list/?a=1", json={}, timeout=60)
    assert [sent.headers["Location"] for sent in followed.history] == ["/v2/vectordb/databases/list?a=1"]
    assert followed.json()["data"] == api.ok("databases/list")


def test_the_database_is_taken_from_the_body_then_the_header_then_default(api: Api, name: str) -> None:
    api.ok("databases/create", dbName="side")
    try:
        api.ok("collections/create", collectionName=name, dimension=4)
        api.ok("collections/create", collectionName="inside", dimension=4, dbName="side")
        listing = api.post("collections/list", {}, DB_Name="side").json()
        assert listing["data"] == ["inside"]
        assert name in api.post("collections/list", {"dbName": "default"}, DB_Name="side").json()["data"]
        assert "inside" not in api.ok("collections/list")
        assert api.post("collections/list", {}, DB_Name="nosuch").json()["code"] == 800
        assert api.post("collections/list", {"dbName": ""}, DB_Name="side").json()["data"] == ["inside"]
    finally:
        api.ok("collections/drop", collectionName="inside", dbName="side")
        api.ok("databases/drop", dbName="side")


def test_int64_of_int64_fields_alone_are_texts_where_that_was_asked_for(api: Api, shared: str) -> None:
    body = {"collectionName": shared, "id": [3], "outputFields": ["rank"]}
    assert api.post("entities/get", body).json()["data"] == [{"id": 3, "rank": 0}]
    plain = api.post("entities/get", body, Accept_Type_Allow_Int64="false").json()
    assert plain["data"] == [{"id": "3", "rank": 0}]
    search = {"collectionName": shared, "data": [[3, 1, 0, 0]], "annsField": "v", "limit": 1}
    assert api.post("entities/search", search, Accept_Type_Allow_Int64="false").json()["data"][0]["id"] == "3"


def test_a_call_that_takes_too_long_is_answered_with_408(api: Api, name: str) -> None:
    api.ok("collections/create", collectionName=name, dimension=512)
    count = 20_000
    vector = b"[" + b",".join([b"0.25"] * 512) + b"]"
    rows = b",".join(b'{"id":%d,"vector":%s}' % (i, vector) for i in range(count))
    body = b'{"collectionName":"%s","data":[%s]}' % (name.encode(), rows)
    started = time.monotonic()
    response = api.raw("entities/insert", body, Request_Timeout="1")
    assert response.status == 408
    assert response.json() == {"code": 10001, "message": "request timeout"}
    assert time.monotonic() - started < 60
    # It may be done all the same, or not at all; and whoever comes next is served.
    api.ok("entities/upsert", collectionName=name, data=[{"id": 0, "vector": [0.5] * 512}])
    (found,) = api.ok("entities/query", collectionName=name, outputFields=["count(*)"])
    assert found["count(*)"] in (1, count)


def test_a_body_that_is_too_large_is_refused(api: Api) -> None:
    response = api.raw("collections/list", b" " * (MAX_BODY + 1))
    assert (response.status, response.json()["code"]) == (413, 1102)


def test_the_log_has_neither_token_nor_rows(server: LocalMilvus, api: Api, shared: str) -> None:
    api.ok("entities/search", collectionName=shared, data=[[3.14159, 1, 0, 0]], annsField="v", filter="label != 'hush'")
    api.fails("entities/query", collectionName=shared, filter="label == 'hush' and")
    log = server.log()
    assert "entities/search 200 code=0" in log
    assert "entities/query 200 code=1100" in log
    for secret in (server.token, "3.14159", "hush"):
        assert secret is not None
        assert secret not in log


def test_the_documentation_lists_what_is_there(api: Api) -> None:
    document = api.session.get(f"{api.uri}/openapi.json", timeout=60).json()
    body = document["paths"]["/v2/vectordb/indexes/create"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"]["required"] == ["collectionName", "indexParams"]
    item = body["schema"]["properties"]["indexParams"]["items"]
    assert item["required"] == ["fieldName"]
    assert set(item["properties"]) == {"fieldName", "indexName", "metricType", "indexType", "params"}
    json.dumps(document)


class Page(HTMLParser):
    """What a page loads, and leads to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.bodies: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "data", "srcset")]
        self.ids += [named["id"] or ""] if tag == "details" else []
        if tag == "textarea":
            self.bodies.append("")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "textarea" and not self.bodies[-1]:
            self.bodies[-1] = data


def test_the_page_of_what_it_can_do_needs_no_network(api: Api) -> None:
    answer = api.session.get(f"{api.uri}/docs", timeout=60)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = Page(answer.text)
    paths = [
        path.removeprefix("/v2/vectordb/")
        for path in api.session.get(f"{api.uri}/openapi.json", timeout=60).json()["paths"]
    ]
    assert sorted(page.ids) == sorted(paths)
    # Nothing from elsewhere, in the style and the script neither.
    assert {address for address in page.addresses if not address.startswith("/v2/vectordb/")} == {
        "data:,",
        "/openapi.json",
    }
    assert "://" not in answer.text
    assert "@import" not in answer.text
    # What stands there to be sent is what the call wants.
    bodies = dict(zip(page.ids, map(json.loads, page.bodies), strict=True))
    assert bodies["indexes/create"] == {"collectionName": "", "indexParams": [{"fieldName": ""}]}
    assert bodies["collections/list"] == {}
    for words in ("indexParams[].fieldName", "REST only, no gRPC", "Seal what was inserted so far"):
        assert words in answer.text


def test_it_says_what_it_is(api: Api) -> None:
    about = api.session.get(f"{api.uri}/", timeout=60).json()
    assert about["version"] == airflow_vectordb.__version__
    assert about["api"] == f"{api.uri}/v2/vectordb/"
    assert "REST only, no gRPC" in about["about"]
    for name in ("docs", "openapi"):
        assert api.session.get(about[name], timeout=60).status_code == 200
    assert api.session.post(f"{api.uri}/", json={}, timeout=60).status_code == 404
