"""What is surely wrong is refused; what is merely not known here is sent, with a warning."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from airflow_vectordb.rest.errors import InvalidParametersError
from airflow_vectordb.rest.index.spec import parse_index_params
from airflow_vectordb.rest.index.types import ALL_METRICS, INDEX_TYPES, PARAM_KINDS
from airflow_vectordb.rest.spelling import near_miss
from tests.support.index_params import problems, read

# Names --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("HNWS", "HNSW"),  # a transposition
        ("HNW", "HNSW"),
        ("HNSWW", "HNSW"),
        ("HSNW_SQ", "HNSW_SQ"),
        ("IVFFLAT", "IVF_FLAT"),
        ("IVF-FLAT", "IVF_FLAT"),
        ("IVF_FLT", "IVF_FLAT"),
        ("DISKAN", "DISKANN"),
        ("DISCAN", "DISKANN"),
        ("AUTO_INDEX", "AUTOINDEX"),
        ("AUTOINDX", "AUTOINDEX"),
        ("INVERTD", "INVERTED"),
        ("MARISA_TRIE", "marisa-trie"),
        ("FIASS", "FAISS"),
        ("FLATT", "FLAT"),
        ("IVF_P", "IVF_PQ"),
        ("IVFP_Q", "IVF_PQ"),
        ("HNSWS_Q", "HNSW_SQ"),
    ],
)
def test_near_misses_of_index_types_are_refused(given: str, meant: str) -> None:
    (problem,) = problems(given)
    assert problem == f"unknown index type {given!r}; did you mean {meant!r}? allow_unknown=True sends it as it is"
    assert read(given, allow_unknown=True).index_type == given


@pytest.mark.parametrize(
    "new", ["FAISS", "PATTERN", "FMINDEX", "FM_INDEX", "VAMANA", "HNSW_TURBO", "IVF_RABITQ_NEXT", "X"]
)
def test_index_types_that_are_not_known_are_sent(new: str) -> None:
    spec = read(new, params={"M": "16", "warp_factor": 9})
    assert (spec.index_type, spec.params) == (new, {"M": 16, "warp_factor": 9})
    assert spec.body()["indexType"] == new
    (of_type, of_param) = spec.warnings
    assert new in of_type
    assert "'warp_factor'" in of_param


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("hnsw", "HNSW"),
        ("Ivf_Flat", "IVF_FLAT"),
        ("autoIndex", "AUTOINDEX"),
        ("MARISA-TRIE", "marisa-trie"),
        ("Marisa-Trie", "marisa-trie"),
        ("Trie", "Trie"),
        ("TRIE", "TRIE"),
        ("faiss", "FAISS"),
        ("ivf_rabitq_fastscan", "IVF_RABITQ_FASTSCAN"),
    ],
)
def test_case_of_index_types_does_not_matter(given: str, sent: str) -> None:
    spec = read(given)
    assert spec.index_type == sent
    assert spec.body()["params"]["index_type"] == spec.body()["indexConfig"]["index_type"] == sent


@pytest.mark.parametrize(
    ("given", "meant"),
    [("COSINUS", "COSINE"), ("CSOINE", "COSINE"), ("HAMING", "HAMMING"), ("PI", "IP"), ("BM52", "BM25")],
)
def test_near_misses_of_metrics_are_refused(given: str, meant: str) -> None:
    (problem,) = problems(metricType=given)
    assert problem == f"unknown metric {given!r}; did you mean {meant!r}? allow_unknown=True sends it as it is"
    assert read(metricType=given, allow_unknown=True).metric_type == given


def test_metrics_that_are_not_known_are_sent() -> None:
    spec = read(metricType="EarthMover")
    assert spec.metric_type == "EarthMover"
    assert "unknown metric 'EarthMover'" in spec.warnings[0]
    assert read(metricType="dtw_l2").metric_type == "DTW_L2"


@pytest.mark.parametrize(
    ("index_type", "given", "meant"),
    [
        ("HNSW", "efConstrution", "efConstruction"),
        ("HNSW", "efConstructoin", "efConstruction"),
        ("IVF_FLAT", "nlst", "nlist"),
        ("IVF_FLAT", "nlsit", "nlist"),
        ("IVF_PQ", "nbit", "nbits"),
        ("HNSW", "mmap.enable", "mmap.enabled"),
        ("INVERTED", "json_cast_typ", "json_cast_type"),
        ("VAMANA", "max_degre", "max_degree"),
        # A letter is missing in one part of the name.
        ("DISKANN", "disk_p_dims", "disk_pq_dims"),
        ("DISKANN", "pq_code_budget_g", "pq_code_budget_gb"),
        ("AISAQ", "inline_q", "inline_pq"),
        ("HNSW_SQ", "q_type", "sq_type"),
        ("MINHASH_LSH", "m_lsh_band", "mh_lsh_band"),
        ("SPARSE_INVERTED_INDEX", "bm25_k", "bm25_k1"),
        ("SPARSE_INVERTED_INDEX", "sindi_windw_size", "sindi_window_size"),  # of a family that grows
        ("HNSW", "emb_list_stratgy", "emb_list_strategy"),
    ],
)
def test_near_misses_of_parameters_are_refused(index_type: str, given: str, meant: str) -> None:
    (problem,) = problems(index_type, params={given: 4})
    assert f"did you mean {meant!r}? allow_unknown=True sends it as it is" in problem
    assert read(index_type, params={given: 4}, allow_unknown=True).params == {given: 4}


@pytest.mark.parametrize(
    ("index_type", "key"),
    [
        ("HNSW", "k"),  # one letter is no near miss of another one
        ("HNSW", "warp_factor"),
        ("HNSW", "nlist"),  # of another type
        ("HNSW_PQ", "nlist"),  # two letters from nbits, but a name of its own
        ("IVF_FLAT", "refine"),
        ("AUTOINDEX", "warp_factor"),
        ("FLAT", "tier"),
    ],
)
def test_parameters_that_are_not_known_are_sent(index_type: str, key: str) -> None:
    value = True if key == "refine" else 3
    spec = read(index_type, params={key: value})
    assert spec.params == {key: value}
    (warning,) = spec.warnings
    assert f"{key!r}" in warning
    assert "sent as it is" in warning


@pytest.mark.parametrize(
    ("index_type", "key", "words"),
    [
        ("HNSW", "ef", "'ef' is a search parameter, not a build parameter of HNSW"),
        ("IVF_FLAT", "nprobe", "is a search parameter"),
        ("SPARSE_INVERTED_INDEX", "drop_ratio_search", "is a search parameter"),
        ("DISKANN", "search_list", "is a search parameter"),
        ("AUTOINDEX", "M", "AUTOINDEX takes no build parameters, but 'M' is given: name an index type"),
        (None, "nlist", "AUTOINDEX takes no build parameters, but 'nlist' is given: name an index type"),
    ],
)
def test_parameters_of_something_else_are_refused(index_type: str | None, key: str, words: str) -> None:
    (problem,) = problems(index_type, params={key: 4})
    assert words in problem
    assert problem.endswith("allow_unknown=True sends it as it is")
    assert read(index_type, params={key: 4}, allow_unknown=True).params == {key: 4}


def test_no_two_known_names_are_in_doubt() -> None:
    for names in (INDEX_TYPES, ALL_METRICS, PARAM_KINDS):
        for name in names:
            assert near_miss(name, [name]) == name
    assert near_miss("m", ["k", "n"]) is None
    assert near_miss("ef", ["k", "M"]) is None
    assert near_miss("", ["k", "M", "HNSW"]) is None
    assert near_miss("-", ["_", "k"]) is None
    assert near_miss("x" * 100_000, ["HNSW"]) is None


# Documented by newer servers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index_type", "params"),
    [
        ("AUTOINDEX", {"build_level": 3}),
        ("AUTOINDEX", {"build_level": "precision"}),
        (None, {"json_path": "a", "json_cast_type": "varchar"}),
        ("STL_SORT", {"json_path": 'meta["a"]', "json_cast_type": "double"}),
        ("BITMAP", {"json_path": 'meta["a"]', "json_cast_type": "varchar"}),
        ("INVERTED", {"json_path": "a", "json_cast_type": "double", "json_cast_function": "STRING_TO_DOUBLE"}),
        ("TRIE", {"json_path": "a", "json_cast_type": "varchar"}),
        ("HNSW", {"M": 16, "emb_list_strategy": "muvera", "muvera_num_repeats": 4, "lemur_seed": 1}),
        ("SPARSE_INVERTED_INDEX", {"sindi_window_size": 4096, "block_max_size": 128, "inverted_index_algo": "SINDI"}),
        ("DISKANN", {"disk_pq_code_budget_gb_ratio": 0.25}),
        ("IVF_RABITQ_FASTSCAN", {"nlist": 128, "rbq_bits": 4, "refine": True, "refine_type": "SQ8"}),
        ("IVF_RABITQ", {"nlist": 128, "rbq_bits": 2}),
        ("IVF_PQ", {"nlist": 128, "m": 8, "nbits": 8, "refine": True, "refine_type": "fp16"}),
        ("MINHASH_LSH", {"mh_lsh_band": 8, "mh_lsh_aligned_block_size": 4096}),
        # Near others.
        ("SPARSE_INVERTED_INDEX_CC", {"drop_ratio_build": 0.2}),
        ("SPARSE_WAND_CC", {}),
        ("AISAQ", {"inline_pq": -1, "pq_cache_size": 0, "pq_read_page_cache_size": 8}),
        ("DISKANN", {"warm_up": True, "use_bfs_cache": False, "num_load_thread": 8}),
        ("GPU_CAGRA", {"cache_dataset_on_device": "true", "adapt_for_cpu": "false", "nn_descent_niter": 20}),
    ],
)
def test_documented_parameters_pass(index_type: str | None, params: dict[str, Any]) -> None:
    spec = read(index_type, params=params)
    assert (spec.index_type, spec.params) == (index_type or "AUTOINDEX", params)
    assert spec.warnings == ()


# Values -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("16", 16),
        (" 16 ", 16),
        ("16.0", 16),
        (16.0, 16),
        (np.int64(16), 16),
        (np.uint8(16), 16),
        (np.float32(16), 16),
        (np.longdouble(16), 16),
        (np.array(16), 16),
        (np.str_("16"), 16),
        (Decimal(16), 16),
        (Decimal("16.0"), 16),
        (Fraction(16), 16),
        (9007199254740993, 9007199254740993),
        ("9007199254740993", 9007199254740993),
    ],
)
def test_numbers_of_every_kind_are_integers(given: Any, sent: int) -> None:
    value = read("HNSW", params={"M": given}).params["M"]
    assert (value, type(value)) == (sent, int)


@pytest.mark.parametrize(
    ("given", "sent"),
    [("0.25", 0.25), (np.float64(0.25), 0.25), (np.float32(0.25), 0.25), (Decimal("0.25"), 0.25), (1, 1.0), (0, 0.0)],
)
def test_numbers_of_every_kind_are_numbers(given: Any, sent: float) -> None:
    value = read("SPARSE_INVERTED_INDEX", params={"drop_ratio_build": given}).params["drop_ratio_build"]
    assert (value, type(value)) == (sent, float)


@pytest.mark.parametrize("given", [True, "true", "True", " TRUE ", np.True_])
def test_truth(given: Any) -> None:
    assert read("HNSW_SQ", params={"refine": given}).params["refine"] is True


@pytest.mark.parametrize(
    ("index_type", "params", "words"),
    [
        ("HNSW", {"M": "sixteen"}, "M must be an integer of at least 1, not 'sixteen'"),
        ("HNSW", {"M": 0}, "M must be an integer of at least 1, not 0"),
        ("HNSW", {"M": "-3"}, "M must be an integer of at least 1, not '-3'"),
        ("HNSW", {"efConstruction": -1}, "efConstruction must be an integer of at least 1, not -1"),
        ("HNSW", {"M": 1.5}, "M must be an integer of at least 1, not 1.5"),
        ("HNSW", {"M": Decimal("1.5")}, "M must be an integer"),
        ("HNSW", {"M": True}, "M must be an integer"),
        ("HNSW", {"M": np.True_}, "M must be an integer"),
        ("HNSW", {"M": [16]}, "M must be an integer of at least 1, not [16]"),
        ("HNSW", {"M": {"a": 1}}, "M must be an integer"),
        ("HNSW", {"M": float("nan")}, "M must be an integer of at least 1, not nan"),
        ("HNSW", {"M": float("inf")}, "M must be an integer"),
        ("HNSW", {"M": Decimal("NaN")}, "M must be an integer"),
        ("HNSW", {"M": Decimal("sNaN")}, "M must be an integer"),
        ("HNSW", {"M": np.nan}, "M must be an integer"),
        ("HNSW", {"M": 10**400}, "M is too large"),
        ("HNSW", {"M": 10**5000}, "M is too large"),
        ("HNSW", {"M": Decimal("1e999999999")}, "M is too large"),
        ("HNSW", {"M": "1" * 400}, "M is too large"),
        ("HNSW", {"M": "1" * 5000}, "M is too large"),
        ("HNSW", {"M": 2**63}, "M is too large"),
        ("HNSW", {"M": 1e300}, "M is too large"),
        ("HNSW", {"M": "1e300"}, "M is too large"),
        ("HNSW", {"M": Fraction(10**400)}, "M is too large"),
        ("HNSW", {"M": object}, "M must be an integer"),
        ("HNSW", {"M": None}, "M is empty"),
        ("HNSW", {"M": ""}, "M is empty: did its template render to nothing?"),
        ("HNSW", {"M": "None"}, "M is 'None', a missing value rendered to text"),
        ("INVERTED", {"json_path": "None"}, "json_path is 'None', a missing value rendered to text"),
        ("INVERTED", {"json_path": ["a"]}, "json_path must be a string, not ['a']"),
        *(
            ("HNSW_SQ", {"sq_type": value}, "sq_type must be a string, not ")
            for value in (8, 1.5, True, np.int64(8), Decimal(8))
        ),
        *(
            ("GPU_CAGRA", {"adapt_for_cpu": value}, "adapt_for_cpu must be true or false")
            for value in (1, "yes", 0.5, [])
        ),
        ("HNSW_SQ", {"refine": "maybe"}, "refine must be true or false, not 'maybe'"),
        ("HNSW_SQ", {"refine": 1}, "refine must be true or false, not 1"),
        ("SPARSE_WAND", {"drop_ratio_build": 1.5}, "drop_ratio_build must be a number from 0 to 1, not 1.5"),
        ("SPARSE_WAND", {"bm25_k1": -1}, "bm25_k1 must be a number of at least 0, not -1"),
        ("NEWTYPE", {"M": -1}, "M must be an integer of at least 1, not -1"),
        ("HNSW", {"nlist": "many"}, "nlist must be an integer"),
        ("HNSW", {"warp": float("nan")}, "warp is nan, which is not a finite number"),
        ("HNSW", {"warp": 10**400}, "warp is too large"),
        ("HNSW", {"warp": object()}, "which cannot be a parameter"),
        ("HNSW", {"warp": "None"}, "warp is 'None'"),
        ("HNSW", {"warp": {1, 2}}, None),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, str) else "",
)
def test_values_of_another_kind_are_refused(index_type: str, params: dict[str, Any], words: str | None) -> None:
    if words is None:
        assert read(index_type, params=params).params == {"warp": [1, 2]}
        return
    (problem,) = problems(index_type, params=params)
    assert words in problem
    assert len(problem) < 200
    # That switch is for names.
    assert words in problems(index_type, params=params, allow_unknown=True)[0]


def test_a_value_that_is_nested_too_deeply() -> None:
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    assert "is nested more than 20 deep" in problems("HNSW", params={"warp": deep})[0]
    assert "M must be an integer" in problems("HNSW", params={"M": deep})[0]
    body: Any = [{"fieldName": "v"}]
    for _ in range(5000):
        body = {"indexParams": body}
    with pytest.raises(InvalidParametersError, match="nested too deeply"):
        parse_index_params(body)


@pytest.mark.parametrize(
    ("params", "config"),
    [({"M": 16, "m": 32}, {}), ({"efConstruction": 1, "ef_construction": 1}, {}), ({"M": 16}, {"m": "32"})],
)
def test_a_parameter_in_two_spellings(params: dict[str, Any], config: dict[str, Any]) -> None:
    (problem,) = problems("HNSW", params=params, indexConfig=config)
    assert "given twice" in problem


# Other shapes -------------------------------------------------------------------------------------------------------
