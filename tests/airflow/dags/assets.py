"""Producers whose tasks have assets of Milvus as outlets, and consumers that are scheduled on nothing else."""

from __future__ import annotations

from typing import Any

from airflow.providers.openlineage.utils.selective_enable import enable_lineage
from airflow.sdk import DAG, AssetAlias, task

from airflow_vectordb.assets import milvus_asset
from airflow_vectordb.operators.index import CreateIndexOperator

HNSW = {"fieldName": "vector", "metricType": "COSINE", "indexType": "HNSW", "params": {"M": 16, "efConstruction": 200}}
DOCS = milvus_asset("producing_index", host="milvus.example.com")
BROKEN = milvus_asset("failing_index", host="milvus.example.com")
MADE = AssetAlias("made")


def create(task_id: str, **options: Any) -> CreateIndexOperator:
    """Create an index, with short pauses, on a collection named DAG_TASK."""
    return CreateIndexOperator(
        task_id=task_id,
        collection_name="{{ dag.dag_id }}_{{ task.task_id }}",
        index_params=HNSW,
        poll_interval=0.5,
        **options,
    )


@task
def read(triggering_asset_events: Any) -> dict[str, list[Any]]:
    """Return what the events tell, by the asset's URI or the alias's name."""
    return {
        getattr(asset, "uri", None) or asset.name: [event.extra for event in events]
        for asset, events in triggering_asset_events.items()
    }


with DAG("producing", schedule=None) as producing:
    create("index", deferrable=True, outlets=[DOCS])
    create("aliased", deferrable=False, outlets=[MADE])
    create("alone", deferrable=False)
enable_lineage(producing)

with DAG("failing", schedule=None):
    create("index", deferrable=True, outlets=[BROKEN])

with DAG("consuming", schedule=[DOCS]):
    read()

with DAG("consuming_alias", schedule=[MADE]):
    read()

with DAG("never", schedule=[BROKEN]):
    read()
