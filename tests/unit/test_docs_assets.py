"""docs/assets.md: what its consumers make of events, as Airflow hands them over."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from airflow.sdk import Asset, AssetAlias
from airflow.sdk.execution_time.comms import AssetEventDagRunReferenceResult
from airflow.sdk.execution_time.context import TriggeringAssetEventsAccessor

from airflow_vectordb.assets import milvus_asset
from tests.support.docs_pages import ROOT, blocks_of


def consumer(dag_id: str) -> Any:
    """Find the function of the task ``use`` of a DAG on the page."""
    (block,) = [one for one in blocks_of(ROOT / "docs" / "assets.md") if f'DAG("{dag_id}"' in one.code]
    names: dict[str, Any] = {}
    exec(block.code, names)
    return names["use"].function


def event(asset: Asset, collections: list[str], *aliases: AssetAlias) -> AssetEventDagRunReferenceResult:
    """Make an event as Airflow's API server sends it."""
    return AssetEventDagRunReferenceResult.model_validate(
        {
            "asset": {"name": asset.name, "uri": asset.uri, "extra": {}},
            "extra": {"indexes": [{"collection_name": name, "index_type": "HNSW"} for name in collections]},
            "source_task_id": "index",
            "source_dag_id": "producer",
            "source_run_id": "run",
            "source_map_index": -1,
            "source_aliases": [{"name": alias.name} for alias in aliases],
            "timestamp": datetime(2026, 11, 22, tzinfo=timezone.utc),
        }
    )


INDEXED = AssetAlias("indexed_docs")
DOCS = milvus_asset("docs", host="milvus.example.com")


@pytest.mark.parametrize(
    ("dag_id", "events", "used"),
    [
        (
            "after_any_language",
            [event(milvus_asset(name), [name], INDEXED) for name in ("docs_fr", "docs_de")],
            ["docs_de", "docs_fr"],
        ),
        ("after_any_language", [event(milvus_asset("docs_de"), ["docs_de"], INDEXED)], ["docs_de"]),
        (
            "after_all_languages",
            [event(Asset("all_languages_indexed"), ["docs_de", "docs_fr"])],
            ["docs_de", "docs_fr"],
        ),
        ("after_docs", [event(DOCS, ["docs"])], ["HNSW"]),
        *((dag_id, [], []) for dag_id in ("after_any_language", "after_all_languages", "after_docs")),
    ],
)
def test_each_event_counts_once(dag_id: str, events: list[Any], used: list[str]) -> None:
    assert consumer(dag_id)(triggering_asset_events=TriggeringAssetEventsAccessor.build(events)) == used
