"""A token that a server repeats in another spelling, or as data: it gets nowhere."""

from __future__ import annotations

import html
import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from itertools import product
from typing import Any
from urllib.parse import quote

import pytest

from airflow_vectordb.rest import MilvusConfig, collections, entities, indexes
from airflow_vectordb.rest.redaction import Redactor
from tests.support.drivers import DeferrableOperator, Driver, Sensor
from tests.support.fake_milvus import BUILT, FakeMilvus, indexed
from tests.support.harness import LOGIN, PASSWORD, Clock, Logged, Operating, Pauses, Transport
from tests.support.scripted import Answer, Serve, error, ok, page

DESCRIBE = indexes.describe("docs", "vector")
WESTERN, CHINESE, SIGNS = "pässwörd-ß", "密码-数据库", "s3cret<&>'\"/\\x"


def go_json(text: str) -> str:
    """Write a text as Go's encoder does."""
    escaped = json.dumps(text, ensure_ascii=False)[1:-1]
    return "".join(f"\\u{ord(c):04x}" if c in "<>&\u2028\u2029" else c for c in escaped)


READINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in Base64": lambda text: b64encode(text.encode()).decode(),
    "in Base64 without padding": lambda text: b64encode(text.encode()).decode().rstrip("="),
    "in Base64 for URLs": lambda text: urlsafe_b64encode(text.encode()).decode(),
    "in small Base64": lambda text: b64encode(text.encode()).decode().lower(),
    "as Latin-1": lambda text: text.encode().decode("latin-1"),
    "as Windows' Latin-1": lambda text: "".join(bytes([b]).decode("cp1252", "ignore") or chr(b) for b in text.encode()),
    "as ASCII": lambda text: text.encode().decode("ascii", "replace"),
    "with question marks": lambda text: text.encode("ascii", "replace").decode(),
}
SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON in JSON": lambda text: json.dumps(json.dumps(text))[1:-1],
    "JSON as of Go": go_json,
    "JSON as of PHP": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "all of it escaped": lambda text: "".join(f"\\u{ord(c):04X}" for c in text),
    "URL": lambda text: quote(text, safe=""),
    "URL, all of it": lambda text: "".join(f"%{b:02x}" for b in text.encode()),
    "URL in a URL": lambda text: quote(quote(text, safe=""), safe=""),
    "HTML": html.escape,
    "HTML, all of it": lambda text: "".join(f"&#{ord(c)};" for c in text),
    "HTML, in hex": lambda text: "".join(f"&#x{ord(c):X};" for c in text),
    "JSON in HTML": lambda text: html.escape(json.dumps(text)),
    "bytes of Python": lambda text: repr(text.encode())[2:-1],
}


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("password", [PASSWORD, WESTERN, CHINESE, SIGNS])
def test_it_is_found(password: str, reading: str, subtests: pytest.Subtests) -> None:
    token = f"ada:{password}"
    redact = Redactor(token)
    for spelling, secret in product(SPELLINGS, (token, password)):
        spelt = SPELLINGS[spelling](READINGS[reading](secret))
        with subtests.test(spelling, secret=secret):
            text = redact(f"you sent {spelt}, didn't you?")
            assert text.startswith("you sent ")
            assert "***" in text
            assert text.endswith(", didn't you?")
            assert READINGS[reading](password) not in text
            assert redact.finds(spelt)


@pytest.mark.parametrize("where", ["message", "page", "plain text"])
@pytest.mark.parametrize("spelling", ["plain", "JSON as of Go", "URL", "HTML"])
@pytest.mark.parametrize("reading", ["in Base64", "as Latin-1", "as it is"])
def test_both_clients_take_it_out(
    reading: str, spelling: str, where: str, transport: Transport, serve: Serve, pauses: Pauses
) -> None:
    spelt = SPELLINGS[spelling](READINGS[reading](f"ada:{WESTERN}<&>"))
    answer = {
        "message": error(1100, f"got {spelt}"),
        "page": page(502, f"got {spelt}"),
        "plain text": Answer(f"got {spelt}", 400),
    }
    found = transport.fail(MilvusConfig(serve(answer[where]).url, token=f"ada:{WESTERN}<&>", retries=0), DESCRIBE)
    assert spelt not in str(found)
    assert "got ***" in str(found)


