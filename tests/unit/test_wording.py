"""Cause and advice are read with one look, whatever the names; times are told as people say them."""

from __future__ import annotations

import json

import pytest

from airflow_vectordb.exceptions import as_airflow_exception
from airflow_vectordb.operators.collection import VerifyCollectionOperator
from airflow_vectordb.rest import Client, MilvusConfig, collections, entities, errors, indexes, partitions
from airflow_vectordb.rest.codes import CODES
from airflow_vectordb.rest.error_text import HEAD, gist
from airflow_vectordb.rest.errors import MilvusError, Where
from airflow_vectordb.rest.wording import duration, fit, in_words, shorten
from tests.support.harness import Logged, Operating, Pauses, Transport
from tests.support.scripted import Answer, Behaviour, CutOff, Serve, error, ok, page

LONG = "quarterly_reports_" * 14
FILTER = "failed to create query plan: cannot parse expression: "
SHORT = ("docs", "default", "http://milvus:19530")
NAMES = {"short": SHORT, "long": (LONG, LONG, "https://in03-0123456789abcdef.api.gcp-us-west1.zillizcloud.com:19530")}
ERRORS = [getattr(errors, name) for name in vars(errors) if name.endswith("Error")]


def where(collection: str, database: str, server: str) -> Where:
    names = dict.fromkeys(("collection", "partition", "index", "alias", "field"), collection)
    target = f"collection {collection!r} (database {database!r})"
    return Where("indexes/create", target, server, {**names, "database": database})


def looked_at(found: MilvusError) -> str:
    """Return what is read with one look, once it has been seen that it has the advice, and all else follows."""
    text = str(as_airflow_exception(found, task_id="index"))
    head = text[:HEAD]
    assert found.hint.partition(". ")[0].rstrip(".") in head, text
    assert not head.startswith(("task", "indexes/")), text
    assert found.message in text
    assert found.where is not None
    assert f"task index: {found.where}" in text
    return head


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("words", ["index type not supported", "failed: " + "because of this and that " * 40])
def test_of_every_code(words: str, names: str, subtests: pytest.Subtests) -> None:
    for code in (*CODES, 31337, 96001):
        cls = CODES.get(code, errors.PermissionDeniedError if code == 96001 else errors.UnexpectedError)
        found = cls(words, code=code, http_status=200, where=where(*NAMES[names]))
        with subtests.test(code=code):
            assert looked_at(found).partition(". ")[0]


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("facts", [{}, {"code": 7, "http_status": 429}])
def test_of_every_class(facts: dict[str, int], names: str, subtests: pytest.Subtests) -> None:
    for cls in set(ERRORS) - {MilvusError, errors.InvalidParametersError}:
        found = cls("what happened is this, and nobody knows why; " * 9, where=where(*NAMES[names]), **facts)
        with subtests.test(cls.__name__):
            assert cls.advice
            looked_at(found)
            found.cause = f"something of {LONG} is wrong"
            assert found.cause in str(found)
            looked_at(found)


@pytest.mark.parametrize("cls", ERRORS)
def test_of_every_class_without_a_place(cls: type[MilvusError]) -> None:
    if cls is not errors.InvalidParametersError:
        for found in (cls("words"), cls("words", code=7)):
            assert "words" in str(found)
            assert str(found).index(found.hint) <= HEAD - len(found.hint)


def test_what_a_task_tells() -> None:
    found = errors.CollectionNotFoundError("can't find collection", code=100, where=where(*SHORT))
    assert str(as_airflow_exception(found, task_id="index")) == (
        "Collection 'docs' does not exist. Create it first, or check its name and the database. task index: "
        "indexes/create for collection 'docs' (database 'default') at http://milvus:19530 (code 100): "
        '"can\'t find collection"'
    )


