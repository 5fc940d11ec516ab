"""Calls to a Milvus over gRPC, with the caller's credentials and deadline."""

from __future__ import annotations

import base64
import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
from google.protobuf.message_factory import GetMessageClass

from airflow_vectordb.local.engine.caller import CREDENTIALS, remaining
from airflow_vectordb.local.engine.messages import milvus_pb2
from airflow_vectordb.local.engine.remote.codes import read_status
from airflow_vectordb.local.errors import ApiError, not_there, time_out

_SERVICE = milvus_pb2.DESCRIPTOR.services_by_name["MilvusService"]
ROOTS_VARIABLE = "AIRFLOW_VECTORDB_BACKEND_CA"
"""The environment variable with the path of a PEM file: what to trust when the Milvus speaks TLS."""

_OPTIONS = [
    # The limits are the server's business; 64 MiB of JSON come to less as messages.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # A Milvus that was restarted is found again soon, not after the two minutes that gRPC would come to.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]


@dataclass(frozen=True)
class Target:
    """Where a Milvus listens.

    :param address: ``host:port``.
    :param secure: whether it speaks TLS.
    :param roots: certificates in PEM that vouch for it; None for those that gRPC comes with.
    """

    address: str
    secure: bool
    roots: bytes | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, uri: str) -> Target:
        """Read ``http://host:port``, ``https://host:port`` or ``host:port``; the port is 19530 unless it is given.

        :raises ValueError: when it is none of these; credentials are the callers' and do not belong into it. Also when
            the file that ``AIRFLOW_VECTORDB_BACKEND_CA`` names cannot be read.
        """
        wanted = "a backend is http://host:port or https://host:port"
        parts = urlsplit(uri if "://" in uri else f"http://{uri}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{wanted}, not {parts.scheme}://{parts.hostname or ''}")
        if parts.username is not None or parts.password is not None:
            raise ValueError(f"{wanted}, without credentials: callers send theirs, and they are passed on")
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError(f"{wanted}, with nothing after it")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        secure = parts.scheme == "https"
        # What port raises names no more than the port.
        return cls(f"{host}:{parts.port or 19530}", secure, _roots() if secure else None)


def _roots() -> bytes | None:
    path = os.environ.get(ROOTS_VARIABLE)
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{ROOTS_VARIABLE} names a file that cannot be read: {error.strerror}") from error


class RemoteRpc:
    """One connection to a Milvus, for all callers; it is made when it is first needed, and again when it broke."""

    def __init__(self, target: Target) -> None:
        self._target = target
        if target.secure:
            self._channel = grpc.secure_channel(target.address, grpc.ssl_channel_credentials(target.roots), _OPTIONS)
        else:
            self._channel = grpc.insecure_channel(target.address, _OPTIONS)
        self._methods: dict[str, Any] = {}

    def close(self) -> None:
        self._channel.close()

    def __call__(self, method: str, request: Any) -> Any:
        """Call one method of the service, as the caller.

        :param method: its name in ``milvus.proto``.
        :raises ApiError: when the call fails, with Milvus's code for it.
        """
        credentials = CREDENTIALS.get()
        metadata = [("authorization", base64.b64encode(credentials).decode())] if credentials else []
        left = remaining()
        try:
            answer = self._method(method)(request, metadata=metadata, timeout=None if left == float("inf") else left)
        except grpc.RpcError as error:
            raise self._failure(method, error) from error
        refused = read_status(answer.status if hasattr(answer, "status") else answer)
        if refused is not None:
            raise refused
        return answer

    def name(self) -> str:
        """Return what the engine calls itself, and its version: ``Milvus v2.3.5``."""
        version: str = self("GetVersion", milvus_pb2.GetVersionRequest()).version
        return version if version[:1].isalpha() and version[:1] != "v" else f"Milvus {version}".rstrip()

    def _name_or_none(self, lacking: str) -> str:
        if lacking != "GetVersion":
            with contextlib.suppress(ApiError):
                return self.name()
        return "the engine"

    def _method(self, name: str) -> Any:
        found = self._methods.get(name)
        if found is None:
            described = _SERVICE.methods_by_name[name]
            found = self._methods[name] = self._channel.unary_unary(
                f"/{_SERVICE.full_name}/{name}",
                request_serializer=GetMessageClass(described.input_type).SerializeToString,
                response_deserializer=GetMessageClass(described.output_type).FromString,
            )
        return found

    def _failure(self, method: str, error: Any) -> ApiError:
        status, details = error.code(), error.details() or ""
        if status is grpc.StatusCode.UNAUTHENTICATED:
            return ApiError(1800, f"user hasn't authenticated: {details}", http_status=401)
        if status is grpc.StatusCode.PERMISSION_DENIED:
            # Not 1401, Milvus's code for it: its REST API hands the error of gRPC on, which has none.
            return ApiError(65535, f"rpc error: code = PermissionDenied desc = {details}", http_status=403)
        if status is grpc.StatusCode.DEADLINE_EXCEEDED:
            return time_out()
        if status is grpc.StatusCode.UNIMPLEMENTED:
            return not_there(f"{method}: {self._name_or_none(method)} has no such call")
        if status is grpc.StatusCode.UNAVAILABLE:
            where = self._target.address
            return ApiError(2, f"service unavailable: no Milvus answers at {where}: {details}", http_status=503)
        if status is grpc.StatusCode.RESOURCE_EXHAUSTED:
            # Said of messages that are too large, and by proxies of callers that are too many.
            return ApiError(1102 if "larger than max" in details else 8, f"{method}: {details}")
        return ApiError(65535, f"{method}: {status.name}: {details}")
