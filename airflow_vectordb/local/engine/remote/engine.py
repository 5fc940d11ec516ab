"""A Milvus as a whole engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_vectordb.local.engine.base import Engine
from airflow_vectordb.local.engine.remote.databases import Aliases, Databases
from airflow_vectordb.local.engine.remote.entities import Entities
from airflow_vectordb.local.engine.remote.indexes import Indexes
from airflow_vectordb.local.engine.remote.partitions import Partitions
from airflow_vectordb.local.engine.remote.rpc import RemoteRpc, Target
from airflow_vectordb.local.errors import not_there

__all__ = ["RemoteEngine"]


class RemoteEngine(Databases, Aliases, Indexes, Partitions, Entities):
    """A Milvus over gRPC. It need not be there yet, and may go and come back: each call says how it finds it.

    :param target: where it listens.
    """

    def __init__(self, target: Target) -> None:
        super().__init__(RemoteRpc(target))

    def close(self, timeout: float) -> None:
        """Let go of the connection. What the Milvus acknowledged is the Milvus's to keep."""
        self._rpc.close()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """What engines can and this one cannot have done: refused by name, when it is called."""
        if name.startswith("_") or not hasattr(Engine, name):
            raise AttributeError(name)

        def refuse(*arguments: object, **named: object) -> Any:
            raise not_there(name)

        return refuse
