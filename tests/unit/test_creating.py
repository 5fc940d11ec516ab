"""Creating indexes on servers of several ages and kinds, and again after a try that failed halfway."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset

from airflow_vectordb._compat import AirflowException, AirflowFailException
from tests.support.fake_milvus import BUILT, FakeMilvus, Lost, rows, told
from tests.support.harness import HNSW, Logged, Operating, Pauses
from tests.support.scripted import Answer, Behaviour, CutOff, Request, Serve, Silent, error, page

#: The request of the API's own page, word for word.
SEED: dict[str, Any] = {
    "collectionName": "custom_setup_not_indexed",
    "indexParams": [
        {
            "metricType": "L2",
            "fieldName": "my_vector",
            "indexName": "my_vector",
            "indexConfig": {"index_type": "AUTOINDEX"},
        }
    ],
}
AGES = ["indexConfig", "params", "indexType"]
SPELLINGS: dict[str, dict[str, Any]] = {
    "indexConfig": {"indexConfig": {"index_type": "HNSW", "M": "16", "efConstruction": "200"}},
    "params": {"params": {"index_type": "HNSW", "M": 16, "efConstruction": 200}},
    "indexType": {"indexType": "HNSW", "params": {"M": 16, "efConstruction": 200}},
    "pymilvus": {"index_type": "hnsw", "params": {"M": "16", "efConstruction": "200"}},
}


@pytest.mark.parametrize("reads", AGES)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_is_understood_by_servers_of_every_age(
    reads: str, spelling: str, serve: Serve, operating: Operating
) -> None:
    milvus = FakeMilvus(reads=reads)

    operating.create(serve(milvus), [{"fieldName": "vector", **SPELLINGS[spelling]}])

    assert milvus.indexes == {
        "vector": {
            "fieldName": "vector",
            "indexType": "HNSW",
            "metricType": "COSINE",
            "params": {"M": "16", "efConstruction": "200"},
        }
    }


@pytest.mark.parametrize("reads", AGES)
@pytest.mark.parametrize("given", [SEED["indexParams"], SEED, json.dumps(SEED)], ids=["list", "body", "text"])
def test_the_request_of_the_apis_own_page(reads: str, given: Any, serve: Serve, operating: Operating) -> None:
    milvus = FakeMilvus("custom_setup_not_indexed", {"my_id": "Int64", "my_vector": "FloatVector"}, reads=reads)

    (index,) = operating.create(serve(milvus), given, collection_name="custom_setup_not_indexed")

    assert milvus.indexes["my_vector"] == {
        "fieldName": "my_vector",
        "indexType": "AUTOINDEX",
        "metricType": "L2",
        "params": {},
    }
    assert index["index_name"] == "my_vector"
    json.dumps(index)


def test_success_as_200(serve: Serve, operating: Operating) -> None:
    milvus = FakeMilvus()

    def as_early_servers_say_it(request: Request) -> Behaviour:
        behaviour = milvus(request)
        assert isinstance(behaviour, Answer)
        return Answer({**behaviour.body, "code": behaviour.body["code"] or 200})

    (index,) = operating.create(serve(as_early_servers_say_it))

    assert index["index_type"] == "HNSW"
    assert "vector" in milvus.indexes


@pytest.mark.parametrize(
    ("schema", "database", "sent"), [(None, "shop", "shop"), ("shop", None, "shop"), ("shop", "shop", "shop")]
)
def test_a_whole_body_may_name_the_database_that_is_meant_anyway(
    serve: Serve, operating: Operating, schema: str | None, database: str | None, sent: str
) -> None:
    server = serve(FakeMilvus())
    operating.connect(server, schema=schema)
    body = {"dbName": "shop", "collectionName": "docs", "indexParams": [HNSW]}

    operating.execute(operating.operator(body, database=database))

    assert [body["dbName"] for body in server.bodies("indexes/create")] == [sent]


def test_defaults_by_the_type_of_the_field(serve: Serve, operating: Operating) -> None:
    server = serve(FakeMilvus())

    operating.create(server, [{"fieldName": name} for name in ("vector", "sparse", "label")])

    (body,) = server.bodies("indexes/create")
    sent = [(i["indexName"], i.get("metricType"), i["indexType"]) for i in body["indexParams"]]
    assert sent == [
        ("vector", "COSINE", "AUTOINDEX"),
        ("sparse", "IP", "AUTOINDEX"),
        ("label", None, "AUTOINDEX"),
    ]


# What is there already ----------------------------------------------------------------------------------------------


def test_what_is_there_is_not_created_again(serve: Serve, operating: Operating) -> None:
    milvus = FakeMilvus()
    milvus.add("vector", M=16, efConstruction=200)
    server = serve(milvus)

    (index,) = operating.create(server)

    assert server.paths == ["collections/describe", "indexes/list", "indexes/describe"]
    assert index["params"] == {"M": 16, "efConstruction": 200}


def test_an_index_that_is_dropped_while_it_is_looked_at(serve: Serve, operating: Operating) -> None:
    milvus = FakeMilvus(faults={"indexes/describe": [error(700, "index not found")]})
    milvus.add("vector", M=16, efConstruction=200)
    server = serve(milvus)

    (index,) = operating.create(server)

    assert index["index_name"] == "vector"
    assert server.paths.count("indexes/create") == 1


def test_an_index_that_is_dropped_as_soon_as_it_is_created(serve: Serve, operating: Operating) -> None:
    milvus = FakeMilvus(faults={"indexes/describe": [error(700, "index not found[index=vector]")]})
    server = serve(milvus)

    with pytest.raises(AirflowException, match=r"^Another client has dropped what was just created\. A re") as caught:
        operating.create(server)

    assert not isinstance(caught.value, AirflowFailException)
    milvus.indexes.clear()
    (index,) = operating.create(server, try_number=2)
    assert index["index_type"] == "HNSW"


def test_another_index_in_the_way(serve: Serve, operating: Operating) -> None:
    milvus = FakeMilvus()
    milvus.add("vector", "HNSW", "L2", M=32, efConstruction=200)
    server = serve(milvus)

    with pytest.raises(AirflowFailException) as caught:
        operating.create(server)

    for words in ("docs/vector", "M: 32 -> 16", "metric_type: L2 -> COSINE", 'if_exists="replace"'):
        assert words in str(caught.value)
    assert "efConstruction" not in str(caught.value)
    assert "indexes/create" not in server.paths


def test_if_exists_fail(serve: Serve, operating: Operating) -> None:
    milvus = FakeMilvus()
    server = serve(milvus)
    operating.create(server, if_exists="fail")

    with pytest.raises(AirflowFailException, match=r"docs/vector exists already"):
        operating.create(server, if_exists="fail")

    assert server.paths.count("indexes/create") == 1


def test_if_exists_fail_after_a_try_that_may_have_made_it(serve: Serve, operating: Operating, pauses: Pauses) -> None:
    milvus = FakeMilvus(faults={"indexes/create": [Lost(CutOff())] + [CutOff()] * 2})
    server = serve(milvus)
    with pytest.raises(AirflowException):
        operating.create(server, if_exists="fail")

    (index,) = operating.create(server, if_exists="fail", try_number=2)

    assert index["index_type"] == "HNSW"
    assert server.paths.count("indexes/create") == 3


@pytest.mark.parametrize("lost", [Silent(), CutOff(), CutOff(b"", reset=True), page(504)])
def test_a_retried_task_finds_what_its_first_try_made(
    lost: Behaviour, serve: Serve, operating: Operating, request: pytest.FixtureRequest
) -> None:
    if isinstance(lost, Silent):
        request.getfixturevalue("impatient")
    milvus = FakeMilvus(faults={"indexes/create": [Lost(lost)]})
    server = serve(milvus)
    operating.connect(server, extra={"retries": 0})
    with pytest.raises(AirflowException) as caught:
        operating.execute(operating.operator())
    assert not isinstance(caught.value, AirflowFailException)

    (index,) = operating.execute(operating.operator(), try_number=2)

    assert index["index_type"] == "HNSW"
    assert server.paths.count("indexes/create") == 1


def test_the_hooks_own_retry_creates_once(serve: Serve, operating: Operating, pauses: Pauses) -> None:
    milvus = FakeMilvus(faults={"indexes/create": [Lost(CutOff())]})
    server = serve(milvus)

    operating.create(server)

    first, second = server.bodies("indexes/create")
    assert first == second
    assert list(milvus.indexes) == ["vector"]


def test_a_list_that_stopped_halfway(serve: Serve, operating: Operating) -> None:
    milvus = FakeMilvus(refuses={"label": error(1100, "no trie for you")})
    server = serve(milvus)
    both = [HNSW, {"fieldName": "label", "indexType": "TRIE"}]

    with pytest.raises(AirflowFailException, match=r"no trie for you.*before it in the list"):
        operating.create(server, both)
    assert list(milvus.indexes) == ["vector"]
    result = operating.create(server, both, try_number=2)

    assert [index["index_name"] for index in result] == ["vector", "label"]
    asked = [[item["fieldName"] for item in body["indexParams"]] for body in server.bodies("indexes/create")]
    assert asked == [["vector", "label"], ["label"]]


# Servers that build something else ----------------------------------------------------------------------------------


def test_zilliz_cloud_is_a_warning(serve: Serve, operating: Operating, logged: Logged) -> None:
    server = serve(FakeMilvus(cloud=True))

    (index,) = operating.create(server)

    assert index["index_type"] == "AUTOINDEX"
    (warning,) = [line for line in logged.of("warning") if "AUTOINDEX" in line]
    assert "HNSW" in warning
    assert "docs/vector" in warning


def test_zilliz_cloud_is_an_error_if_strict(serve: Serve, operating: Operating) -> None:
    server = serve(FakeMilvus(cloud=True))

    with pytest.raises(AirflowFailException, match=r"docs/vector.*AUTOINDEX.*HNSW.*strict=False"):
        operating.create(server, strict=True)

    assert server.paths.count("indexes/create") == 1


def test_zilliz_cloud_again_asks_once_and_passes(serve: Serve, operating: Operating, logged: Logged) -> None:
    server = serve(FakeMilvus(cloud=True))
    operating.create(server)

    (index,) = operating.create(server)

    assert index["index_type"] == "AUTOINDEX"
    assert server.paths.count("indexes/create") == 2
    assert len([line for line in logged.of("warning") if "AUTOINDEX" in line]) == 2


def test_autoindex_that_is_asked_for_is_no_warning(serve: Serve, operating: Operating, logged: Logged) -> None:
    operating.create(serve(FakeMilvus(cloud=True)), [{"fieldName": "vector"}], strict=True)
    assert logged.of("warning") == []


@pytest.mark.parametrize("tells", [True, False])
def test_autoindex_in_the_way_on_milvus(tells: bool, serve: Serve, operating: Operating) -> None:
    milvus = FakeMilvus(tells=tells)
    milvus.add("vector", "AUTOINDEX")
    server = serve(milvus)

    with pytest.raises(AirflowFailException) as caught:
        operating.create(server)

    for words in ("at most one distinct index", "index_type: AUTOINDEX -> HNSW", "65535", "drop it first"):
        assert words in str(caught.value)
    assert server.paths.count("indexes/create") == 1


def test_parameters_that_are_not_told(serve: Serve, operating: Operating) -> None:
    milvus = FakeMilvus(tells=False)
    milvus.add("vector", M=16, efConstruction=200)
    server = serve(milvus)

    (index,) = operating.create(server)  # the same, when asked in the words of the client that has made it
    with pytest.raises(AirflowFailException, match=r"M: unknown -> 32.*one distinct index"):
        operating.create(server, [{**HNSW, "params": {"M": 32}}])

    assert index["index_type"] == "HNSW"
    assert server.paths.count("indexes/create") == 4
    milvus.indexes.clear()
    operating.create(server)
    operating.create(server)  # the same, and by this provider
    assert server.paths.count("indexes/create") == 6


def test_an_index_that_is_not_what_was_asked_for(serve: Serve, operating: Operating) -> None:
    told = [{"key": "M", "value": "8"}, {"key": "efConstruction", "value": "200"}]
    server = serve(FakeMilvus(progress=lambda name: {"indexParams": told}))

    with pytest.raises(AirflowFailException, match=r"did not build.*docs/vector: M: 8 -> 16"):
        operating.create(server)


def test_a_server_that_ignores_what_it_does_not_know(serve: Serve, operating: Operating, logged: Logged) -> None:
    (index,) = operating.create(serve(FakeMilvus(reads="a fourth spelling")))

    assert index["index_type"] == "AUTOINDEX"
    assert any("AUTOINDEX in place of HNSW" in line for line in logged.of("warning"))


# What comes out -----------------------------------------------------------------------------------------------------


class OutletEvents:
    """Airflow's accessor of outlet events, for one asset (which is not hashable in Airflow 3.1)."""

    def __init__(self) -> None:
        self.event = SimpleNamespace(extra={"theirs": 1})

    def __getitem__(self, asset: Asset) -> SimpleNamespace:
        assert asset.uri == "milvus://localhost:19530/default/docs"
        return self.event


