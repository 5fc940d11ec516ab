"""Milvus Lite as an engine, with what it forgets or does otherwise put right beside it."""

from airflow_vectordb.local.engine.lite.engine import LiteEngine
from airflow_vectordb.local.engine.lite.rpc import DataInUseError

__all__ = ["DataInUseError", "LiteEngine"]
