"""Sensors, with arguments that a test does not care about."""

from __future__ import annotations

from typing import Any

from airflow_vectordb.sensors.milvus import CollectionLoadSensor, IndexSensor


def index_sensor(**arguments: Any) -> IndexSensor:
    """Make one for an index."""
    return IndexSensor(**{"task_id": "wait", "collection_name": "docs", "index_name": "vector", **arguments})


def load_sensor(**arguments: Any) -> CollectionLoadSensor:
    """Make one for a load."""
    return CollectionLoadSensor(**{"task_id": "wait", "collection_name": "docs", **arguments})
