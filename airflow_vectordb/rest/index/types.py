"""What is known of Milvus's index types, metrics and field types, as tables.

From Milvus 2.4 to 3.0, and Zilliz Cloud. A name that is not here may be one of a newer server: it is sent, with a
warning, unless it is a near miss of one that is here.
"""

from __future__ import annotations

from collections.abc import Mapping

from airflow_vectordb.rest.values import AMOUNT, ANY, BOOL, COUNT, FLAG, INT, SHARE, SIZE, TEXT, Kind

#: The server chooses the type.
AUTOINDEX = "AUTOINDEX"

#: Kinds of fields that behave alike.
FLOAT, BINARY, SPARSE, SCALAR = "float vector", "binary vector", "sparse vector", "scalar"

FIELD_KINDS: Mapping[str, str] = {
    "FloatVector": FLOAT,
    "Float16Vector": FLOAT,
    "BFloat16Vector": FLOAT,
    "Int8Vector": FLOAT,
    "BinaryVector": BINARY,
    "SparseFloatVector": SPARSE,
    **dict.fromkeys(["Bool", "Int8", "Int16", "Int32", "Int64", "Float", "Double", "Timestamptz"], SCALAR),
    **dict.fromkeys(["VarChar", "String", "Text", "JSON", "Array", "Geometry"], SCALAR),
}

#: Kind of field -> its metrics, the default first.
METRICS: Mapping[str, tuple[str, ...]] = {
    FLOAT: ("COSINE", "L2", "IP"),
    BINARY: ("HAMMING", "JACCARD", "SUBSTRUCTURE", "SUPERSTRUCTURE", "MHJACCARD"),
    SPARSE: ("IP", "BM25"),
    SCALAR: (),
}

#: Metrics between lists of vectors (fields within arrays of structs).
LIST_METRICS = (
    *("MAX_SIM", *(f"MAX_SIM_{metric}" for metric in ("COSINE", "IP", "L2", "HAMMING", "JACCARD"))),
    *("DTW", *(f"DTW_{metric}" for metric in ("COSINE", "IP", "L2"))),
)

ALL_METRICS = tuple(dict.fromkeys([m for metrics in METRICS.values() for m in metrics] + list(LIST_METRICS)))


_HNSW = {"M": SIZE, "efConstruction": SIZE}
_IVF = {"nlist": SIZE}
_PQ = {"m": SIZE, "nbits": SIZE}
_REFINE = {"refine": BOOL, "refine_type": TEXT}
_RABITQ = {**_IVF, **_REFINE, "rbq_bits": SIZE}
_SPARSE = {
    "inverted_index_algo": TEXT,
    "drop_ratio_build": SHARE,
    "bm25_k1": AMOUNT,
    "bm25_b": SHARE,
    "bm25_avgdl": AMOUNT,
    "sindi_window_size": COUNT,
}
_ON_GPU = {"cache_dataset_on_device": FLAG}
_CAGRA = {
    **_ON_GPU,
    "intermediate_graph_degree": SIZE,
    "graph_degree": SIZE,
    "build_algo": TEXT,
    "adapt_for_cpu": FLAG,
    "nn_descent_niter": SIZE,
    "ef": SIZE,
}
_DISK = {
    **dict.fromkeys(("max_degree", "search_list_size"), SIZE),
    **dict.fromkeys(("num_build_thread", "num_load_thread", "disk_pq_dims", "beamwidth"), COUNT),
    **dict.fromkeys(("num_build_thread_ratio", "num_load_thread_ratio", "beamwidth_ratio"), AMOUNT),
    **dict.fromkeys(("pq_code_budget_gb", "pq_code_budget_gb_ratio", "disk_pq_code_budget_gb_ratio"), AMOUNT),
    **dict.fromkeys(("build_dram_budget_gb", "search_cache_budget_gb", "search_cache_budget_gb_ratio"), AMOUNT),
    **dict.fromkeys(("accelerate_build", "warm_up", "use_bfs_cache"), BOOL),
}
_JSON_PATH = {"json_path": TEXT, "json_cast_type": TEXT, "json_cast_function": TEXT}
_BITMAP = {"bitmap_cardinality_limit": SIZE}

