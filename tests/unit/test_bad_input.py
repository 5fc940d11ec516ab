"""What users get wrong: all of it is reported together, before the first request or the first that changes anything."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, task

from airflow_vectordb._compat import AirflowException, AirflowFailException
from airflow_vectordb.operators.index import CreateIndexOperator, DropIndexOperator
from tests.support.fake_milvus import FakeMilvus
from tests.support.harness import HNSW, Operating
from tests.support.scripted import Serve

FIELD = {"fieldName": "vector"}

# index_params -> words that the message must have. The schema is read, so that all is reported together; nothing else.
REFUSED_UNSEEN: dict[str, tuple[Any, list[str]]] = {
    "a misspelt key": ([{**FIELD, "metricTyp": "L2"}], ["'metricTyp'", "did you mean 'metricType'"]),
    "a misspelt field name": ([{"feildName": "vector"}], ["'feildName'", "did you mean 'fieldName'"]),
    "a key that is near nothing": ([{**FIELD, "zzz": 1}], ["'zzz'", "fieldName", "indexType"]),
    "no field": ([{"indexType": "HNSW"}], ["fieldName is missing"]),
    "an unknown type": ([{**FIELD, "indexType": "HNWS"}], ["'HNWS'", "did you mean 'HNSW'"]),
    "an unknown metric": ([{**FIELD, "metricType": "COSINUS"}], ["'COSINUS'", "did you mean 'COSINE'"]),
    "a misspelt parameter": (
        [{**FIELD, "indexType": "HNSW", "params": {"efConstructoin": 9}}],
        ["'efConstructoin' of HNSW", "did you mean 'efConstruction'"],
    ),
    "AUTOINDEX with parameters": ([{**FIELD, "indexType": "AUTOINDEX", "params": {"M": 16}}], ["AUTOINDEX", "'M'"]),
    "parameters without a type": ([{**FIELD, "params": {"M": 16}}], ["AUTOINDEX", "'M'", "name an index type"]),
    "a parameter of another kind": ([{**FIELD, "indexType": "HNSW", "params": {"M": "many"}}], ["M", "'many'"]),
    "a fraction": ([{**FIELD, "indexType": "HNSW", "params": {"M": 16.5}}], ["M must be an integer", "16.5"]),
    "not a number": ([{**FIELD, "indexType": "HNSW", "params": {"M": float("nan")}}], ["M must be an integer"]),
    "a number below 1": ([{**FIELD, "indexType": "HNSW", "params": {"efConstruction": -1}}], ["efConstruction", "-1"]),
    "a search parameter": (
        [{**FIELD, "indexType": "HNSW", "params": {"ef": 64}}],
        ["'ef' is a search parameter", "allow_unknown=True"],
    ),
    "a parameter that rendered to nothing": ([{**FIELD, "indexType": "HNSW", "params": {"M": ""}}], ["M is empty"]),
    "a name that rendered to nothing": ([{"fieldName": " "}], ["did its template render to nothing"]),
    "parameters that are a list": ([{**FIELD, "params": ["M", 16]}], ["params must be a mapping"]),
    "a type that is a number": ([{**FIELD, "indexType": 5}], ["indexType must be a string"]),
    "a contradiction": (
        [{**FIELD, "indexType": "HNSW", "indexConfig": {"index_type": "IVF_FLAT"}}],
        ["indexType is IVF_FLAT in indexConfig and HNSW in the index itself"],
    ),
    "two spellings of one key": ([{**FIELD, "field_name": "vector"}], ["fieldName is given twice"]),
    "two indexes on a field": ([FIELD, {**FIELD, "indexName": "b"}], ["[1] and [0]", "at most one index"]),
    "two indexes of a name": (
        [{**FIELD, "indexName": "a"}, {"fieldName": "label", "indexName": "a"}],
        ["'a'", "unique"],
    ),
    "nothing": (None, ["None"]),
    "an empty list": ([], ["empty"]),
    "an empty mapping": ({}, ["fieldName is missing"]),
    "a text that rendered to nothing": (" \n", ["rendered to nothing"]),
    "a null": ("null", ["rendered to nothing"]),
    "JSON cut off": ('[{"fieldName": "vector"', ["neither JSON nor YAML", "[{"]),
    "a file name with another ending": ("index.jsn", ["'index.jsn'", "must be a mapping"]),
    "a number": (5, ["index_params must be"]),
    "a list of numbers": ([5], ["an index must be a mapping"]),
    "a whole body with an odd key": (
        {"collectionNam": "docs", "indexParams": [FIELD]},
        ["'collectionNam'", "did you mean 'collectionName'"],
    ),
    "a whole body for another collection": (
        {"collectionName": "other", "indexParams": [FIELD]},
        ["collectionName 'other'", "the task's is 'docs'"],
    ),
    "several at once": (
        [
            {"feildName": "vector", "indexType": "HNWS"},
            {"fieldName": "label", "metricType": "L3", "params": {"M": 1}},
        ],
        ["5 problems", "'feildName'", "'HNWS'", "'L3'", "index_params[0]", "index_params[1]", "AUTOINDEX"],
    ),
}


@pytest.mark.parametrize("case", REFUSED_UNSEEN)
def test_refused_after_no_more_than_a_look(case: str, serve: Serve, operating: Operating) -> None:
    index_params, words = REFUSED_UNSEEN[case]
    server = serve(FakeMilvus())
    operating.connect(server)
    operator = operating.operator("{{ later }}")
    operator.index_params = index_params  # what a template, a file or another task gave

    with pytest.raises(AirflowFailException) as caught:
        operating.execute(operator)

    for word in ["task index", *words]:
        assert word in str(caught.value)
    assert set(server.paths) <= {"collections/describe"}


def test_what_is_wrong_is_said_also_when_the_schema_cannot_be_looked_at(operating: Operating) -> None:
    operating.connect("http://127.0.0.1:1")
    with pytest.raises(AirflowFailException, match="M must be an integer"):
        operating.execute(operating.operator([{**FIELD, "indexType": "HNSW", "params": {"M": "many"}}]))


def test_everything_is_said_at_once_across_the_schema(serve: Serve, operating: Operating) -> None:
    server = serve(FakeMilvus())
    params = {"M": "sixteen", "efConstruction": -1, "ef": 64}
    index_params = [
        {"fieldName": "vectr"},
        {**FIELD, "indexType": "HNSW", "metricType": "HAMMING", "params": params},
    ]

    with pytest.raises(AirflowFailException) as caught:
        operating.create(server, index_params)

    for word in ("5 problems", "'vectr'", "HAMMING", "'sixteen'", "efConstruction must be", "'ef'"):
        assert word in str(caught.value)
    assert server.paths == ["collections/describe"]


REFUSED_BY_THE_SCHEMA: dict[str, tuple[list[dict[str, Any]], list[str]]] = {
    "no such field": ([{"fieldName": "vectr"}], ["no field 'vectr' in docs", "did you mean 'vector'"]),
    "a metric for other vectors": ([{**FIELD, "metricType": "HAMMING"}], ["HAMMING", "'vector'", "COSINE, L2, IP"]),
    "a metric on a scalar": ([{"fieldName": "label", "metricType": "L2"}], ["L2", "'label'", "no metric"]),
    "COSINE on a sparse vector": ([{"fieldName": "sparse", "metricType": "COSINE"}], ["COSINE", "'sparse'", "IP"]),
    "BM25 without its function": ([{"fieldName": "sparse", "metricType": "BM25"}], ["BM25", "function"]),
    "a type for other fields": ([{"fieldName": "label", "indexType": "HNSW"}], ["HNSW", "'label'", "VarChar"]),
    "a scalar's type on a vector": ([{**FIELD, "indexType": "INVERTED"}], ["INVERTED", "'vector'", "FloatVector"]),
    "several at once": (
        [{"fieldName": "vectr"}, {"fieldName": "label", "indexType": "HNSW", "metricType": "L2"}],
        ["3 problems", "'vectr'", "HNSW", "no metric"],
    ),
}


@pytest.mark.parametrize("case", REFUSED_BY_THE_SCHEMA)
def test_refused_after_one_look_at_the_collection(case: str, serve: Serve, operating: Operating) -> None:
    index_params, words = REFUSED_BY_THE_SCHEMA[case]
    server = serve(FakeMilvus())

    with pytest.raises(AirflowFailException) as caught:
        operating.create(server, index_params)

    for word in ["task index", *words]:
        assert word in str(caught.value)
    assert server.paths == ["collections/describe"]


@pytest.mark.parametrize("nothing", ["", " "])
def test_a_collection_name_that_rendered_to_nothing(
    serve: Serve, operating: Operating, tmp_path: Path, nothing: str
) -> None:
    server = serve([])
    operating.connect(server)
    template = "{{ nothing }}" + nothing
    with pytest.raises(AirflowFailException, match=r"(?s)collection_name.*nothing.*fieldName is '.*nothing"):
        params = [{"fieldName": "{{ nothing }}"}]
        operating.execute(rendered(operating, tmp_path, params, collection_name=template))
    drop = DropIndexOperator(task_id="drop", collection_name=template, index_name=template)
    drop.render_template_fields({"nothing": ""})  # type: ignore[typeddict-unknown-key]
    with pytest.raises(AirflowFailException, match=r"(?s)collection_name.*nothing.*index_name.*nothing"):
        operating.execute(drop)
    assert server.connections == 0


def test_a_collection_that_is_not_there(serve: Serve, operating: Operating) -> None:
    server = serve(FakeMilvus())

    with pytest.raises(AirflowFailException, match=r"'nope'.*'shop'.*code 100.*can't find collection"):
        operating.create(server, collection_name="nope", database="shop")

    assert server.paths == ["collections/describe"]


# Templates and files ------------------------------------------------------------------------------------------------


def rendered(operating: Operating, folder: Path, index_params: Any, **arguments: Any) -> CreateIndexOperator:
    """Make an operator in a DAG, and render it as a worker does."""
    with DAG("d", start_date=datetime(2024, 1, 1), schedule=None, template_searchpath=str(folder)):
        operator = operating.operator(index_params, **arguments)
    operator.resolve_template_files()
    operator.render_template_fields({"build": {"M": 24}, "nothing": "", "ds_nodash": "20240101"})  # type: ignore[typeddict-unknown-key]
    return operator


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("index.json", '[{"fieldName": "vector", "indexType": "HNSW", "params": {{ build | tojson }}}]'),
        ("index.yaml", "- fieldName: vector\n  indexType: HNSW\n  params: {M: '{{ build.M }}'}\n"),
        ("index.yml", "fieldName: vector\nindexType: HNSW\nparams:\n  M: {{ build.M }}\n"),
    ],
)
def test_files_and_templates(serve: Serve, operating: Operating, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    server = serve(FakeMilvus(collection="docs_20240101"))
    operating.connect(server)

    operating.execute(rendered(operating, tmp_path, name, collection_name="docs_{{ ds_nodash }}"))

    ((item,),) = (body["indexParams"] for body in server.bodies("indexes/create"))
    assert (item["indexType"], item["params"]["M"]) == ("HNSW", 24)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("index.json", "", "rendered to nothing"),
        ("index.json", "{{ nothing }}", "rendered to nothing"),
        ("index.json", '[{"fieldName": "vector",]', "neither JSON nor YAML"),
        ("index.json", "<html>", "must be a mapping"),
        ("index.yaml", "- fieldName: [", "neither JSON nor YAML"),
        ("index.yaml", "# later\n", "rendered to nothing"),
    ],
)
def test_files_that_hold_no_parameters(
    serve: Serve, operating: Operating, tmp_path: Path, name: str, text: str, words: str
) -> None:
    (tmp_path / name).write_text(text)
    server = serve([])
    operating.connect(server)

    with pytest.raises(AirflowFailException, match=words) as caught:
        operating.execute(rendered(operating, tmp_path, name))

    assert str(caught.value).startswith("invalid index parameters: index_params ")  # the cause comes first
    assert f"(from '{name}')" in str(caught.value)
    assert server.connections == 0


@pytest.mark.parametrize("template", ["{{ nothing }}", ["{{ nothing }}"], [{"fieldName": "{{ nothing }}"}]])
def test_templates_that_render_to_nothing(serve: Serve, operating: Operating, tmp_path: Path, template: Any) -> None:
    server = serve([])
    operating.connect(server)
    with pytest.raises(AirflowFailException, match=r"render(ed)? to nothing"):
        operating.execute(rendered(operating, tmp_path, template))
    assert server.connections == 0


# When the DAG is parsed ---------------------------------------------------------------------------------------------

# What stands in a DAG file and can never be right -> words.
MALFORMED: dict[str, tuple[Any, list[str]]] = {
    "nothing": (None, ["index_params must be a mapping", "not None"]),
    "an empty list": ([], ["index_params is empty"]),
    "an empty mapping": ({}, ["fieldName is missing"]),
    "an empty text": ("", ["index_params is empty"]),
    "a whole body without an index": ({"indexParams": []}, ["index_params is empty"]),
    "a misspelt key": ([{"feildName": "vector"}], ["'feildName'", "did you mean 'fieldName'"]),
    "a misspelt key beside a template": ({"fieldName": "{{ f }}", "indexTyp": "{{ t }}"}, ["'indexTyp'"]),
    "a misspelt key beside a template in the list": (["{{ one }}", {"feildName": "v"}], ["'feildName'"]),
    "a misspelt parameter": (
        [{**FIELD, "indexType": "HNSW", "params": {"efConstrution": "{{ n }}"}}],
        ["'efConstrution'", "allow_unknown=True"],
    ),
    "a misspelt key in JSON": ('{"feildName": "vector"}', ["'feildName'"]),
    "a misspelt key in YAML": ("feildName: vector", ["'feildName'"]),
    "a key twice in JSON": ('{"fieldName": "v", "fieldName": "w"}', ["'fieldName' twice"]),
    "a key twice in YAML": ("fieldName: v\nparams: {M: 1, M: 2}", ["'M' twice"]),
    "a key in two spellings": ({"fieldName": "v", "field_name": "v"}, ["fieldName is given twice"]),
    "an empty name": ({"fieldName": ""}, ["did its template render to nothing"]),
    "a name that is none": ({"fieldName": "v", "indexName": "None"}, ["indexName is 'None'"]),
    "a number": (7, ["index_params must be a mapping"]),
    "a list of numbers": ([7], ["an index must be a mapping"]),
    "JSON cut off": ('[{"fieldName": "vector"', ["neither JSON nor YAML"]),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_parameters_are_refused_when_the_dag_is_parsed(case: str) -> None:
    index_params, words = MALFORMED[case]
    with pytest.raises(ValueError, match="task index: ") as caught:
        CreateIndexOperator(task_id="index", collection_name="docs", index_params=index_params)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "index_params",
    [
        "{{ later }}",
        "{% if big %}{}{% endif %}",
        "indexes/docs.yaml",
        ["{{ one }}", "other.json"],
        {"fieldName": "{{ f }}", "indexName": "{{ n }}", "indexType": "{{ t }}", "params": "{{ build | tojson }}"},
        {"fieldName": "vector", "indexType": "HNSW", "params": {"M": "{{ m }}"}},
        {"fieldName": "vectr", "indexType": "HNSW", "params": {"M": "sixteen"}},  # said with what the schema tells
        pytest.param(SimpleNamespace(resolve=None), id="another task's output"),
    ],
    ids=str,
)
def test_what_is_known_later_is_left_until_then(index_params: Any) -> None:
    task = CreateIndexOperator(task_id="index", collection_name="docs", index_params=index_params)
    assert task.index_params is index_params


def test_what_another_task_returns_is_left_until_then() -> None:
    with DAG("d", schedule=None):

        @task
        def choose() -> dict[str, str]:
            return {"feildName": "vector"}

        chosen = choose()
        for number, given in enumerate([chosen, [chosen], {"fieldName": "v", "params": chosen}, {"fieldName": chosen}]):
            operator = CreateIndexOperator(task_id=f"index{number}", collection_name="docs", index_params=given)
            assert operator.index_params is given


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"if_exists": "maybe"}, ["if_exists", "'maybe'", "'skip'", "'replace'", "'fail'"]),
        ({"poll_interval": 0}, ["poll_interval", "0.1"]),
        ({"poll_interval": -5}, ["poll_interval", "-5"]),
        ({"poll_interval": "often"}, ["poll_interval", "'often'"]),
        ({"poll_interval": float("nan")}, ["poll_interval", "nan"]),
        ({"timeout": -1}, ["timeout", "-1"]),
        ({"timeout": timedelta(seconds=-1)}, ["timeout"]),
        ({"timeout": True}, ["timeout", "True"]),
        ({"timeout": float("inf")}, ["timeout", "inf"]),
        (
            {"if_exists": "maybe", "timeout": -1, "poll_interval": 0},
            ["if_exists", "timeout", "poll_interval"],
        ),
    ],
)
def test_refused_when_the_dag_is_parsed(arguments: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        CreateIndexOperator(task_id="index", collection_name="docs", index_params=[HNSW], **arguments)
    for word in ["task index", *words]:
        assert word in str(caught.value)


def test_dropping_is_refused_when_the_dag_is_parsed() -> None:
    with pytest.raises(ValueError, match=r"task drop.*if_missing.*'maybe'"):
        DropIndexOperator(task_id="drop", collection_name="docs", index_name="v", if_missing="maybe")


# Connections --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"host": ""}, ["host is empty"]),
        ({"host": "ftp://127.0.0.1"}, ["ftp://"]),
        ({"host": "http://127.0.0.1:99999"}, ["99999"]),
        ({"host": "127.0.0.1:http"}, ["is not a URL", "'http'"]),
        ({"host": "a host"}, ["a host"]),
        ({"host": "http://127.0.0.1:1?x=1"}, ["query"]),
        ({"host": "127.0.0.1/milvus"}, ["127.0.0.1/milvus"]),
        ({"password": None}, ["login without a password"]),
        ({"extra": {"timeout": "soon"}}, ["`timeout`", "'soon'"]),
        ({"extra": {"timeout": 0}}, ["timeout"]),
        ({"extra": {"timeout": "nan"}}, ["timeout"]),
        ({"extra": {"retries": -1}}, ["retries"]),
        ({"extra": {"retries": 1.5}}, ["retries", "1.5"]),
        ({"extra": {"retries": "nan"}}, ["retries", "nan"]),
        ({"extra": {"retries": "inf"}}, ["retries", "inf"]),
        ({"extra": {"retries": [2]}}, ["retries"]),
        ({"extra": {"secure": "perhaps"}}, ["`secure`", "'perhaps'"]),
        ({"host": "", "extra": {"timeout": "soon", "retries": -1}}, ["host", "timeout", "retries", "3 problems"]),
    ],
)
def test_connections_that_cannot_be_used(
    serve: Serve, operating: Operating, fields: dict[str, Any], words: list[str]
) -> None:
    server = serve([])
    operating.connect(server, **fields)

    with pytest.raises(AirflowFailException) as caught:
        operating.execute(operating.operator())

    for word in ["task index", "'milvus_default'", *words]:
        assert word in str(caught.value)
    assert server.connections == 0


@pytest.mark.usefixtures("pauses")
def test_a_connection_that_is_not_there(operating: Operating) -> None:
    with pytest.raises(
        AirflowException, match=r"no_such_connection.*Connections page \(type \"Milvus / Zilliz"
    ) as caught:
        operating.execute(operating.operator(milvus_conn_id="no_such_connection"))
    # A secrets backend may know it in a while: Airflow may try again.
    assert not isinstance(caught.value, AirflowFailException)