def test_the_result_is_the_xcom_and_the_assets_extra(serve: Serve, operating: Operating) -> None:
    server = serve(FakeMilvus())
    operating.connect(server)
    asset = Asset("milvus://localhost/default/docs")
    events = OutletEvents()
    operator = operating.operator([{"fieldName": "label"}, HNSW], outlets=[asset])

    result = operator.execute({"ti": SimpleNamespace(try_number=1), "outlet_events": events})  # type: ignore[typeddict-item]

    assert json.loads(json.dumps(result)) == result
    assert [(one["collection_name"], one["index_name"]) for one in result] == [("docs", "label"), ("docs", "vector")]
    assert (result[1]["total_rows"], result[1]["pending_rows"], result[1]["state"]) == (100, 0, "Finished")
    assert events.event.extra == {"theirs": 1, "indexes": result}


@pytest.mark.usefixtures("clock")
def test_flush_comes_before_create(serve: Serve, operating: Operating) -> None:
    server = serve(FakeMilvus())
    operating.create(server, flush=True)
    wanted = ["collections/flush", "indexes/create", "indexes/describe"]
    assert [path for path in server.paths if path in wanted][:3] == wanted


@pytest.mark.usefixtures("clock")
def test_another_clients_index_in_place_of_the_one_that_is_waited_for(serve: Serve, operating: Operating) -> None:
    other = {**BUILT, "indexType": "IVF_FLAT", "indexParams": []}
    with pytest.raises(AirflowFailException) as caught:
        operating.create(serve(FakeMilvus(progress=told(rows(9), rows(9), other))))
    assert str(caught.value).startswith("docs/vector: index_type: IVF_FLAT -> HNSW. Run one task at a time, with ")
    assert "another client's index is there" in str(caught.value)
