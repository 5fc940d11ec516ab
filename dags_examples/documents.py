"""Split and embed documents, and replace their rows in a collection.

A document that has become shorter leaves no old rows, a deleted one leaves none at all, and no reader finds a document
empty: new rows are written before stale ones are deleted.

``embed`` replaces the embedding operator of Airflow's ``common.ai`` provider, and returns the same: ``chunks``, each
with ``text``, ``metadata`` and ``vector``. Requires a connection ``milvus_default``.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, task

from airflow_vectordb.operators.collection import CreateCollectionOperator
from airflow_vectordb.operators.ingest import IngestOperator

COLLECTION = "documents"
DIMENSION = 16
SCHEMA = {
    "autoID": True,  # old and new rows of a document are told apart by the keys that the server made
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "doc_id", "dataType": "VarChar", "elementTypeParams": {"max_length": 100}},
        {"fieldName": "text", "dataType": "VarChar", "elementTypeParams": {"max_length": 1000}},
        {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": DIMENSION}},
    ],
}


@task
def embed(params: dict) -> dict:
    """Split texts into sentences, each with a vector of its letters."""
    from collections import Counter

    def vector(text: str) -> list[float]:
        letters = Counter(ord(letter) % DIMENSION for letter in text.lower())
        return [float(letters[bucket]) for bucket in range(DIMENSION)]

    return {
        "chunks": [
            {"text": sentence, "metadata": {"doc_id": doc_id, "sentence": number}, "vector": vector(sentence)}
            for doc_id, text in params["texts"].items()
            for number, sentence in enumerate(filter(None, map(str.strip, text.split("."))))
        ]
    }


@task
def names(params: dict) -> list[str]:
    """Return the names of all documents: those without a sentence lose their rows."""
    return list(params["texts"])


with DAG(
    "documents",
    schedule=None,
    params={
        "texts": Param(
            {
                "ada": "The engine weaves patterns. It originates nothing. It does what we order it to perform.",
                "alan": "Can machines think? We can only see a short distance ahead.",
            },
            type="object",
        ),
    },
    default_args={"retries": 2, "retry_delay": timedelta(seconds=5)},
    tags=["example", "milvus"],
):
    create = CreateCollectionOperator(
        task_id="create_collection",
        collection_name=COLLECTION,
        schema=SCHEMA,
        index_params={"fieldName": "vector"},  # indexed and loaded: stale rows can be found, and deleted
    )
    create >> IngestOperator(
        task_id="ingest",
        collection_name=COLLECTION,
        rows=embed(),
        field_mapping={"metadata.doc_id": "doc_id", "metadata": None},
        replace_documents="doc_id",
        documents=names(),
    )
