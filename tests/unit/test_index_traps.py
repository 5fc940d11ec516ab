"""Index parameters that look like others: one letter away, another case, another notation, a template within."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from airflow_vectordb._compat import AirflowFailException
from airflow_vectordb.operators.collection import LoadCollectionOperator, ReleaseCollectionOperator
from airflow_vectordb.operators.index import CreateIndexOperator
from airflow_vectordb.rest import indexes
from airflow_vectordb.rest.collections import Collection, Field
from airflow_vectordb.rest.errors import InvalidParametersError
from airflow_vectordb.rest.http.call import Answer
from airflow_vectordb.rest.index.plan import plan_indexes
from airflow_vectordb.rest.index.spec import IndexSpec, parse_index_params
from airflow_vectordb.rest.index.types import INDEX_TYPES
from airflow_vectordb.rest.indexes import IndexDescription
from airflow_vectordb.sensors.milvus import IndexSensor
from airflow_vectordb.validation import check_index_params, check_rows, count_of
from tests.support.fake_milvus import FakeMilvus
from tests.support.harness import Operating
from tests.support.scripted import Serve


def read(index_type: str | None = None, /, **params: Any) -> IndexSpec:
    return IndexSpec.parse({"fieldName": "v", **({"indexType": index_type} if index_type else {}), "params": params})


def problems(given: Any) -> list[str]:
    with pytest.raises(InvalidParametersError) as caught:
        parse_index_params(given)
    return list(caught.value.problems)


def described(index_type: str, params: Any) -> IndexDescription:
    told = [{"key": "index_type", "value": index_type}, *params]
    names = {"indexName": "v", "fieldName": "v", "indexType": index_type, "metricType": "COSINE"}
    answer = Answer([{**names, "indexState": "Finished", "indexParams": told}], {})
    (description,) = indexes.describe("docs", "v").read(answer)
    return description


def pairs(**params: Any) -> list[dict[str, str]]:
    return [{"key": key, "value": str(value)} for key, value in params.items()]


# Names --------------------------------------------------------------------------------------------------------------


def test_what_weighs_a_score_is_left_to_the_server() -> None:
    spec = read("AUTOINDEX", bm25_k1=1.2, bm25_b=0.75)
    assert spec.params == {"bm25_k1": 1.2, "bm25_b": 0.75}
    assert len(spec.warnings) == 2


@pytest.mark.parametrize(("value", "sent"), [(True, "true"), ("False", "false"), (" TRUE", "true"), (np.True_, "true")])
def test_a_flag_that_is_documented_as_a_text(value: Any, sent: str) -> None:
    assert read("GPU_IVF_FLAT", cache_dataset_on_device=value).params == {"cache_dataset_on_device": sent}


def test_minhash_has_one_metric() -> None:
    collection = Collection("docs", (Field("v", "BinaryVector"),))
    assert read("MINHASH_LSH").resolve(collection).metric_type == "MHJACCARD"
    assert read("BIN_FLAT").resolve(collection).metric_type == "HAMMING"


# Keys ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["fieldName", "field_name", "indexName", "index_config"])
def test_a_key_of_the_index_among_its_parameters(key: str) -> None:
    assert problems({"fieldName": "v", "indexType": "HNSW", "params": {key: "x", "M": 16}}) == [
        f"{key!r} belongs beside params, not inside it"
    ]


def test_two_paths_of_a_field_without_names() -> None:
    paths = [{"fieldName": "j", "params": {"json_path": path, "json_cast_type": "varchar"}} for path in ("/a", "/b")]
    assert problems(paths)[0].endswith("give one of them another indexName")


# Texts --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["no", "yes", "off", "2024-01-01", "5", "1.5"])
def test_what_yaml_makes_of_a_name_without_quotes(value: str) -> None:
    for key in ("fieldName", "indexName"):
        (problem,) = problems(f"fieldName: v\n{key}: {value}\n" if key != "fieldName" else f"fieldName: {value}")
        assert problem.startswith(f"{key} must be a string")
        assert problem.endswith("put it in quotes")


@pytest.mark.parametrize("value", ["016", "1:30", "-1:30", "0_7"])
def test_numbers_that_yaml_does_not_read_as_they_look(value: str) -> None:
    (problem,) = problems(f"fieldName: v\nindexType: HNSW\nparams: {{M: {value}}}")
    assert repr(value) in problem


@pytest.mark.parametrize("value", [np.int64(16), np.int8(16), np.float32(16), Decimal(16), Decimal("16.0")])
def test_numbers_within_what_jinja_makes_of_a_mapping(value: Any) -> None:
    text = str([{"fieldName": "v", "indexType": "HNSW", "indexName": None, "params": {"M": value}}])
    (spec,) = parse_index_params(text)
    assert (spec.index_name, spec.params) == (None, {"M": 16})


def test_truth_within_what_jinja_makes_of_a_mapping() -> None:
    (spec,) = parse_index_params(str({"fieldName": "v", "indexType": "SCANN", "params": {"with_raw_data": np.True_}}))
    assert spec.params == {"with_raw_data": True}


# Reading back -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index_type", ["HNSW_PQ", "HNSW_PRQ"])
@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("nested", [True, False])
def test_two_parameters_that_differ_in_case_only(index_type: str, order: int, nested: bool) -> None:
    params = {"M": 16, "m": 8}
    told = dict([*params.items()][::order])
    asked = read(index_type, **params)
    there = described(index_type, pairs(params=json.dumps(told)) if nested else pairs(**told))
    assert asked.compare(there).same
    assert read(index_type, M=16, m=4).compare(there).differences == ("m: 8 -> 4",)
    assert read(index_type, m=16).compare(described(index_type, pairs(M=16))).unverifiable == ("m: unknown -> 16",)


def test_all_types_with_all_their_parameters_are_the_same_when_they_are_told() -> None:
    values = {int: 2, float: 0.5, bool: True, str: "true", object: "x"}
    for index_type, kinds in INDEX_TYPES.items():
        asked = read(index_type, **{key: values[kind.type] for key, kind in kinds.items()})
        params = asked.body()["params"]
        for told in (pairs(params=json.dumps(params)), pairs(**asked.body()["indexConfig"]), pairs(**params)):
            assert asked.compare(described(index_type, told)).same, index_type


def test_a_value_with_more_in_it_is_told_as_a_text() -> None:
    asked = read("A_NEW_ONE", layers={"b": [1, 2], "a": "x"})
    assert asked.compare(described("A_NEW_ONE", pairs(layers='{"a":"x","b":[1,2]}'))).same
    assert asked.compare(described("A_NEW_ONE", pairs(layers='{"a":"x","b":[1,3]}'))).differences


@pytest.mark.parametrize("params", [{"ef": 64, "M": 16}, {"nlst": 1}, {"x": None, "l": [1]}, {"efConstrution": 2}])
def test_what_a_server_has_taken_is_taken_again(params: Mapping[str, Any]) -> None:
    there = described("FLAT", pairs(params=json.dumps(params)))
    (spec,) = parse_index_params([{"collection_name": "docs", **there.as_json()}])
    assert plan_indexes("docs", [spec], [there]).existing == {"v": there}


# When the DAG is parsed ---------------------------------------------------------------------------------------------

LATER = SimpleNamespace(resolve=None)  # as what a task returns is, until it has run


@pytest.mark.parametrize("later", ["{{ params.index }}", "index.json", "{% if a %}b{% endif %}", LATER])
@pytest.mark.parametrize(
    "place",
    [
        lambda later: {"indexParams": later},
        lambda later: {"collectionName": "docs", "indexParams": [later, {"fieldName": "w"}]},
        lambda later: {"fieldName": "v", "index_params": later},
        lambda later: {"fieldName": "v", "params": later},
        lambda later: {"fieldName": "v", "params": {"M": later}},
        lambda later: [later, later],
    ],
)
def test_what_is_known_later_passes_wherever_it_stands(place: Callable[[Any], Any], later: Any) -> None:
    assert check_index_params(place(later), [".json"]) == []


def test_what_stands_beside_it_is_checked() -> None:
    assert check_index_params({"indexParams": ["{{ one }}", {"fieldNam": "v"}]}, []) == [
        "index_params[1]: unknown key 'fieldNam'; did you mean 'fieldName'?"
    ]


def test_airflow_renders_no_keys() -> None:
    assert "Airflow renders only the values of a mapping" in problems({"fieldName": "v", "{{ key }}": "HNSW"})[0]
    (problem,) = problems({"fieldName": "v", "indexType": "HNSW", "params": {"{{ key }}": 16}})
    assert problem.startswith("the key '{{ key }}'")


# When it is rendered ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [6000, "6000", 6000.0, "6000.0", Decimal(6000), np.int64(6000), np.float64(6000)])
def test_numbers_of_rows(value: Any) -> None:
    assert count_of(value) == 6000


def test_what_ingests_have_returned_is_a_number_of_rows() -> None:
    assert count_of({"rows": 60, "batches": 1}) == 60
    assert count_of([{"rows": 60}, {"rows": 40}, 10]) == 110
    assert count_of(()) == 0


@pytest.mark.parametrize("value", [True, -1, 1.5, "many", "6,000", "", "None", ["many"], {"rows": None}, 10**400])
def test_what_is_no_number_of_rows(value: Any) -> None:
    assert len(check_rows("min_rows", value)) == 1
    assert count_of(value) is None


INDEX = {"fieldName": "vector", "indexType": "HNSW"}
TASKS: dict[str, Callable[[str], Any]] = {
    "database": lambda v: CreateIndexOperator(task_id="t", collection_name="docs", index_params=INDEX, database=v),
    "min_rows": lambda v: CreateIndexOperator(task_id="t", collection_name="docs", index_params=INDEX, min_rows=v),
    "index_name": lambda v: IndexSensor(task_id="t", collection_name="docs", index_name=v),
    "partition_names": lambda v: ReleaseCollectionOperator(task_id="t", collection_name="docs", partition_names=v),
    "milvus_conn_id": lambda v: LoadCollectionOperator(task_id="t", collection_name="docs", milvus_conn_id=v),
}


@pytest.mark.parametrize("argument", TASKS)
def test_a_template_that_renders_to_none_does_not_mean_all(serve: Serve, operating: Operating, argument: str) -> None:
    server = serve([])
    operating.connect(server)
    task = TASKS[argument]("{{ ti.xcom_pull('gone') }}")
    setattr(task, argument, None)  # as render_template_as_native_obj=True does

    with pytest.raises(AirflowFailException, match=f"{argument} is None: did its template render to nothing"):
        operating.execute(task)

    assert server.connections == 0


@pytest.mark.parametrize("argument", ["database", "milvus_conn_id"])
@pytest.mark.parametrize("value", ["None", "['a', 'b']", "{'a': 1}", 5])
def test_what_is_no_name_of_where(serve: Serve, operating: Operating, argument: str, value: Any) -> None:
    server = serve([])
    operating.connect(server)
    task = TASKS[argument]("{{ somewhere }}")
    setattr(task, argument, value)

    with pytest.raises(AirflowFailException, match=f"{argument} is "):
        operating.execute(task)

    assert server.connections == 0


def test_an_index_with_both_is_there_already(serve: Serve, operating: Operating) -> None:
    server = serve(FakeMilvus())
    index = {"fieldName": "vector", "indexType": "HNSW_PQ", "params": {"M": 16, "m": 8}}

    first = operating.create(server, index)
    again = operating.create(server, index)

    assert first == again
    assert first[0]["params"] == {"M": 16, "m": 8}
    created = [request for request in server.requests if request.path == "indexes/create"]
    assert len(created) == 1
