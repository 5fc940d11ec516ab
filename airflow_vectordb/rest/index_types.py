"""What is known of Milvus's index types, metrics and field types, as tables.

From Milvus 2.4 to 3.0. A name that is not here may be one of a newer server: see ``allow_unknown`` of
:class:`~airflow_vectordb.rest.index_spec.IndexSpec`.
"""

from __future__ import annotations

from collections.abc import Mapping

#: Kinds of fields that behave alike.
FLOAT, BINARY, SPARSE, SCALAR = "float vector", "binary vector", "sparse vector", "scalar"

FIELD_KINDS: Mapping[str, str] = {
    "FloatVector": FLOAT,
    "Float16Vector": FLOAT,
    "BFloat16Vector": FLOAT,
    "Int8Vector": FLOAT,
    "BinaryVector": BINARY,
    "SparseFloatVector": SPARSE,
    **dict.fromkeys(
        (
            [
                "Bool",
                "Int8",
                "Int16",
                "Int32",
                "Int64",
                "Float",
                "Double",
                "VarChar",
                "String",
                "JSON",
                "Array",
                "Geometry",
                "Timestamptz",
                "Text",
            ]
        ),
        SCALAR,
    ),
}

METRICS: Mapping[str, tuple[str, ...]] = {
    FLOAT: ("COSINE", "L2", "IP"),
    BINARY: ("HAMMING", "JACCARD", "SUBSTRUCTURE", "SUPERSTRUCTURE", "MHJACCARD"),
    SPARSE: ("IP", "BM25"),
    SCALAR: (),
}

#: Metrics between lists of vectors (fields within arrays of structs).
LIST_METRICS = (
    "MAX_SIM",
    "MAX_SIM_COSINE",
    "MAX_SIM_IP",
    "MAX_SIM_L2",
    "MAX_SIM_HAMMING",
    "MAX_SIM_JACCARD",
)

ALL_METRICS = tuple(dict.fromkeys([m for metrics in METRICS.values() for m in metrics] + list(LIST_METRICS)))

#: What a build parameter's value is.
INT, FLOAT_NUMBER, BOOL, TEXT = "an integer", "a number", "true or false", "a text"

_HNSW = {"M": INT, "efConstruction": INT}
_IVF = {"nlist": INT}
_PQ = {"m": INT, "nbits": INT}
_REFINE = {"refine": BOOL, "refine_type": TEXT}
_SPARSE = {
    "inverted_index_algo": TEXT,
    "drop_ratio_build": FLOAT_NUMBER,
    "bm25_k1": FLOAT_NUMBER,
    "bm25_b": FLOAT_NUMBER,
    "bm25_avgdl": FLOAT_NUMBER,
}
_CAGRA = {
    "intermediate_graph_degree": INT,
    "graph_degree": INT,
    "build_algo": TEXT,
    "cache_dataset_on_device": TEXT,
    "adapt_for_cpu": TEXT,
    "ef": INT,
}
_DISK = {
    "max_degree": INT,
    "search_list_size": INT,
    "pq_code_budget_gb": FLOAT_NUMBER,
    "pq_code_budget_gb_ratio": FLOAT_NUMBER,
    "build_dram_budget_gb": FLOAT_NUMBER,
    "num_build_thread": INT,
    "num_build_thread_ratio": FLOAT_NUMBER,
    "disk_pq_dims": INT,
    "accelerate_build": BOOL,
    "search_cache_budget_gb": FLOAT_NUMBER,
    "search_cache_budget_gb_ratio": FLOAT_NUMBER,
    "beamwidth": INT,
    "beamwidth_ratio": FLOAT_NUMBER,
}
_JSON_PATH = {"json_path": TEXT, "json_cast_type": TEXT, "json_cast_function": TEXT}

