"""What stands between tasks and a Milvus, sees every answer, and can keep it from the process that asked."""

from __future__ import annotations

import http.client
import json
import os
from abc import abstractmethod
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any

#: The replacement of an index, step -> path.
STEPS = {
    "release": "collections/release",
    "drop": "indexes/drop",
    "create": "indexes/create",
    "load": "collections/load",
}


class WatchedMilvus(ThreadingHTTPServer):
    """
    The proxy, at a free port while the ``with`` block lasts.

    :param port: the server's
    """

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = port
        self._thread = Thread(target=self.serve_forever)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @abstractmethod
    def answered(self, path: str, body: dict[str, Any], peer: int) -> bool:
        """
        Is called when the server has done what it was asked for, in a thread of the request.

        :param path: as ``collections/load``
        :param peer: port of whoever asked, for :meth:`owner_of`
        :return: whether the answer is passed on; if not, the connection is closed
        """

    def owner_of(self, peer: int) -> int:
        """Find the process that has the connection from a port of this machine to this proxy."""
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            ends = [int(fields[at].rpartition(":")[2], 16) for at in (1, 2)]
            if ends == [peer, self.port]:
                socket = f"socket:[{fields[9]}]"
                for entry in Path("/proc").iterdir():
                    if entry.name.isdigit() and int(entry.name) != os.getpid() and _has(entry, socket):
                        return int(entry.name)
        raise LookupError(f"nobody on this machine has the connection from {peer} to {self.port}")

    def __enter__(self) -> Any:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WatchedMilvus

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=60)
        try:
            upstream.request("POST", self.path, body, dict(self.headers))
            response = upstream.getresponse()
            answer = response.read()
        finally:
            upstream.close()
        path = self.path.removeprefix("/v2/vectordb/")
        if not self.server.answered(path, json.loads(body), self.client_address[1]):
            self.close_connection = True
            return
        with suppress(ConnectionError):  # whoever asked may be dead by now
            self.send_response(response.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


def _has(process: Path, socket: str) -> bool:
    try:
        return any(os.readlink(fd) == socket for fd in (process / "fd").iterdir())
    except OSError:  # it has ended, or is not ours
        return False


__all__ = ["WatchedMilvus"]
