"""Any Milvus that speaks gRPC as an engine: what it does and knows itself is asked of it, nothing is kept beside it."""

from airflow_vectordb.local.engine.remote.engine import RemoteEngine
from airflow_vectordb.local.engine.remote.rpc import Target

__all__ = ["RemoteEngine", "Target"]
