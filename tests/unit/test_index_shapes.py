"""Index parameters in other shapes than the API's own, and judged by the field that they are for."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from airflow_vectordb._compat import AirflowFailException
from airflow_vectordb.rest.index.spec import IndexSpec, parse_index_params
from tests.support.fake_milvus import FakeMilvus
from tests.support.harness import Logged, Operating
from tests.support.index_params import problems
from tests.support.scripted import Serve

BUILD = {"M": 16, "efConstruction": 200}
HNSW = IndexSpec("v", None, "HNSW", "L2", BUILD)


@pytest.mark.parametrize(
    "given",
    [
        {"field_name": "v", "index_type": "HNSW", "metric_type": "L2", "M": 16, "efConstruction": 200},
        {"field_name": "v", "index_type": "HNSW", "metric_type": "L2", "m": "16", "params": {"efConstruction": 200}},
        {
            "fieldName": "v",
            "indexType": "HNSW",
            "metricType": "L2",
            "M": 16,
            "params": {"M": 16, "efConstruction": 200},
        },
        {
            "fieldName": "v",
            "metricType": "L2",
            "params": {"index_type": "HNSW", "params": {"M": 16, "efConstruction": 200}},
        },
        {
            "fieldName": "v",
            "metricType": "L2",
            "indexType": "HNSW",
            "params": {"params": '{"M": 16, "efConstruction": 200}'},
        },
        {
            "field_name": "v",
            "index_params": {"index_type": "HNSW", "metric_type": "L2", "params": {"M": 16, "efConstruction": 200}},
        },
        *(
            {"field_name": "v", "index_params": write({"index_type": "HNSW", "metric_type": "L2", "params": BUILD})}
            for write in (json.dumps, str)
        ),
    ],
)
def test_parameters_beside_the_type_as_pymilvus_has_them(given: dict[str, Any]) -> None:
    assert parse_index_params(given) == [HNSW]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"M": 16, "params": {"M": 32}}, "M is 32 in params and 16 in the index itself"),
        ({"ef": 16}, "'ef' is a search parameter"),
        ({"efConstrution": 16}, "unknown key 'efConstrution'; did you mean 'efConstruction'?"),
        ({"zzz": 16}, "unknown key 'zzz'; build parameters go into params; known: fieldName"),
    ],
)
def test_what_stands_beside_the_type_and_is_wrong(given: dict[str, Any], words: str) -> None:
    (problem,) = problems("HNSW", **given)
    assert words in problem


TOLD = {
    "collection_name": "other",
    "index_name": "v_hnsw",
    "field_name": "v",
    "index_type": "HNSW",
    "metric_type": "L2",
    "state": "Finished",
    "total_rows": 20,
    "indexed_rows": 20,
    "pending_rows": 0,
    "params": {"M": 16, "efConstruction": 200},
}


def test_what_a_task_returned_is_taken_as_parameters() -> None:
    scalar = {**TOLD, "index_name": "n", "field_name": "n", "index_type": "INVERTED", "metric_type": "", "params": {}}
    automatic = {**TOLD, "index_name": "w", "field_name": "w", "index_type": "AUTOINDEX"}
    found = parse_index_params([TOLD, scalar, automatic])
    assert found == [
        replace(HNSW, index_name="v_hnsw"),
        IndexSpec("n", "n", "INVERTED"),
        IndexSpec("w", "w", "AUTOINDEX", "L2", {}),
    ]
    assert parse_index_params(str([TOLD])) == found[:1]  # as Jinja renders it


# The field ----------------------------------------------------------------------------------------------------------

FIELDS = {"id": "Int64", "vector": "FloatVector", "bits": "BinaryVector", "label": "VarChar"}


@pytest.mark.parametrize(
    "index",
    [
        {"fieldName": "bits", "indexType": "GPU_CAGRA", "metricType": "HAMMING"},
        {"fieldName": "bits", "indexType": "HNSW"},
        {"fieldName": "vector", "indexType": "FAISS"},
        {"fieldName": "vector", "metricType": "EARTHMOVER"},
        {"fieldName": "label", "indexType": "PATTERN"},
    ],
)
def test_what_the_field_may_have_is_sent(serve: Serve, operating: Operating, index: dict[str, Any]) -> None:
    milvus = FakeMilvus(fields=FIELDS)
    (built,) = operating.create(serve(milvus), [index])
    assert built["index_type"] == index.get("indexType", "AUTOINDEX")


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ({"fieldName": "bits", "indexType": "IVF_FLAT"}, "index type IVF_FLAT is for float vector fields"),
        ({"fieldName": "vector", "indexType": "BIN_FLAT"}, "index type BIN_FLAT is for binary vector fields"),
        ({"fieldName": "vector", "metricType": "HAMMING"}, "metric HAMMING does not fit"),
        ({"fieldName": "label", "metricType": "L2"}, "a scalar index has no metric"),
        ({"fieldName": "label", "metricType": "MAX_SIM"}, "a scalar index has no metric"),
        ({"fieldName": "vector", "indexType": "BITMAP"}, "BITMAP is for scalar fields"),
    ],
)
def test_what_the_field_cannot_have_is_refused_unless_it_shall_be_sent(
    serve: Serve, operating: Operating, logged: Logged, index: dict[str, Any], words: str
) -> None:
    milvus = FakeMilvus(fields=FIELDS)
    with pytest.raises(AirflowFailException, match=f"{words}.*allow_unknown=True sends it as it is"):
        operating.create(serve(milvus), [index])
    assert milvus.indexes == {}

    (built,) = operating.create(serve(milvus), [index], allow_unknown=True)

    assert built["field_name"] == index["fieldName"]
    assert any(words in line for line in logged.of("warning"))


def test_what_is_sent_unknown_is_a_warning_in_the_log_once(serve: Serve, operating: Operating, logged: Logged) -> None:
    operating.create(serve(FakeMilvus()), [{"fieldName": "vector", "indexType": "VAMANA", "params": {"warp": 9}}])
    warnings = [line for line in logged.of("warning") if "sent as it is" in line]
    assert len(warnings) == 2
    assert "'VAMANA'" in warnings[0]
    assert "'warp'" in warnings[1]