DENIED = "rpc error: code = PermissionDenied desc = PrivilegeCreateIndex: permission deny to etl in the `shop` database"
CAUSES = {
    "a collection": (
        collections.load("docs"),
        error(100, "collection not found[database=default][collection=docs]"),
        "Collection 'docs' does not exist. Create it first",
    ),
    "a collection by its number": (
        entities.query("docs"),
        error(101, "failed to query: collection not loaded[collection=470743935133063409]"),
        "Collection 'docs' is not loaded. Load it first (LoadCollectionOperator)",
    ),
    "one of several partitions": (
        partitions.load("docs", ["p1", "p2"]),
        error(65535, "partition not found[partition=p2]"),
        "Partition 'p2' of collection 'docs' does not exist. Check its name",
    ),
    "a database": (
        collections.list_(database="shop"),
        error(800, "database not found[database=shop]"),
        "Database 'shop' does not exist. Create it",
    ),
    "an index": (
        indexes.describe("docs", "v"),
        error(700, "index not found[indexName=v]"),
        "Collection 'docs' has no index 'v'. Check its name",
    ),
    "a privilege": (
        collections.load("docs"),
        error(65535, DENIED, 403),
        "No privilege CreateIndex for user 'etl' in database 'shop'. Grant it to the user's role.",
    ),
    "a privilege that is not named": (
        collections.load("docs"),
        error(1401, "no", 403),
        "The connection's user lacks a privilege. Grant it to the user's role.",
    ),
    "a limiter": (
        collections.load("docs"),
        error(1807, "rate limit exceeded[rate=0.1]"),
        "A rate limit allows one such call in 10 s. Retry later",
    ),
    "words": (
        entities.query("docs"),
        error(1801, "can only accept json format request, error: unexpected EOF"),
        'Milvus refuses: "unexpected EOF". Correct the request',
    ),
    "a filter with an unknown field": (
        entities.query("docs"),
        error(1100, f"{FILTER}yaer > 1, error: field yaer not exist: invalid parameter[expected=a][actual=b]"),
        "The filter does not parse: field yaer not exist. Correct the request.",
    ),
    "a filter that ends too early": (
        entities.query("docs"),
        error(1100, f"{FILTER}id <, error: line 1:4 mismatched input '<EOF>' expecting {{'(', '['}}"),
        "The filter does not parse: line 1:4 mismatched input '<EOF>' expecting",
    ),
    "a filter that is no condition": (
        entities.query("docs"),
        error(1100, "failed to create query plan: predicate is not a boolean expression: id + 1"),
        'Milvus refuses: "predicate is not a boolean expression: id + 1". Correct the request.',
    ),
    "an alias": (
        collections.drop("docs"),
        error(65535, "unable to drop the collection [docs] because it has associated aliases [live], please remove"),
        "alias 'live' points to it. Switch or drop the alias.",
    ),
    "two aliases": (
        collections.drop("docs"),
        error(65535, "unable to drop the collection [docs] because it has associated aliases [live next]"),
        "aliases 'live', 'next' point to it. Switch or drop the alias.",
    ),
    "a page": (collections.load("docs"), page(200), "The server at {} is not Milvus: the answer"),
    "another page": (
        collections.load("docs"),
        page(503),
        "HTTP 503 from something in front of Milvus. A retry may help",
    ),
    "a page of a proxy": (collections.load("docs"), page(403), "HTTP 403 from something in front of Milvus. Is access"),
    "a panic": (collections.load("docs"), error(500, "panic", 500), "HTTP 500 from {}. A retry may help"),
    "no endpoint": (collections.load("docs"), Answer("404 page not found", 404), "{} has no collections/load. Is it"),
    "half an answer": (collections.load("docs"), CutOff(), "{}: the connection ended before the answer did. A retry"),
}


@pytest.mark.parametrize("case", CAUSES)
def test_the_cause_is_told_first(case: str, transport: Transport, serve: Serve) -> None:
    call, answer, text = CAUSES[case]
    server = serve(answer)
    found = transport.fail(MilvusConfig(server.url, retries=0), call)
    assert str(found).startswith(text.format(server.url))
    assert f" at {server.url}" in str(found)


