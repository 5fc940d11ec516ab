"""Calls to Milvus Lite's gRPC service, without gRPC.

The servicer that Milvus Lite puts behind a gRPC port is called directly, in this process, with the same protobuf
messages. So there is no port and no socket that somebody else on the machine could talk to, past the token.
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import Any

from airflow_vectordb.local.errors import ApiError, not_here

__all__ = ["DataInUseError", "LiteRpc"]

_log = logging.getLogger(__name__)

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
        _sweep(directory)

    def close(self) -> None:
        self._db.close()

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


def _sweep(directory: Path) -> None:
    """Remove what is left of collections whose creation or dropping was cut short.

    Milvus Lite neither lists a folder without a schema nor lets a collection of that name be created again.
    """
    roots = [directory / "collections", *(directory / "databases").glob("*/collections")]
    for root in roots:
        for folder in root.iterdir() if root.is_dir() else ():
            if folder.is_dir() and not (folder / "schema.json").exists():
                _log.warning("removing the remains of an unfinished collection: %s", folder)
                shutil.rmtree(folder)