#: Index type -> its build parameters.
INDEX_TYPES: Mapping[str, Mapping[str, str]] = {
    "AUTOINDEX": _JSON_PATH,
    "FLAT": {},
    "IVF_FLAT": _IVF,
    "IVF_FLAT_CC": {**_IVF, "ssize": INT},
    "IVF_SQ8": _IVF,
    "IVF_SQ_CC": {**_IVF, **_REFINE, "ssize": INT, "code_size": INT, "raw_data_store_prefix": TEXT},
    "IVF_PQ": {**_IVF, **_PQ},
    "IVF_RABITQ": {**_IVF, **_REFINE},
    "SCANN": {**_IVF, "with_raw_data": BOOL},
    "SCANN_DVR": {**_IVF, **_REFINE, "with_raw_data": BOOL},
    "HNSW": _HNSW,
    "HNSW_SQ": {**_HNSW, **_REFINE, "sq_type": TEXT},
    "HNSW_PQ": {**_HNSW, **_REFINE, **_PQ},
    "HNSW_PRQ": {**_HNSW, **_REFINE, **_PQ, "nrq": INT},
    "DISKANN": _DISK,
    "AISAQ": {**_DISK, "inline_pq": INT, "rearrange": BOOL, "num_entry_points": INT},
    "GPU_BRUTE_FORCE": {},
    "GPU_IVF_FLAT": {**_IVF, "cache_dataset_on_device": TEXT},
    "GPU_IVF_PQ": {**_IVF, **_PQ, "cache_dataset_on_device": TEXT},
    "GPU_CAGRA": _CAGRA,
    "BIN_FLAT": {},
    "BIN_IVF_FLAT": _IVF,
    "MINHASH_LSH": {
        "mh_lsh_band": INT,
        "mh_element_bit_width": INT,
        "mh_lsh_code_in_mem": BOOL,
        "mh_lsh_shared_bloom_filter": BOOL,
        "mh_lsh_bloom_false_positive_prob": FLOAT_NUMBER,
        "with_raw_data": BOOL,
    },
    "SPARSE_INVERTED_INDEX": _SPARSE,
    "SPARSE_WAND": _SPARSE,
    "INVERTED": _JSON_PATH,
    "BITMAP": {"bitmap_cardinality_limit": INT},
    "STL_SORT": {},
    "TRIE": {},
    "MARISA-TRIE": {},
    "HYBRID": {
        "bitmap_cardinality_limit": INT,
        "low_cardinality_index_type": TEXT,
        "high_cardinality_index_type": TEXT,
    },
    "NGRAM": {"min_gram": INT, "max_gram": INT, **_JSON_PATH},
    "RTREE": {},
}

#: Properties that any index may have; they change how it is loaded, not what it is.
INDEX_PROPERTIES: Mapping[str, str] = {
    "mmap.enabled": BOOL,
    "indexoffsetcache.enabled": BOOL,
    "warmup": TEXT,
    "scalar_index_engine_version": INT,
    "load_priority": TEXT,
}

#: Index type -> kinds of fields that it is for; one that is not here, such as AUTOINDEX, takes what the server lets it.
INDEX_KINDS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(
        [
            "IVF_FLAT",
            "IVF_FLAT_CC",
            "IVF_SQ8",
            "IVF_SQ_CC",
            "IVF_PQ",
            "IVF_RABITQ",
            "SCANN",
            "SCANN_DVR",
            "HNSW_SQ",
            "HNSW_PQ",
            "HNSW_PRQ",
            "DISKANN",
            "AISAQ",
            "GPU_BRUTE_FORCE",
            "GPU_IVF_FLAT",
            "GPU_IVF_PQ",
            "GPU_CAGRA",
            "FLAT",
        ],
        (FLOAT,),
    ),
    "HNSW": (FLOAT, BINARY),
    **dict.fromkeys(["BIN_FLAT", "BIN_IVF_FLAT", "MINHASH_LSH"], (BINARY,)),
    **dict.fromkeys(["SPARSE_INVERTED_INDEX", "SPARSE_WAND"], (SPARSE,)),
    **dict.fromkeys(["INVERTED", "BITMAP", "STL_SORT", "TRIE", "MARISA-TRIE", "HYBRID", "NGRAM", "RTREE"], (SCALAR,)),
}

__all__ = [
    "ALL_METRICS",
    "FIELD_KINDS",
    "INDEX_KINDS",
    "INDEX_PROPERTIES",
    "INDEX_TYPES",
    "LIST_METRICS",
    "METRICS",
]
