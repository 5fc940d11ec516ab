"""Milvus Lite as an engine, with what it forgets or does otherwise than Milvus corrected beside it."""

from airflow_vectordb.local.engine.lite.engine import lite_engine
from airflow_vectordb.local.engine.lite.milvus_lite_internals import DataInUseError, MilvusLiteChangedError

__all__ = ["DataInUseError", "MilvusLiteChangedError", "lite_engine"]
