"""Milvus Lite behind gRPC on a loopback port, counting what it is asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc  # type: ignore[import-untyped]


class Counter(grpc.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Counts the calls that arrive, and the connections that they come over."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self._peers: set[str] = set()
        self._lock = threading.Lock()

    @property
    def connections(self) -> int:
        """Number of connections that calls have come over: their other ends differ."""
        return len(self._peers)

    def forget(self) -> None:
        """Count from 0 again."""
        with self._lock:
            self.requests, self._peers = [], set()

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Wrap a handler, as grpc wants it."""
        handler = continuation(handler_call_details)
        method = handler_call_details.method.rpartition("/")[2]
        if handler is None or handler.unary_unary is None:
            raise NotImplementedError(f"{method} cannot be counted")

        def count(request: Any, context: Any) -> Any:
            with self._lock:
                self.requests.append(method)
                self._peers.add(context.peer())
            return handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(count, handler.request_deserializer, handler.response_serializer)


@contextmanager
def milvus_lite(directory: str) -> Iterator[tuple[str, Counter]]:
    """
    Serve for a ``with`` block.

    :param directory: an empty directory, for its data
    :return: its URL, and the counter
    """
    from milvus_lite.adapter.grpc.servicer import MilvusServicer
    from milvus_lite.db import MilvusLite
    from pymilvus.grpc_gen import milvus_pb2_grpc

    counter = Counter()
    database = MilvusLite(directory)
    server = grpc.server(ThreadPoolExecutor(max_workers=4), interceptors=[counter])
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(MilvusServicer(database), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}", counter
    finally:
        server.stop(grace=2).wait()
        database.close()


__all__ = ["Counter", "milvus_lite"]
