"""Milvus Lite behind a gRPC port, as a Milvus newer than 2.3.5 to be put behind ``--backend``; and what it was sent."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from milvus_lite.adapter.grpc.servicer import MilvusServicer
from milvus_lite.db import MilvusLite
from pymilvus.grpc_gen import milvus_pb2_grpc


@dataclass(frozen=True)
class Sent:
    """A message that the engine received.

    :param caller: what the caller authenticated with; the engine itself has no users.
    """

    method: str
    request: Any
    caller: str


class _Recorder(grpc.ServerInterceptor):  # type: ignore[misc] # grpc has no types
    def __init__(self) -> None:
        self.sent: list[Sent] = []

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        handler = continuation(details)
        if handler is None:
            return None
        method = details.method.rsplit("/", 1)[-1]
        metadata = dict(details.invocation_metadata)

        def handle(request: Any, context: Any) -> Any:
            caller = base64.b64decode(metadata.get("authorization", "")).decode()
            self.sent.append(Sent(method, request, caller))
            return handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(
            handle, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
        )


class LiteEngine:
    """A running engine.

    :param port: of 127.0.0.1.
    :param sent: all messages that it received so far.
    """

    def __init__(self, port: int, sent: list[Sent]) -> None:
        self.port = port
        self.sent = sent

    def last(self, method: str) -> Sent:
        """The last message to one method."""
        return next(one for one in reversed(self.sent) if one.method == method)


@contextlib.contextmanager
def lite_engine(directory: Path, credentials: grpc.ServerCredentials | None = None) -> Iterator[LiteEngine]:
    """Run one on a free port of this machine.

    :param directory: its data.
    :param credentials: to speak TLS with.
    """
    database = MilvusLite(str(directory))
    recorder = _Recorder()
    server = grpc.server(ThreadPoolExecutor(10), interceptors=[recorder])
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(MilvusServicer(database), server)
    address = "127.0.0.1:0"
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    server.start()
    try:
        yield LiteEngine(port, recorder.sent)
    finally:
        server.stop(grace=1).wait()
        database.close()