#: A difference -> what is read of it with one look.
DIFFERENCES = {
    "another schema: vector: FloatVector(16) -> FloatVector(32)": "another schema: vector: FloatVector(16) -> "
    "FloatVector(32). ",
    "another schema: body_vector: FloatVector(768) -> FloatVector(1024)": "body_vector: FloatVector(768) -> "
    "FloatVector(1024). ",
    "another index exists: nightly_articles_of_all/vector: metric_type: COSINE -> L2": "nightly_articles_of_all/"
    "vector: metric_type: COSINE -> L2. ",
    f"another index exists: {'d' * 70}/vector: metric_type: COSINE -> L2": "metric_type: COSINE -> L2. ",
    "another index exists: docs/vector: M: 32 -> 16, efConstruction: 200 -> 360": "another index exists: "
    "docs/vector: M: 32 -> 16",
}


@pytest.mark.parametrize("difference", DIFFERENCES)
def test_a_difference_stays_readable(difference: str) -> None:
    hint = "Reindex blue/green, or use a new name. And more."
    for found in (
        errors.ConflictError("-", cause=difference, hint=hint),
        errors.IndexMismatchError(difference, hint=hint),
    ):
        assert str(found).startswith(DIFFERENCES[difference])
        assert "use a new name." in str(found)[:HEAD]
        assert difference in str(found)


def test_what_is_cut_twice_has_one_ellipsis() -> None:
    found = errors.UnexpectedError(f"unable to drop it [docs_{'2' * 90}] as [docs]", code=65535)
    assert "……" not in str(found)


def test_the_words_are_told_however_short_they_are() -> None:
    found = errors.NotLoadedError("no", code=101, where=where(*SHORT))
    assert str(found).endswith('(code 101): "no"')


def test_what_went_through_a_trigger_is_told_alike() -> None:
    found = errors.PermissionDeniedError(
        "no", code=65535, http_status=403, where=where(*NAMES["long"]), cause="so it is"
    )
    assert str(errors.error_from(json.loads(json.dumps(found.as_json())))) == str(found)


# What is said again and again ---------------------------------------------------------------------------------------

RETRIED = collections.list_()


def test_a_sentence_comes_once(transport: Transport, serve: Serve, pauses: Pauses, logged: Logged) -> None:
    server = serve(error(1, "service not ready"))
    found = transport.fail(MilvusConfig(server.url), RETRIED)
    lines = logged.of("warning")
    assert lines[0].startswith(str(found).replace(" after 5 attempts", ""))
    assert lines[0].endswith(f" Attempt 1 of 5; next in {duration(pauses[0])}")
    assert lines[1:] == [
        f"attempt {n} of 5 failed in the same way as attempt 1; next in {duration(pauses[n - 1])}" for n in (2, 3, 4)
    ]
    assert " after 5 attempts (code 1): " not in lines[0]
    assert "after 5 attempts" in str(found)


def test_another_error_is_told_in_full(transport: Transport, serve: Serve, pauses: Pauses, logged: Logged) -> None:
    script: list[Behaviour] = [error(1, "not ready"), page(502), error(1, "not ready"), error(2, "down"), page(502)]
    server = serve(script)
    transport.fail(MilvusConfig(server.url), RETRIED)
    heads = [line.partition(". ")[0] for line in logged.of("warning")]
    assert heads == [
        'Milvus cannot do it now: "not ready"',
        "HTTP 502 from something in front of Milvus",
        f"attempt 3 of 5 failed in the same way as attempt 1; next in {duration(pauses[2])}",
        'Milvus cannot do it now: "down"',
    ]


