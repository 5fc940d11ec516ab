"""Calls to Milvus Lite's gRPC service, without gRPC.

The servicer that Milvus Lite puts behind a gRPC port is called directly, in this process, with the same protobuf
messages. So there is no port and no socket that somebody else on the machine could talk to, past the token.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from airflow_vectordb.local.engine.lite.folders import collection_folder, forget_index_files, set_right
from airflow_vectordb.local.engine.lite.widening import forget_copy, write_copy
from airflow_vectordb.local.errors import ApiError, not_here

__all__ = ["DataInUseError", "LiteRpc"]

# What Milvus Lite answers, and what Milvus does (see "codes" in its list of differences).
_CODES = {1: 65535, 4: 100, 6: 1100, 11: 700, 26: 65535, 35: 65535}


class DataInUseError(Exception):
    """Another process has the data directory open."""


class _Context:
    """As much of a ``grpc.ServicerContext`` as the servicer looks at."""

    def __init__(self, database: str) -> None:
        self._metadata = (("dbname", database),)
        self.code: object = None
        self.details = ""

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata

    def set_code(self, code: object) -> None:
        self.code = code

    def set_details(self, details: str) -> None:
        self.details = details


class LiteRpc:
    """An open Milvus Lite.

    :param directory: its data directory; made when it is not there.
    :raises DataInUseError: when another process has it open.
    """

    def __init__(self, directory: Path) -> None:
        # Here, because it is slow to import; and after messages, which it would import the slow way.
        from milvus_lite.adapter.grpc.servicer import MilvusServicer
        from milvus_lite.db import MilvusLite
        from milvus_lite.exceptions import DataDirLockedError

        try:
            self._db = MilvusLite(os.fspath(directory))
        except DataDirLockedError as error:
            raise DataInUseError(os.fspath(directory)) from error
        self._servicer = MilvusServicer(self._db)
        self._directory = directory
        set_right(directory)

    def close(self) -> None:
        self._db.close()

    def write_copy(self, database: str, collection: str, copy: str, schema: Any) -> None:
        """Copy a collection, with one field more, to another of the same database.

        :param copy: its name.
        :param schema: its ``CollectionSchema`` message, the new field being the last.
        :raises ApiError: when there cannot be such a field.
        """
        folder, new = (collection_folder(self._directory, database, name) for name in (collection, copy))
        write_copy(self._db, database, collection, folder, new, schema)

    def forget_copy(self, database: str, collection: str, copy: str) -> None:
        """Remove a copy of a collection, or what was written of it."""
        forget_copy(self._db, database, collection, collection_folder(self._directory, database, copy))

    def forget_index_files(self, database: str, collection: str) -> bool:
        """Remove the files of a collection's indexes, and say whether there were any; loading makes them anew."""
        return forget_index_files(collection_folder(self._directory, database, collection))

    def __call__(self, method: str, request: Any, database: str = "") -> Any:
        """Call one method of the service.

        :param method: its name in ``milvus.proto``.
        :param request: its protobuf message.
        :param database: sent as metadata too, for the messages that have no field for it.
        :raises ApiError: when the engine refuses, with Milvus's code for it.
        """
        context = _Context(database)
        try:
            response = getattr(self._servicer, method)(request, context)
        except NotImplementedError as error:
            raise not_here(f"{method}: {context.details or 'the engine has no such call'}") from error
        if context.code is not None:
            raise not_here(context.details or method)
        status = response.status if hasattr(response, "status") else response
        code = status.code or status.error_code
        if code:
            raise ApiError(_CODES.get(code, code), status.reason)
        return response
