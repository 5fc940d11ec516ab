"""Index parameters in every spelling, and everything wrong with them at once."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from airflow_vectordb.rest.errors import InvalidParametersError
from airflow_vectordb.rest.index_params import parse_index_params, request_envelope
from airflow_vectordb.rest.index_spec import IndexSpec

HNSW = IndexSpec("vector", "v", "HNSW", "COSINE", {"M": 16, "efConstruction": 200})

SPELLINGS: dict[str, dict[str, Any]] = {
    "2.5 and later": {
        "fieldName": "vector",
        "indexName": "v",
        "metricType": "COSINE",
        "indexType": "HNSW",
        "params": {"M": 16, "efConstruction": 200},
    },
    "2.4": {
        "fieldName": "vector",
        "indexName": "v",
        "metricType": "COSINE",
        "params": {"index_type": "HNSW", "M": 16, "efConstruction": 200},
    },
    "to spring 2024": {
        "fieldName": "vector",
        "indexName": "v",
        "metricType": "COSINE",
        "indexConfig": {"index_type": "HNSW", "M": "16", "efConstruction": "200"},
    },
    "pymilvus": {
        "field_name": "vector",
        "index_name": "v",
        "metric_type": "COSINE",
        "index_type": "HNSW",
        "params": {"M": 16, "efConstruction": 200},
    },
    "all at once": {
        "fieldName": "vector",
        "indexName": "v",
        "metricType": "COSINE",
        "indexType": "HNSW",
        "params": {"index_type": "HNSW", "metric_type": "COSINE", "M": 16, "efConstruction": 200},
        "indexConfig": {"index_type": "HNSW", "M": "16", "efConstruction": "200"},
    },
    "rendered by templates": {
        "fieldName": "vector",
        "indexName": "v",
        "metricType": "cosine",
        "indexType": "hnsw",
        "params": {"m": " 16 ", "efconstruction": "200"},
    },
}


def problems(raw: Any, **options: bool) -> list[str]:
    with pytest.raises(InvalidParametersError) as caught:
        parse_index_params(raw, **options)
    return list(caught.value.problems)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_means_the_same(spelling: str) -> None:
    assert parse_index_params(SPELLINGS[spelling]) == [HNSW]
    assert IndexSpec.parse(SPELLINGS[spelling]) == HNSW


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("write", [json.dumps, yaml.safe_dump, str], ids=["json", "yaml", "str of a dict"])
def test_text_means_the_same(spelling: str, write: Any) -> None:
    assert parse_index_params(write(SPELLINGS[spelling])) == [HNSW]
    assert parse_index_params(write([SPELLINGS[spelling]])) == [HNSW]


def test_lists_texts_and_whole_requests() -> None:
    other = {"fieldName": "label"}
    both = [HNSW, IndexSpec("label")]
    assert parse_index_params([SPELLINGS["2.4"], other]) == both
    assert parse_index_params([json.dumps(SPELLINGS["2.4"]), yaml.safe_dump([other])]) == both
    request = {"collectionName": "docs", "dbName": "d", "indexParams": [SPELLINGS["2.4"], other]}
    assert parse_index_params(request) == both
    assert request_envelope(request) == {"collectionName": "docs", "dbName": "d"}
    assert request_envelope(json.dumps(request)) == {"collectionName": "docs", "dbName": "d"}
    assert request_envelope([other]) == {}


def test_the_first_page_of_the_api() -> None:
    # The request of the page that this project began with, as it stands there.
    request = {
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
    (spec,) = parse_index_params(request)
    assert spec == IndexSpec("my_vector", "my_vector", "AUTOINDEX", "L2", {})


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"fieldNam": "v"}, ["unknown key 'fieldNam'", "did you mean 'fieldName'?"]),
        ({"fieldName": "v", "metrik_type": "L2"}, ["unknown key 'metrik_type'", "'metricType'"]),
        ({"fieldName": "v", "index_typ": "HNSW"}, ["unknown key 'index_typ'", "'indexType'"]),
        ({}, ["fieldName is missing"]),
        ({"fieldName": ""}, ["fieldName is empty", "template"]),
        ({"fieldName": 7}, ["fieldName must be a text"]),
        ({"fieldName": "v", "metricType": "COSINUS"}, ["unknown metric 'COSINUS'", "'COSINE'"]),
        ({"fieldName": "v", "indexType": "HNWS"}, ["unknown index type 'HNWS'", "'HNSW'"]),
        (
            {"fieldName": "v", "indexType": "HNSW", "params": {"efConstrution": 9}},
            ["'efConstrution' of HNSW", "'efConstruction'"],
        ),
        ({"fieldName": "v", "indexType": "HNSW", "params": {"M": "sixteen"}}, ["M must be an integer", "'sixteen'"]),
        ({"fieldName": "v", "indexType": "HNSW", "params": {"M": 1.5}}, ["M must be an integer"]),
        ({"fieldName": "v", "indexType": "HNSW", "params": {"M": True}}, ["M must be an integer"]),
        ({"fieldName": "v", "indexType": "HNSW", "params": {"M": ""}}, ["M is empty", "template"]),
        ({"fieldName": "v", "indexType": "HNSW", "params": [1]}, ["params must be a mapping"]),
        (
            {"fieldName": "v", "indexType": "AUTOINDEX", "params": {"M": 16}},
            ["AUTOINDEX takes no build parameters", "'M'"],
        ),
        ({"fieldName": "v", "params": {"nlist": 16}}, ["AUTOINDEX takes no build parameters"]),
        (
            {"fieldName": "v", "indexType": "HNSW", "params": {"index_type": "IVF_FLAT"}},
            ["contradiction", "HNSW", "IVF_FLAT"],
        ),
        (
            {"fieldName": "v", "indexType": "HNSW", "params": {"M": 16}, "indexConfig": {"M": "32"}},
            ["M is 16 in params and 32"],
        ),
        ({"fieldName": "v", "field_name": "w"}, ["fieldName is given twice"]),
        ([], ["empty"]),
        (None, ["None"]),
        ("", ["rendered to nothing"]),
        ("  \n", ["rendered to nothing"]),
        ("null", ["rendered to nothing"]),
        ("[]", ["empty"]),
        ("just words", ["must hold a mapping or a list", "just words"]),
        ('{"fieldName": "v"', ["neither JSON nor YAML"]),
        ("a: [1\nb: 2", ["neither JSON nor YAML"]),
        (["x: 1: 2"], ["neither JSON nor YAML"]),
        (7, ["must be a mapping", "7"]),
        ([7], ["an index must be a mapping"]),
        (
            {"indexParams": [{"fieldName": "v"}], "colectionName": "x"},
            ["unknown key 'colectionName'", "'collectionName'"],
        ),
        ([{"fieldName": "v"}, {"fieldName": "v", "indexName": "w"}], ["both on field 'v'"]),
        ([{"fieldName": "v", "indexName": "i"}, {"fieldName": "w", "indexName": "i"}], ["both named 'i'"]),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(raw: Any, words: list[str]) -> None:
    found = problems(raw)
    assert len(found) == 1, found
    for word in words:
        assert word in found[0]


def test_everything_that_is_wrong_is_said_at_once() -> None:
    found = problems(
        [{"fieldNam": "v", "metricType": "L3"}, {"fieldName": "w", "indexType": "HNSW", "params": {"M": "x", "ef": 1}}]
    )
    assert len(found) == 4
    assert all(text.startswith("index_params[0]: ") for text in found[:2])
    assert all(text.startswith("index_params[1]: ") for text in found[2:])


def test_a_misspelt_type_does_not_hide_a_misspelt_parameter() -> None:
    said = problems({"fieldName": "v", "indexType": "HNWS", "params": {"M": 8, "efConstuction": 9}})
    assert len(said) == 2
    assert said[1].startswith("unknown parameter 'efConstuction' of HNSW; did you mean 'efConstruction'?")


def test_names_of_newer_servers_pass_on_request() -> None:
    new = {"fieldName": "v", "indexType": "HNSW_XL", "metricType": "WARP", "params": {"warp": 9}}
    assert len(problems(new)) == 2  # what an unknown type may have is not known
    (spec,) = parse_index_params(new, allow_unknown=True)
    assert spec == IndexSpec("v", None, "HNSW_XL", "WARP", {"warp": 9})
    # Nonsense stays nonsense.
    assert problems({"fieldNam": "v"}, allow_unknown=True)


def test_several_indexes_on_one_json_field_differ_by_path() -> None:
    raw = [
        {
            "fieldName": "meta",
            "indexName": name,
            "indexType": "INVERTED",
            "params": {"json_path": path, "json_cast_type": "double"},
        }
        for name, path in (("a", 'meta["a"]'), ("b", 'meta["b"]'))
    ]
    assert [spec.json_path for spec in parse_index_params(raw)] == ['meta["a"]', 'meta["b"]']
    assert problems([raw[0], {**raw[0], "indexName": "c"}])


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
keys = st.sampled_from(
    ["fieldName", "index_type", "indexType", "params", "indexConfig", "metricType", "indexName", "M"]
)


@given(json_like | st.lists(st.dictionaries(keys, json_like, max_size=6), max_size=3))
def test_nothing_but_a_readable_error_or_specs_comes_out(raw: Any) -> None:
    try:
        specs = parse_index_params(raw)
    except InvalidParametersError as error:
        assert error.problems
        assert len(str(error)) < 10_000
    else:
        assert specs
        assert all(spec.field_name for spec in specs)
