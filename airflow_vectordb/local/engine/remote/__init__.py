"""Any Milvus as an engine, over gRPC."""

from airflow_vectordb.local.engine.remote.engine import remote_engine
from airflow_vectordb.local.engine.remote.rpc import Target

__all__ = ["Target", "remote_engine"]