# Words, names and times ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.04, "0.04 s"),
        (0.5, "0.5 s"),
        (1.25, "1.2 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (35, "35 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (60, "1 min"),
        (90, "1 min 30 s"),
        (400, "6 min 40 s"),
        (3599.7, "1 h"),
        (3570, "59 min 30 s"),
        (5400, "1 h 30 min"),
        (7199, "2 h"),
        (86399, "1 day"),
        (24 * 3600, "1 day"),
        (25 * 3600 + 61, "1 day 1 h"),
        (2 * 86400, "2 days"),
        (7 * 86400, "7 days"),
        (-1, "0 s"),
    ],
)
def test_times(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_states_in_english() -> None:
    states = ["LoadStateLoaded", "LoadStateLoading", "LoadStateNotLoad", "InProgress", "Finished", "Strange"]
    assert [in_words(state) for state in states] == [
        *("loaded", "loading", "not loaded", "in progress", "Finished", "Strange")
    ]


def test_names_are_shortened_in_the_middle_and_sentences_at_the_end() -> None:
    assert shorten("abcdefghij", 10) == "abcdefghij"
    assert shorten("abcdefghijk", 10) == "abcdef…ijk"
    assert shorten("M: not told -> 16, efConstruction: 9", 30) == "M: not told -> 16, efConstruc…"
    assert shorten('"M: not told -> 16"', 12) == '"M: not to…"'
    assert shorten(f"'{LONG}' is not there", 60) == "'quarterly_repor…ports_' is not there"
    assert fit("{a} and {b}", 40, a="short", b="x" * 99) == f"short and {'x' * 20}…{'x' * 9}"
    assert len(fit("{a} and {b}", 40, a="y" * 99, b="x" * 99)) == 40
    assert fit("{a} of {b}", 100, a="{b}", b="{a}") == "{b} of {a}"


def test_what_a_server_wraps_its_reasons_in() -> None:
    suffix = ": invalid parameter[expected=valid index params][actual=invalid index params]"
    assert gist(f"float vector index does not support metric type: l2{suffix}") == (
        "float vector index does not support metric type: l2"
    )
    assert gist("fail to deal the insert data, error: row 0 does not has field id") == "row 0 does not has field id"
    assert gist("M out of range: [1, 2048]") == "M out of range: [1, 2048]"
    assert gist(": invalid parameter") == ": invalid parameter"
    assert gist("metric type not match: invalid parameter[expected=IP][actual=L2]") == (
        "metric type not match: expected IP, got L2"
    )


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (error(1800, "user hasn't authenticated"), "Milvus does not accept the credentials"),
        (page(200), "The server at "),
        (None, "No connection to "),
    ],
)
def test_of_what_the_connection_decides_its_id_is_told(
    answer: Behaviour | None, cause: str, serve: Serve, operating: Operating
) -> None:
    server = serve(answer or ok())
    if answer is None:
        server.close()
    operating.connect(server, extra={"retries": 0})
    with pytest.raises(MilvusError, match=cause) as caught:
        operating.execute(VerifyCollectionOperator(task_id="verify", collection_name="docs"))
    assert f" at {server.url} (connection 'milvus_default')" in str(caught.value)


def test_of_other_errors_the_connection_is_not_told(serve: Serve, operating: Operating) -> None:
    operating.connect(serve(error(100, "collection not found[collection=docs]")))
    with pytest.raises(MilvusError) as caught:
        operating.execute(VerifyCollectionOperator(task_id="verify", collection_name="docs"))
    assert "milvus_default" not in str(caught.value)


def test_tls_with_a_port_that_does_not_speak_it_has_the_advice_for_that(serve: Serve) -> None:
    server = serve(ok())
    config = MilvusConfig(f"https://127.0.0.1:{server.port}", retries=0)
    with Client(config) as client, pytest.raises(errors.TlsError) as caught:
        client.send(collections.list_())
    assert "Does the port speak TLS? If not, disable `secure`." in str(caught.value)[:HEAD]
