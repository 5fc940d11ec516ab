"""A stub of Milvus's REST API v2: one collection in memory, and a count of what it is asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

PREFIX = "/v2/vectordb/"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024
    stub: StubMilvus


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.stub.count_connection()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, answer = self.server.stub.answer(self.path.removeprefix(PREFIX), body)
        payload = json.dumps(answer).encode()
        # In one piece: two would cost a round of delayed acknowledgements.
        head = f"HTTP/1.1 {status} \r\nContent-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
        self.wfile.write(head.encode() + payload)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class StubMilvus:
    """
    Serves one collection on a loopback port, for a ``with`` block.

    :param collection: its name
    :param vectors: names of its vector fields
    :param rows: number of rows in it
    :param state: the state of every index
    :param pending: rows that wait to be indexed
    """

    def __init__(
        self,
        collection: str = "docs",
        vectors: tuple[str, ...] = ("vector",),
        *,
        rows: int = 0,
        state: str = "Finished",
        pending: int = 0,
    ) -> None:
        self.collection = collection
        self.vectors = vectors
        self.rows = rows
        self.state = state
        self.pending = pending
        self.indexes: dict[str, Mapping[str, Any]] = {}
        self.connections = 0
        self.requests: list[str] = []
        self._lock = threading.Lock()

    def __enter__(self) -> StubMilvus:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.stub = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def forget(self) -> None:
        """Count from 0 again."""
        with self._lock:
            self.connections = 0
            self.requests = []

    def count_connection(self) -> None:
        """Count one connection."""
        with self._lock:
            self.connections += 1

    def answer(self, path: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        """
        Answer a request, and count it.

        :param path: resource and action, as ``indexes/create``
        :param body: the JSON object
        :return: HTTP status, JSON object
        """
        with self._lock:
            self.requests.append(path)
            if body.get("collectionName") != self.collection:
                return 200, {"code": 100, "message": "can't find collection"}
            match path:
                case "collections/describe":
                    return 200, {"code": 0, "data": self._collection()}
                case "collections/get_stats":
                    return 200, {"code": 0, "data": {"rowCount": self.rows}}
                case "collections/flush":
                    return 200, {"code": 0, "data": {}}
                case "indexes/list":
                    return 200, {"code": 0, "data": list(self.indexes)}
                case "indexes/create":
                    self.indexes.update({spec["indexName"]: spec for spec in body["indexParams"]})
                    return 200, {"code": 0, "data": {}}
                case "indexes/describe":
                    if body["indexName"] not in self.indexes:
                        return 200, {"code": 700, "message": "index not found"}
                    return 200, {"code": 0, "data": [self._index(self.indexes[body["indexName"]])]}
        return 404, {"code": 404, "message": f"the stub has no {path}"}

    def _collection(self) -> dict[str, Any]:
        key = {"name": "id", "type": "Int64", "primaryKey": True, "autoId": False}
        params = [{"key": "dim", "value": "768"}]
        fields = [key, *({"name": name, "type": "FloatVector", "params": params} for name in self.vectors)]
        return {"collectionName": self.collection, "fields": fields, "load": "LoadStateNotLoad", "functions": []}

    def _index(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "indexName": spec["indexName"],
            "fieldName": spec["fieldName"],
            "indexType": spec["indexType"],
            "metricType": spec["metricType"],
            "indexState": self.state,
            "totalRows": self.rows,
            "indexedRows": self.rows - self.pending,
            "pendingRows": self.pending,
            "failReason": "",
            "indexParams": [{"key": key, "value": str(value)} for key, value in spec["params"].items()],
        }


__all__ = ["StubMilvus"]
