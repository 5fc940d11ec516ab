"""Runs the DAGs of the documentation, in an :class:`AirflowProcess`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.rest import IndexSpec, aliases, collections, databases, entities, indexes
from airflow_vectordb.rest.http.async_client import AsyncClient
from airflow_vectordb.rest.http.call import Call
from airflow_vectordb.rest.http.client import Client
from tests.support.dag_runs import bag_of, dags_folder, retries_at_once, run_one

ROWS = 20
HNSW = {"M": 16, "efConstruction": 200}


def field(name: str, kind: str, **more: Any) -> dict[str, Any]:
    """Make a field of a schema."""
    return {"fieldName": name, "dataType": kind, **more}


DOCS = {
    "autoID": False,
    "enableDynamicField": True,
    "fields": [
        field("id", "Int64", isPrimary=True),
        field("vector", "FloatVector", elementTypeParams={"dim": 8}),
        field("category", "VarChar", elementTypeParams={"max_length": 64}),
        field("year", "Int64"),
        field("meta", "JSON"),
    ],
}
ARTICLES = {
    "autoID": False,
    "fields": [
        field("id", "VarChar", isPrimary=True, elementTypeParams={"max_length": 64}),
        field("text", "VarChar", elementTypeParams={"max_length": 1000}),
        field("dense", "FloatVector", elementTypeParams={"dim": 8}),
        field("sparse", "SparseFloatVector"),
    ],
}
COLLECTIONS = {
    "docs": DOCS,
    "docs_de": DOCS,
    "docs_fr": DOCS,
    "articles": ARTICLES,
}
VECTOR_FIELDS = {"articles": ("dense", "sparse")}


def vector(number: int) -> list[float]:
    """Make a vector that no other row has."""
    return [math.cos(number * (i + 1)) for i in range(8)]


def rows(name: str) -> Iterator[dict[str, Any]]:
    """Make the rows of a collection."""
    for number in range(ROWS):
        if name == "articles":
            text = f"article number {number}"
            sparse = {str(number): 1.0, str(number + 1): 0.5}
            yield {"id": f"a{number}", "text": text, "dense": vector(number), "sparse": sparse}
        else:
            category = ("news", "sport", "science")[number % 3]
            year = 2020 + number % 7
            yield {"id": number, "vector": vector(number), "category": category, "year": year, "meta": {"n": number}}


def make(client: Client, name: str, database: str = "default") -> None:
    """Make a collection, with its rows."""
    client.send(collections.create(name, schema=COLLECTIONS[name], database=database))
    client.send(entities.insert(name, list(rows(name)), database=database))
    client.send(collections.flush(name, database=database))


def reset(client: Client) -> None:
    """Empty the server, and make the collections that the pages are about."""
    for database in client.send(databases.list_()):
        for name in client.send(collections.list_(database=database)):
            for alias in client.send(aliases.list_(name, database=database)):
                client.send(aliases.drop(alias, database=database))
            client.send(collections.drop(name, database=database))
        if database != "default":
            client.send(databases.drop(database))
    client.send(databases.create("staging"))
    make(client, "docs", "staging")
    for name in COLLECTIONS:
        make(client, name)


def prepare(client: Client, name: str, state: str) -> None:
    """Bring a collection into a state."""
    if name not in COLLECTIONS or state not in ("indexed", "loaded"):
        raise ValueError(f"not a thing that can be given: {name} {state}")
    for field_name in VECTOR_FIELDS.get(name, ("vector",)):
        kind = ("SPARSE_INVERTED_INDEX", "IP", {}) if field_name == "sparse" else ("HNSW", "COSINE", HNSW)
        client.send(indexes.create(name, [IndexSpec(field_name, field_name, *kind)]))
    client.send(collections.load(name) if state == "loaded" else collections.release(name))


@contextmanager
def listen() -> Iterator[list[str]]:
    """Have the path of each call written down that a client makes, once it is made."""
    heard: list[str] = []
    with ExitStack() as stack:
        for client in (Client, AsyncClient):
            stack.enter_context(patch.object(client, "send", _heard(client.send, heard)))
        yield heard


def _heard(send: Any, heard: list[str]) -> Any:
    @wraps(send)
    def noted(client: Any, call: Call[Any], **more: Any) -> Any:
        heard.append(call.path)
        return send(client, call, **more)

    return noted


def run(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """
    Run each DAG in some files once, in the order in which they stand there.

    :param jobs: ``{"path": DAG file, "given": [[COLLECTION, "indexed" or "loaded"], …]}``; before each of them the
        server is emptied and the collections are made
    """
    done = []
    with retries_at_once(), listen() as heard, MilvusHook() as hook:
        for job in jobs:
            client = hook.get_conn()
            reset(client)
            for name, state in job["given"]:
                prepare(client, name, state)
            text = Path(job["path"]).read_text()
            bag = bag_of(job["path"])
            outcome: dict[str, Any] = {"errors": [*bag.import_errors.values()], "runs": {}}
            outcome["errors"] += [str(warning) for found in bag.captured_warnings.values() for warning in found]
            for dag_id in sorted(bag.dags, key=text.find):
                heard.clear()
                with dags_folder(job["path"]):
                    run = run_one(bag.dags[dag_id], None, {})
                outcome["runs"][dag_id] = run | {
                    "types": sorted({task.task_type for task in bag.dags[dag_id].tasks}),
                    "requests": sorted(set(heard)),
                }
            done.append(outcome)
    return done
