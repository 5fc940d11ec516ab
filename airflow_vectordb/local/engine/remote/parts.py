"""What the parts of the remote engine share: the connection, and what the Milvus behind it is too old for."""

from __future__ import annotations

import re

from airflow_vectordb.local.engine.messages import milvus_pb2
from airflow_vectordb.local.engine.remote.rpc import RemoteRpc
from airflow_vectordb.local.errors import ApiError, database_not_found, not_there

__all__ = ["Parts", "Version"]

Version = tuple[int, int]


class Parts:
    """Access to the Milvus.

    :param rpc: the connection to it.
    """

    def __init__(self, rpc: RemoteRpc) -> None:
        self._rpc = rpc

    def _need(self, wanted: dict[str, Version]) -> None:
        """Refuse what the Milvus is too old for: a field of a message that it does not know it would ignore.

        :param wanted: what is asked for, and the version that it came with.
        :raises ApiError: 10, naming it.
        """
        if not wanted:
            return
        name, there = self._version()
        lacking = [what for what, since in wanted.items() if there < since]
        if lacking:
            raise not_there(f"{', '.join(lacking)}: {name} has no such thing")

    def _version(self) -> tuple[str, Version]:
        """What the Milvus calls itself, and the version that it is of."""
        name = self._rpc.name()
        match = re.match(r"Milvus v?(\d+)\.(\d+)", name)
        # One that does not say its number is taken for a new one.
        return name, (int(match[1]), int(match[2])) if match else (9999, 0)

    def _names_of_databases(self) -> list[str]:
        return list(self._rpc("ListDatabases", milvus_pb2.ListDatabasesRequest()).db_names)

    def _check_database(self, database: str) -> None:
        """:raises ApiError: 800 when it is not there; a Milvus then says that the *collection* is not, or nothing."""
        if database != "default" and database not in self._names_of_databases():
            raise database_not_found(database)

    def _in_database(self, method: str, request: object, database: str) -> object:
        """Call the Milvus; when it knows no such collection, tell whether it knows the database."""
        try:
            return self._rpc(method, request)
        except ApiError as error:
            if error.code == 100:
                self._check_database(database)
            raise
