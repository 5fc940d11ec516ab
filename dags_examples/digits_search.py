"""
Ingest 1,797 handwritten digits, index them, then search, and measure the recall of the index.

Requires a connection ``milvus_default``, and numpy on the worker. Each run creates the collection again.

Params: ``collection`` (name), ``metric``, and HNSW's ``M`` and ``efConstruction``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG, Param, task

from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.operators.collection import LoadCollectionOperator
from airflow_vectordb.operators.index import CreateIndexOperator
from airflow_vectordb.operators.ingest import IngestOperator

COLLECTION = "{{ params.collection }}"
DIGITS = Path(__file__).parent / "data" / "digits.csv.gz"
SCHEMA = {
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "label", "dataType": "Int64"},
        {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 64}},
    ],
}


def read_digits() -> tuple[list[list[float]], list[int]]:
    """Read the pixels and the label of each digit."""
    import csv
    import gzip

    with gzip.open(DIGITS, "rt") as lines:
        rows = list(csv.reader(lines))
    return [[float(pixel) for pixel in row[:64]] for row in rows], [int(row[64]) for row in rows]


@task
def create_collection(params: dict) -> None:
    """Create the collection again, so that a second run starts like the first."""
    with MilvusHook() as hook:
        hook.drop_collection(params["collection"])
        hook.create_collection(params["collection"], schema=SCHEMA)


def rows() -> Iterator[dict]:
    """Return a row for each digit."""
    for number, (vector, label) in enumerate(zip(*read_digits(), strict=True)):
        yield {"id": number, "label": label, "vector": vector}


@task
def search(params: dict) -> dict[str, float | int]:
    """Search for each digit's ten nearest neighbours, and compare them with those of an exact search."""
    vectors, labels = read_digits()
    with MilvusHook() as hook:
        # Eleven, since the first hit is the digit itself.
        hits = hook.search(params["collection"], vectors, limit=11, output_fields=["label"], search_params={"ef": 64})
    return compare(hits, vectors, labels, params["metric"])


def compare(hits: list, vectors: list[list[float]], labels: list[int], metric: str) -> dict[str, float | int]:
    """Return the recall of the ten nearest neighbours, and how often the nearest one has the right label."""
    import numpy as np

    data = np.array(vectors)
    if metric == "L2":
        scores = 2 * data @ data.T - (data**2).sum(axis=1)
    else:
        unit = data / np.linalg.norm(data, axis=1, keepdims=True) if metric == "COSINE" else data
        scores = unit @ unit.T
    np.fill_diagonal(scores, -np.inf)  # exclude the digit itself
    tenth = np.sort(scores, axis=1)[:, -10]
    found = same_label = 0
    for query, near in enumerate(hits):
        others = [hit for hit in near if hit["id"] != query][:10]
        # Hits as near as the true tenth count, since the order of ties is arbitrary.
        found += sum(bool(scores[query, hit["id"]] >= tenth[query] - 1e-9) for hit in others)
        same_label += others[0]["label"] == labels[query]
    return {"queries": len(hits), "recall_at_10": found / (10 * len(hits)), "same_label": same_label}


with DAG(
    "digits_search",
    schedule=None,
    default_args={"retries": 1, "retry_delay": timedelta(seconds=5), "execution_timeout": timedelta(minutes=10)},
    params={
        "collection": Param("digits", type="string", pattern="^[A-Za-z_][A-Za-z0-9_]*$"),
        "metric": Param("COSINE", enum=["COSINE", "IP", "L2"]),
        "M": Param(16, type="integer", minimum=2, maximum=2048),
        "efConstruction": Param(200, type="integer", minimum=1),
    },
    tags=["example", "milvus"],
):
    ingest = IngestOperator(task_id="ingest", collection_name=COLLECTION, rows=rows)
    index = CreateIndexOperator(
        task_id="create_index",
        collection_name=COLLECTION,
        index_params={
            "fieldName": "vector",
            "indexName": "vector_hnsw",
            "metricType": "{{ params.metric }}",
            "indexType": "HNSW",
            "params": {"M": "{{ params.M }}", "efConstruction": "{{ params.efConstruction }}"},
        },
        flush=True,  # new rows are in no index before they are sealed
        min_rows=ingest.output,
    )
    load = LoadCollectionOperator(task_id="load_collection", collection_name=COLLECTION)
    create_collection() >> ingest >> index >> load >> search()
