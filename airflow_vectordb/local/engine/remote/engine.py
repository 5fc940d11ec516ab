"""A Milvus as a whole engine."""

from __future__ import annotations

from airflow_vectordb.local.engine.remote.alterations import Alterations
from airflow_vectordb.local.engine.remote.databases import Aliases, Databases
from airflow_vectordb.local.engine.remote.entities import Entities
from airflow_vectordb.local.engine.remote.imports import Imports
from airflow_vectordb.local.engine.remote.indexes import Indexes
from airflow_vectordb.local.engine.remote.partitions import Partitions
from airflow_vectordb.local.engine.remote.rpc import RemoteRpc, Target

__all__ = ["RemoteEngine"]


class RemoteEngine(Databases, Aliases, Alterations, Indexes, Partitions, Entities, Imports):
    """A Milvus over gRPC. It need not be there yet, and may go and come back: each call says how it finds it.

    :param target: where it listens.
    """

    def __init__(self, target: Target) -> None:
        super().__init__(RemoteRpc(target))

    def close(self, timeout: float) -> None:
        """Let go of the connection. What the Milvus acknowledged is the Milvus's to keep."""
        self._rpc.close()
