"""What the parts of the remote engine share: the connection, and what the Milvus behind it is too old for."""

from __future__ import annotations

import re
from typing import Any

from airflow_vectordb.local.engine.messages import milvus_pb2
from airflow_vectordb.local.engine.remote.rpc import RemoteRpc
from airflow_vectordb.local.errors import ApiError, collection_not_found, database_not_found, not_there

Version = tuple[int, int]


class Backend:
    """A Milvus."""

    def __init__(self, rpc: RemoteRpc) -> None:
        self._rpc = rpc

    def call(self, method: str, **fields: Any) -> Any:
        """Call the Milvus.

        :param method: its name in ``milvus.proto``.
        """
        return self.send(method, getattr(milvus_pb2, f"{method}Request")(**fields))

    def send(self, method: str, request: Any) -> Any:
        return self._rpc(method, request)

    def call_in(self, database: str, method: str, **fields: Any) -> Any:
        """Call the Milvus; where it knows no such collection, make sure that it knows the database.

        :raises ApiError: 800 rather than 100 where it does not; both in words that are the same for all versions.
        """
        try:
            return self.call(method, db_name=database, **fields)
        except ApiError as error:
            if error.code == 800:
                raise database_not_found(database) from None
            if error.code != 100:
                raise
            self.check_database(database)
            (collection,) = fields.get("collection_names") or [fields["collection_name"]]
            raise collection_not_found(database, collection) from None

    def drop(self, method: str, missing: int, **fields: Any) -> None:
        """Drop something; dropping what does not exist is a no-op.

        :param missing: the code of what does not exist.
        """
        try:
            self.call(method, **fields)
        except ApiError as error:
            if error.code != missing:
                raise

    def require(self, wanted: dict[str, Version]) -> None:
        """Refuse what the Milvus is too old for: it would ignore a field of a message that it does not know.

        :param wanted: what is asked for, and the version that it came with.
        :raises ApiError: 10, naming it.
        """
        if not wanted:
            return
        name, version = self.version()
        lacking = [what for what, since in wanted.items() if version < since]
        if lacking:
            raise not_there(f"{', '.join(lacking)}: {name} has no such thing")

    def version(self) -> tuple[str, Version]:
        """Return what the Milvus calls itself, and its version."""
        name = self._rpc.name()
        match = re.match(r"Milvus v?(\d+)\.(\d+)", name)
        # One that does not state its version is taken for a new one.
        return name, (int(match[1]), int(match[2])) if match else (9999, 0)

    def databases(self) -> list[str]:
        return list(self.call("ListDatabases").db_names)

    def check_database(self, database: str) -> None:
        """Refuse a database that does not exist: a Milvus then says that the *collection* does not, or nothing.

        :raises ApiError: 800.
        """
        if database != "default" and database not in self.databases():
            raise database_not_found(database)

    def described(self, database: str, collection: str) -> Any:
        return self.call_in(database, "DescribeCollection", collection_name=collection)


class Part:
    """A part of the engine."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