@pytest.mark.parametrize("before", range(1980, 2020))
def test_no_half_of_it_is_left_at_a_cut(before: int) -> None:
    config = MilvusConfig("http://localhost", token=f"ada:{PASSWORD}")
    for spelt in (PASSWORD, b64encode(f"ada:{PASSWORD}".encode()).decode(), quote(PASSWORD)):
        for longest in (2000, 500, before // 4):  # the text is cut at four times the length that is shown, before that
            shown = config.sanitize_text("x" * before + spelt * 10_000, longest)
            rest = shown.lstrip("x").replace("*", "").rstrip("…")
            assert rest == ""


@pytest.mark.parametrize("blanks", range(7960, 8040, 3))
def test_no_half_of_it_moves_into_sight(blanks: int) -> None:
    config = MilvusConfig("http://localhost", token=f"ada:{PASSWORD}")
    shown = config.sanitize_text(" " * blanks + PASSWORD * 1000, 2000)
    assert shown.replace("*", "").strip("…") == ""


@pytest.mark.parametrize(
    "harmless",
    [
        "42 of 100 rows (42%), about 5 s left",
        "50%25",
        r"C:\new\users\x",
        "&amp;amp;",
        "a+b",
        "%zz \\u12",
        "数据 \\ude00",
    ],
)
def test_what_has_none_of_it_stays_as_it_is(harmless: str) -> None:
    assert Redactor(f"ada:{PASSWORD}")(harmless) == harmless


def test_a_short_password_takes_no_words_apart() -> None:
    assert Redactor("root:cat")("concatenate root:cat, cm9vdDpjYXQ=") == "concatenate ***, ***"


# As data ------------------------------------------------------------------------------------------------------------

TOKEN = f"{LOGIN}:{PASSWORD}"
ECHOES = [
    f"Bearer {TOKEN}",
    PASSWORD,
    b64encode(TOKEN.encode()).decode(),
    json.dumps({"x": f"<{TOKEN}>"}).replace("<", "\\u003c"),
]


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("kind", [DeferrableOperator, Sensor], ids=lambda kind: kind.name)
def test_parameters_and_names_that_repeat_it(
    kind: type[Driver], echo: str, serve: Serve, operating: Operating, clock: Clock, logged: Logged
) -> None:
    odd = {"key": echo, "value": echo}
    described = {**BUILT, "indexParams": [odd, {"key": "M", "value": "16"}, {"key": "efConstruction", "value": "200"}]}
    milvus = indexed(described)
    driver = kind(operating, clock)

    result = driver.run(serve(milvus))

    assert "***" in json.dumps(result)
    for text in (json.dumps(result), logged.everything, *driver.passed):
        assert PASSWORD not in text
        assert echo not in text


@pytest.mark.parametrize(
    "answer",
    [
        {"collectionName": "docs", "fields": [{"name": f"x {TOKEN}", "type": PASSWORD, "params": []}]},
        {"collectionName": "docs", "description": f"Bearer {TOKEN}", "fields": []},
    ],
)
def test_descriptions_that_repeat_it(answer: dict[str, Any], transport: Transport, serve: Serve) -> None:
    (found,) = transport.send(MilvusConfig(serve(ok(answer)).url, token=TOKEN), collections.describe("docs"))
    assert PASSWORD not in repr(found) + repr(found.raw)
    assert "***" in repr(found) + repr(found.raw)


def test_rows_are_the_callers_own(transport: Transport, serve: Serve) -> None:
    rows = [{"id": 1, "text": f"my password is {PASSWORD}"}]
    assert transport.send(MilvusConfig(serve(ok(rows)).url, token=TOKEN), entities.query("docs")) == [rows]


@pytest.mark.parametrize("name", ["milvus_docs", "Milvus2", "my_Milvus", "MILVUS"])
def test_names_with_the_first_password_of_a_server_in_them(name: str, transport: Transport, serve: Serve) -> None:
    server = serve(
        {
            "collections/list": ok([name, "docs"]),
            "collections/describe": ok(
                {"collectionName": "Milvus", "fields": [{"name": f"{name}_vector", "type": "FloatVector"}]}
            ),
            "indexes/describe": ok([{"indexName": name, "fieldName": f"{name}_vector"}]),
        }
    )
    names, collection, (index,) = transport.send(
        MilvusConfig(server.url, token="root:Milvus"),
        collections.list_(),
        collections.describe("Milvus"),
        indexes.describe("Milvus", name),
    )
    assert names == [name, "docs"]
    assert (collection.name, collection.fields[0].name) == ("Milvus", f"{name}_vector")
    assert (index.index_name, index.field_name) == (name, f"{name}_vector")


# What is printed ----------------------------------------------------------------------------------------------------

FORGED = "x\x1b[2J\r\n2030-01-01 [info] all is well\u202e\u2066\u200b\x07\x00\u2028y"


def test_nothing_that_is_printed_obeys_a_server(
    serve: Serve, driver: Driver, operating: Operating, clock: Clock, logged: Logged
) -> None:
    rows = {"totalRows": 100, "indexedRows": 5, "pendingRows": 95, "indexType": FORGED, "metricType": FORGED}
    odd = {**rows, "indexState": FORGED, "indexParams": [{"key": FORGED, "value": FORGED}]}
    asked = iter([odd, odd])
    milvus = FakeMilvus(progress=lambda name: next(asked, {**odd, **BUILT}))
    if driver.sensor:
        milvus.add("vector")
    try:
        result = driver.run(serve(milvus))
    except Exception as failure:  # noqa: BLE001 - an operator refuses such an index, in words that are as clean
        assert_clean(str(failure))
    else:
        assert result[0]["params"][FORGED] == FORGED  # data stays as it is
    for _, line in logged.lines:
        assert_clean(line)


def assert_clean(text: str) -> None:
    assert text.isprintable(), repr(text)


@pytest.mark.parametrize("name", ["first\x1b[31m", "a\nb", "a\u202eb"])
def test_indexes_with_odd_names(name: str, serve: Serve, operating: Operating, clock: Clock, logged: Logged) -> None:
    milvus = FakeMilvus()
    milvus.add(name, M=16, efConstruction=200)
    server = serve(milvus)
    for arguments in ({"if_exists": "skip"}, {"if_exists": "replace"}, {"if_exists": "fail"}):
        try:
            operating.create(server, **arguments)
        except Exception as failure:  # noqa: BLE001
            assert_clean(str(failure))
    for _, line in logged.lines:
        assert_clean(line)