#: Kinds of fields -> index types for them, as Milvus spells them -> their build parameters.
_TYPES_BY_KIND: Mapping[tuple[str, ...], Mapping[str, Mapping[str, Kind]]] = {
    (FLOAT, BINARY): {"HNSW": _HNSW, "GPU_CAGRA": _CAGRA},
    (FLOAT,): {
        "FLAT": {},
        "IVF_FLAT": _IVF,
        "IVF_FLAT_CC": {**_IVF, "ssize": COUNT},
        "IVF_SQ8": _IVF,
        "IVF_SQ_CC": {**_IVF, **_REFINE, "ssize": COUNT, "code_size": COUNT, "raw_data_store_prefix": TEXT},
        "IVF_PQ": {**_IVF, **_PQ, **_REFINE},
        "IVF_RABITQ": _RABITQ,
        "IVF_RABITQ_FASTSCAN": _RABITQ,
        "SCANN": {**_IVF, "with_raw_data": BOOL},
        "SCANN_DVR": {**_IVF, **_REFINE, "with_raw_data": BOOL},
        "HNSW_SQ": {**_HNSW, **_REFINE, "sq_type": TEXT},
        "HNSW_PQ": {**_HNSW, **_REFINE, **_PQ},
        "HNSW_PRQ": {**_HNSW, **_REFINE, **_PQ, "nrq": SIZE},
        "DISKANN": _DISK,
        "AISAQ": {
            **_DISK,
            "inline_pq": Kind("an integer of at least -1", int, -1),
            "rearrange": BOOL,
            "num_entry_points": COUNT,
            "pq_cache_size": COUNT,
            "pq_read_page_cache_size": COUNT,
        },
        "GPU_BRUTE_FORCE": {},
        "GPU_IVF_FLAT": {**_IVF, **_ON_GPU},
        "GPU_IVF_PQ": {**_IVF, **_PQ, **_ON_GPU},
    },
    (BINARY,): {
        "BIN_FLAT": {},
        "BIN_IVF_FLAT": _IVF,
        "MINHASH_LSH": {
            "mh_lsh_band": SIZE,
            "mh_element_bit_width": SIZE,
            "mh_lsh_aligned_block_size": COUNT,
            "mh_lsh_code_in_mem": BOOL,
            "mh_lsh_shared_bloom_filter": BOOL,
            "mh_lsh_bloom_false_positive_prob": SHARE,
            "with_raw_data": BOOL,
        },
    },
    (SPARSE,): {
        "SPARSE_INVERTED_INDEX": _SPARSE,
        "SPARSE_INVERTED_INDEX_CC": _SPARSE,
        "SPARSE_WAND": _SPARSE,
        "SPARSE_WAND_CC": _SPARSE,
    },
    (SCALAR,): {
        "INVERTED": _JSON_PATH,
        "BITMAP": {**_BITMAP, **_JSON_PATH},
        "STL_SORT": _JSON_PATH,
        "TRIE": _JSON_PATH,
        "Trie": _JSON_PATH,
        "marisa-trie": _JSON_PATH,
        "HYBRID": {**_BITMAP, **_JSON_PATH, "low_cardinality_index_type": TEXT, "high_cardinality_index_type": TEXT},
        "NGRAM": {"min_gram": SIZE, "max_gram": SIZE, **_JSON_PATH},
        "RTREE": {},
    },
}

#: Index type -> its build parameters.
INDEX_TYPES: Mapping[str, Mapping[str, Kind]] = {
    # Milvus takes no parameters but the metric; Zilliz Cloud takes a build level.
    AUTOINDEX: {"build_level": ANY, **_JSON_PATH},
    **{name: params for types in _TYPES_BY_KIND.values() for name, params in types.items()},
    # Of Milvus 3.0; no more than the names is known here.
    "FAISS": {},
    "PATTERN": {},
}

#: Index type -> kinds of fields that it is for; AUTOINDEX takes what the server lets it.
INDEX_KINDS: Mapping[str, tuple[str, ...]] = {name: kinds for kinds, types in _TYPES_BY_KIND.items() for name in types}

#: What any index may have: properties, which change how it is loaded, not what it is, and one for embedding lists.
INDEX_PROPERTIES: Mapping[str, Kind] = {
    "mmap.enabled": BOOL,
    "indexoffsetcache.enabled": BOOL,
    "warmup": ANY,
    "scalar_index_engine_version": INT,
    "load_priority": TEXT,
    "emb_list_strategy": TEXT,
}

#: Families of parameters that grow with each release, of embedding lists and of sparse indexes: by how they begin.
FAMILIES = ("emb_list_", "muvera_", "lemur_", "sindi_", "block_max_")

#: Every build parameter -> what its value is.
PARAM_KINDS: Mapping[str, Kind] = {
    **{n: k for own in INDEX_TYPES.values() for n, k in own.items()},
    **INDEX_PROPERTIES,
}

#: Parameters of searches, which are often taken for those of an index.
SEARCH_PARAMS = frozenset(
    (
        *("ef", "nprobe", "level", "reorder_k", "refine_k", "search_list", "drop_ratio_search", "dim_max_score_ratio"),
        *("radius", "range_filter", "max_empty_result_buckets", "itopk_size", "search_width", "min_iterations"),
        *("max_iterations", "team_size", "mh_search_with_jaccard", "rbq_query_bits"),
    )
)
