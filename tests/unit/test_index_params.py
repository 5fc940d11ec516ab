"""Index parameters in every spelling, and everything wrong with them at once."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from airflow_vectordb.rest.errors import InvalidParametersError
from airflow_vectordb.rest.index.parsing import parse
from airflow_vectordb.rest.index.spec import IndexSpec, parse_index_params

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
@pytest.mark.parametrize(
    "write",
    [json.dumps, yaml.safe_dump, str, lambda value: "\ufeff" + json.dumps(value, indent="\t")],
    ids=["json", "yaml", "str of a dict", "json with tabs and a byte order mark"],
)
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
    assert parse(request).envelope == {"collectionName": "docs", "dbName": "d"}
    assert parse(json.dumps(request)).envelope == {"collectionName": "docs", "dbName": "d"}
    assert parse([other]).envelope == {}


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
        ({"fieldName": ""}, ["fieldName is ''", "template"]),
        ({"fieldName": 7}, ["fieldName must be a string"]),
        ({"fieldName": "v", "indexType": "HNSW", "params": [1]}, ["params must be a mapping"]),
        (
            {"fieldName": "v", "indexType": "HNSW", "params": {"index_type": "IVF_FLAT"}},
            ["indexType is IVF_FLAT in params and HNSW in the index itself"],
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
        ("just words", ["must be a mapping or a list", "just words"]),
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


def test_names_of_newer_servers_pass() -> None:
    new = {"fieldName": "v", "indexType": "HNSW_XL", "metricType": "WARP", "params": {"warp": 9}}
    (spec,) = parse_index_params(new)
    assert spec == IndexSpec("v", None, "HNSW_XL", "WARP", {"warp": 9})
    assert len(spec.warnings) == 3
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
    assert [spec.params["json_path"] for spec in parse_index_params(raw)] == ['meta["a"]', 'meta["b"]']
    assert problems([raw[0], {**raw[0], "indexName": "c"}])


# Texts --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "[{'fieldName': 'v', 'indexName': None, 'metricType': None, 'indexType': 'HNSW', 'params': {'M': 16}}]",
        "({'fieldName': 'v', 'indexType': 'HNSW', 'params': {'M': 16}},)",
        "{'fieldName': \"v\", 'indexType': 'HNSW', 'params': None, 'indexConfig': {'M': '16'}}",
        "{'indexParams': [{'fieldName': 'v', 'indexType': 'HNSW', 'params': {'M': 16}}], 'dbName': None}",
        '{"fieldName": "v", "indexName": None, "indexType": "HNSW", "params": {"M": 16}}',
    ],
)
def test_what_python_writes_of_a_dict_keeps_its_none(text: str) -> None:
    assert parse_index_params(text) == [IndexSpec("v", None, "HNSW", None, {"M": 16})]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fieldName: v\nindexName: None", "indexName is 'None', a missing value rendered to text"),
        ("fieldName: None", "fieldName is 'None'"),
        ("{fieldName: v, indexType: None}", "indexType is 'None'"),
        ("{'fieldName': 'v', 'indexType': 'INVERTED', 'params': {'json_path': None}}", "json_path is empty"),
        ("{fieldName: v, indexType: INVERTED, params: {json_path: None}}", "json_path is 'None'"),
        ("None", "rendered to nothing"),
        ("fieldName: \"['a', 'b']\"", "a list or mapping rendered to text"),
    ],
)
def test_a_missing_value_makes_no_name(text: str, words: str) -> None:
    (problem,) = problems(text)
    assert words in problem


def aliases(shape: str) -> str:
    lines = ["a: &a " + shape.format("x")]
    lines += [f"{name}: &{name} " + shape.format(f"*{chr(ord(name) - 1)}") for name in "bcdefghij"]
    return "\n".join(lines)


HOSTILE = {
    "anchors": (aliases("[{0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}]"), "more than 2,000 values"),
    "merges": ("a: &a {k: x}\n" + aliases("{{<<: [{0}, {0}, {0}, {0}]}}")[16:], "index_params"),
    "an alias of itself": ("&a [*a]", "nested more than 20 deep"),
    "deep JSON": ("[" * 90_000, "nested more than 20 deep"),
    "deep JSON that ends": ("[" * 100 + "]" * 100, "nested more than 20 deep"),
    "deep YAML": ("- " * 45_000, "nested more than 20 deep"),
    "deep YAML mappings": ("{a: " * 20_000, "nested more than 20 deep"),
    "deep Python": ("[{'a': " * 10_000, "nested more than 20 deep"),
    "a long integer in JSON": ('{"M": ' + "9" * 5000 + "}", "cannot be read"),
    "a long integer in YAML": ("M: " + "9" * 5000, "cannot be read"),
    "a long integer in Python": ("{'M': " + "9" * 5000 + "}", "cannot be read"),
    "an integer to the base of 60": ("fieldName: v\nparams: {M: 1" + ":1" * 4000 + "}", "in base 60 or 8"),
    "an integer to the base of 16": ("fieldName: v\nparams: {M: 0x" + "f" * 90_000 + "}", "M is too large"),
    "many values": ("[" + "1," * 40_000 + "1]", "more than 2,000 values"),
    "many values in YAML": ("[" + "a," * 40_000 + "]", "more than 2,000 values"),
    "many keys": (json.dumps({f"k{number}": 1 for number in range(1_900)}), "unknown key 'k0'"),
    "many indexes out of few texts": (
        json.dumps(["a: &a {fieldName: v}\nindexParams: [" + "*a, " * 600 + "]"] * 30),
        "index_params names 18,000 indexes; no collection has more than 1,000",
    ),
    "a long text": (json.dumps([{"fieldName": "v" * 200_000}]), "at most 100,000 are read"),
    "a sum": ("[1" + "+1" * 40_000 + "]", "must be a mapping or a list of mappings"),
    "signs": ("[" + "-" * 90_000 + "1]", "must be a mapping or a list of mappings"),
    "subscripts": ("[1]" + "[0]" * 30_000, "neither JSON nor YAML"),
    "quotes": ("'" * 90_001, "index_params"),
    "no date": ("2024-13-45", "month must be in 1..12"),
    "no boolean": ("!!bool x", "neither JSON nor YAML"),
    "an object": ("!!python/object:os.system x", "neither JSON nor YAML"),
    "a control character": ("\x00", "neither JSON nor YAML"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_texts_are_one_clear_error_and_fast(case: str) -> None:
    text, words = HOSTILE[case]
    began = time.process_time()
    found = problems(text)
    took = time.process_time() - began
    assert any(words in problem for problem in found), found[:3]
    assert all(len(problem) < 1_000 for problem in found)
    assert len(found) <= 51
    assert took < 3


@pytest.mark.parametrize(
    "text",
    [
        '{"fieldName": "v", "indexName": "a", "indexName": "b"}',
        '[{"fieldName": "v", "params": {"indexName": 1, "indexName": 2}}]',
        "fieldName: v\nindexName: a\nindexName: b",
        "{'fieldName': 'v', 'indexName': 'a', 'indexName': None}",
    ],
)
def test_keys_that_are_given_twice_are_named(text: str) -> None:
    (problem,) = problems(text)
    assert problem == "index_params has 'indexName' twice in one mapping: remove one of them"


def test_anchors_and_merges_of_a_sane_size_are_yaml() -> None:
    text = """
        - &first {fieldName: v, indexType: HNSW, params: &build {M: 16, efConstruction: 200}}
        - {<<: *first, fieldName: w}
        - {fieldName: x, indexType: HNSW, params: {<<: *build, M: 32}}
    """
    found = [(spec.field_name, dict(spec.params)) for spec in parse_index_params(text)]
    assert found == [
        ("v", {"M": 16, "efConstruction": 200}),
        ("w", {"M": 16, "efConstruction": 200}),
        ("x", {"M": 32, "efConstruction": 200}),
    ]


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
keys = st.sampled_from(
    ["fieldName", "index_type", "indexType", "params", "indexConfig", "metricType", "indexName", "M"]
)


@pytest.mark.slow
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
