"""What names or describes something is templated, in every operator and sensor; numbers and switches are not."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from typing import Any

import pytest

import airflow_vectordb.operators
import airflow_vectordb.sensors
from airflow_vectordb.mixins import MilvusTaskMixin

EVERYWHERE = ("milvus_conn_id", "database")
#: Beside those. The order is the one in which Airflow shows them.
TEMPLATED = {
    "CreateCollectionOperator": ("collection_name", "schema", "dimension", "index_params", "properties"),
    "DropCollectionOperator": ("collection_name",),
    "VerifyCollectionOperator": ("collection_name", "min_rows", "max_rows", "queries", "anns_field"),
    "CreateIndexOperator": ("collection_name", "index_params", "min_rows"),
    "DropIndexOperator": ("collection_name", "index_name"),
    "LoadCollectionOperator": ("collection_name", "partition_names"),
    "ReleaseCollectionOperator": ("collection_name", "partition_names"),
    "SwitchAliasOperator": ("alias", "collection_name", "min_rows"),
    "IngestOperator": (
        "collection_name",
        "rows",
        "source",
        "source_conn_id",
        "field_mapping",
        "key_field",
        "replace_documents",
        "documents",
        "bad_rows_path",
        "min_rows",
        "partition_name",
    ),
    "DeleteOperator": ("collection_name", "filter", "filter_params", "ids", "partition_name"),
    "ImportOperator": (
        "collection_name",
        "files",
        "rows",
        "source",
        "source_conn_id",
        "stage_to",
        "stage_conn_id",
        "files_prefix",
        "field_mapping",
        "bad_rows_path",
        "partition_name",
        "options",
    ),
    "IndexSensor": ("collection_name", "index_name", "min_rows"),
    "CollectionLoadSensor": ("collection_name", "partition_names"),
    "ImportSensor": ("job_id", "collection_name"),
}
#: Numbers, and choices that are checked when the DAG file is parsed.
NOT_TEMPLATED = {
    "allow_missing",
    "allow_unknown",
    "alter",
    "batch_bytes",
    "batch_rows",
    "check",
    "check_loaded",
    "deferrable",
    "drop_aliases",
    "dry_run",
    "flush",
    "if_exists",
    "if_missing",
    "k",
    "keep_staged",
    "max_bad_rows",
    "max_in_flight",
    "min_recall",
    "mode",
    "on_bad_row",
    "part_bytes",
    "poke_interval",
    "poll_interval",
    "sample",
    "search_params",
    "strict",
    "timeout",
    "wait_for_completion",
}
#: What goes with having all templated arguments.
REQUIRED: dict[str, dict[str, Any]] = {
    "CreateCollectionOperator": {"dimension": None},
    "IngestOperator": {"source": None, "on_bad_row": "skip"},
    "DeleteOperator": {"ids": None},
    "ImportOperator": {"files": None, "source": None, "on_bad_row": "skip"},
}
HNSW = {"fieldName": "{{ field }}", "indexType": "HNSW", "params": {"M": "{{ M }}", "efConstruction": 200}}
RENDERED = {"fieldName": "vector", "indexType": "HNSW", "params": {"M": "16", "efConstruction": 200}}


def kinds() -> list[type[Any]]:
    """Find all operators and sensors that a DAG can use: those on which no other is built."""
    found = [
        kind
        for package in (airflow_vectordb.operators, airflow_vectordb.sensors)
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
        for kind in vars(importlib.import_module(module.name)).values()
        if isinstance(kind, type) and issubclass(kind, MilvusTaskMixin)
    ]
    return [kind for kind in found if not any(other is not kind and issubclass(other, kind) for other in found)]


KINDS = {kind.__name__: kind for kind in kinds()}


def arguments(kind: type[Any]) -> set[str]:
    """List what the classes of this provider add to Airflow's arguments."""
    ours = [base for base in kind.__mro__ if base.__module__.startswith("airflow_vectordb.")]
    parameters = [p for base in ours if "__init__" in vars(base) for p in inspect.signature(base).parameters.values()]
    return {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}


def test_the_table_is_complete() -> None:
    assert set(KINDS) == set(TEMPLATED)


@pytest.mark.parametrize("name", KINDS)
def test_what_is_templated(name: str) -> None:
    kind = KINDS[name]
    assert tuple(kind.template_fields) == (*EVERYWHERE, *TEMPLATED[name])
    # Whoever adds an argument has to say which of the two it is.
    assert arguments(kind) - set(kind.template_fields) <= NOT_TEMPLATED
    assert not NOT_TEMPLATED & set(kind.template_fields)
    assert set(kind.template_fields) <= arguments(kind)


@pytest.mark.parametrize("name", KINDS)
def test_it_is_rendered(name: str) -> None:
    kind = KINDS[name]
    values: dict[str, Any] = {field: f"{{{{ prefix }}}}_{field}" for field in kind.template_fields}
    expected: dict[str, Any] = {field: f"the_{field}" for field in kind.template_fields}
    if "partition_names" in values:
        values["partition_names"], expected["partition_names"] = ["{{ prefix }}_a", "b"], ["the_a", "b"]
    if "index_params" in values:
        values["index_params"], expected["index_params"] = [HNSW], [RENDERED]
    if name == "IndexSensor":
        values["index_name"], expected["index_name"] = ["{{ prefix }}_a", "b"], ["the_a", "b"]
    required = REQUIRED.get(name, {})
    expected |= {field: value for field, value in required.items() if field in expected}
    task = kind(task_id="t", **{**values, **required})

    task.render_template_fields({"prefix": "the", "field": "vector", "M": 16})

    assert {field: getattr(task, field) for field in kind.template_fields} == expected


@pytest.mark.parametrize(
    ("given", "shown"),
    [(HNSW, RENDERED), ([HNSW, "{{ M }}"], [RENDERED, "16"]), (json.dumps(HNSW), json.dumps(RENDERED))],
    ids=["dict", "list", "str"],
)
def test_index_parameters_are_shown_as_json(given: Any, shown: Any) -> None:
    from airflow.models.renderedtifields import get_serialized_template_fields

    from airflow_vectordb.operators.index import CreateIndexOperator

    task = CreateIndexOperator(task_id="t", collection_name="docs", index_params=given)
    task.render_template_fields({"field": "vector", "M": 16})

    fields = get_serialized_template_fields(task)  # type: ignore[arg-type]

    assert task.template_fields_renderers["index_params"] == "json"
    assert fields["index_params"] == shown
    assert json.loads(json.dumps(fields)) == fields


@pytest.mark.parametrize("name", KINDS)
def test_what_renders_differently_is_templated(name: str) -> None:
    kind = KINDS[name]
    assert set(kind.template_fields_renderers) <= set(kind.template_fields)
