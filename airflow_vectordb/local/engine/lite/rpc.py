"""Calls to Milvus Lite's gRPC service, without gRPC.

The servicer that Milvus Lite puts behind a gRPC port is called directly, in this process, with the same protobuf
messages. So there is no port and no socket that somebody else on the machine could talk to, past the token.
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Any

from airflow_vectordb.local.engine.lite.disk import Reserve
from airflow_vectordb.local.engine.lite.folders import collection_folder, forget_index_files, set_right
from airflow_vectordb.local.engine.lite.instances import let_go, remove
from airflow_vectordb.local.engine.lite.widening import forget_copy, write_copy
from airflow_vectordb.local.engine.messages import common_pb2
from airflow_vectordb.local.errors import ApiError, DiskError, no_space, not_here

__all__ = ["DataInUseError", "LiteRpc"]

# What Milvus Lite answers, and what Milvus does (see "codes" in its list of differences).
_CODES = {1: 65535, 4: 100, 6: 1100, 11: 700, 26: 65535, 35: 65535}
# Python's words and Arrow's.
_FAILED = re.compile(r"\[errno \d+\]", re.IGNORECASE)
_FULL = tuple(os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT))


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
    :param reserve: what is given up on a full disk, so that things can be dropped.
    :raises DataInUseError: when another process has it open.
    """

    def __init__(self, directory: Path, reserve: Reserve) -> None:
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
        self._reserve = reserve
        set_right(directory)

    def close(self) -> None:
        self._db.close()

    def let_go(self, database: str, collection: str) -> None:
        """Have a collection opened anew when it is next used, as after a crash."""
        let_go(self._db, database, collection, collection_folder(self._directory, database, collection))

    def remove(self, database: str, collection: str) -> None:
        """Remove a collection, or what there is of one, without a last write."""
        remove(self._db, database, collection, collection_folder(self._directory, database, collection))

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
        :raises ApiError: when the engine refuses, with Milvus's code for it; 7 when the disk is full.
        """
        try:
            return self._call(method, request, database)
        except DiskError:
            if not method.startswith("Drop"):
                raise
        with self._reserve.lent():
            if method != "DropCollection":
                return self._call(method, request, database)
            # It would write the rows in its log to data files first.
            self.remove(database, request.collection_name)
            return common_pb2.Status()

    def _call(self, method: str, request: Any, database: str) -> Any:
        context = _Context(database)
        try:
            response = getattr(self._servicer, method)(request, context)
        except NotImplementedError as error:
            raise not_here(f"{method}: {context.details or 'the engine has no such call'}") from error
        if context.code is not None:
            raise not_here(context.details or method)
        status = response.status if hasattr(response, "status") else response
        code = status.code or status.error_code
        if code and any(words in status.reason for words in _FULL):
            raise no_space()
        if code and _FAILED.search(status.reason):
            raise DiskError(65535, status.reason)
        if code:
            raise ApiError(_CODES.get(code, code), status.reason)
        return response
