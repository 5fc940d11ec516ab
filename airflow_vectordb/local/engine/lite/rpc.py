"""Calls to Milvus Lite's gRPC service, without gRPC.

The servicer that Milvus Lite puts behind a gRPC port is called directly, in this process, with the same protobuf
messages. So there is no port and no socket that another user of the machine could talk to, past the token.
"""

from __future__ import annotations

import errno
import os
import re
from typing import Any

from airflow_vectordb.local.engine.lite.disk import Reserve
from airflow_vectordb.local.engine.lite.milvus_lite_internals import MilvusLiteInternals
from airflow_vectordb.local.engine.messages import common_pb2, milvus_pb2
from airflow_vectordb.local.errors import ApiError, DiskError, no_space, not_here

# What Milvus Lite answers, and what Milvus does (see "codes" in its list of differences).
_CODES = {1: 65535, 4: 100, 6: 1100, 11: 700, 26: 65535, 35: 65535}
# Python's words and Arrow's.
_FAILED = re.compile(r"\[errno \d+\]", re.IGNORECASE)
_FULL = tuple(os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT))


class _Context:
    """As much of a ``grpc.ServicerContext`` as the servicer uses."""

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
    """The service of an open Milvus Lite.

    :param reserve: what is given up on a full disk, so that things can be dropped.
    """

    def __init__(self, internals: MilvusLiteInternals, reserve: Reserve) -> None:
        self._internals = internals
        self._reserve = reserve

    def __call__(self, method: str, database: str = "", **fields: Any) -> Any:
        """Call one method of the service.

        :param method: its name in ``milvus.proto``.
        :param database: sent as metadata too, for the messages that have no field for it.
        :raises ApiError: when the engine refuses, with Milvus's code for it; 7 when the disk is full.
        """
        return self.send(method, getattr(milvus_pb2, f"{method}Request")(db_name=database, **fields), database)

    def send(self, method: str, request: Any, database: str) -> Any:
        """Call one method of the service with a request that exists already; see :meth:`__call__`."""
        try:
            return self._send(method, request, database)
        except DiskError:
            if not method.startswith("Drop"):
                raise
        with self._reserve.lent():
            if method != "DropCollection":
                return self._send(method, request, database)
            # It would write the rows in its log to data files first.
            self._internals.remove(database, request.collection_name)
            return common_pb2.Status()

    def _send(self, method: str, request: Any, database: str) -> Any:
        context = _Context(database)
        try:
            response = getattr(self._internals.service, method)(request, context)
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
