"""An object storage that speaks S3 (moto's), on a port of this machine, which tells what it was asked for."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from moto.moto_api._internal import moto_api_backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

BUCKET, KEY, SECRET = "milvus-bucket", "AKIAOFATEST", "s3cret-of-a-test"
Fails = Callable[[str, str], "tuple[str, str] | None"]
Reply = Callable[[str, list[tuple[str, str]]], Any]


class S3Server:
    """
    The server, with one bucket.

    ``asked`` is what it was asked for: method, path with query, and the bytes of the answer's body. ``fails`` decides
    by method and path whether to answer with a status and an error code of S3's instead.

    :param socket: path of a Unix socket where it answers, too; None: there is none
    """

    def __init__(self, socket: Path | None = None) -> None:
        self.socket = socket
        self.asked: list[tuple[str, str, int]] = []
        self.fails: Fails = lambda method, path: None
        self._app = DomainDispatcherApplication(create_backend_app)
        hosts = ["127.0.0.1", *([f"unix://{socket}"] if socket else [])]
        self._servers = [make_server(host, 0, self._answer, threaded=True, request_handler=_Quiet) for host in hosts]
        self._threads = [
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}) for server in self._servers
        ]
        for thread in self._threads:
            thread.start()
        self.uri = f"http://127.0.0.1:{self._servers[0].server_port}"
        self.client = boto3.client("s3", endpoint_url=self.uri, **_credentials(), region_name="us-east-1")
        self.client.create_bucket(Bucket=BUCKET)

    def _answer(self, environ: dict[str, Any], start_response: Reply) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        path = environ["PATH_INFO"] + (f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else "")
        if failure := self.fails(method, path):
            status, code = failure
            body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
            body = body if method != "HEAD" else b""
            start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
            return [body]
        body = b"".join(self._app(environ, start_response))
        self.asked.append((method, path, len(body)))
        return [body]

    def connection(self, **more: Any) -> str:
        """Return an Airflow connection to it, for an environment variable."""
        extra = {"endpoint_url": self.uri, "region_name": "us-east-1", **more.pop("extra", {})}
        return json.dumps({"conn_type": "aws", "login": KEY, "password": SECRET, "extra": extra, **more})

    def put(self, key: str, content: bytes) -> str:
        """Store an object; return its URL."""
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)
        return f"s3://{BUCKET}/{key}"

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys of objects."""
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [item["Key"] for item in found.get("Contents", ())]

    def uploads(self) -> list[str]:
        """Return the keys of multipart uploads that are neither complete nor aborted."""
        return [item["Key"] for item in self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ())]

    def stop(self) -> None:
        """Stop it, with all that it has."""
        self.client.close()
        for server, thread in zip(self._servers, self._threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()
        moto_api_backend.reset()  # all servers of a process have one memory


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *args: Any) -> None:
        """Log nothing."""


def _credentials() -> dict[str, str]:
    return {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET}


@contextmanager
def s3_server(socket: Path | None = None) -> Iterator[S3Server]:
    """Run one for the length of the block."""
    server = S3Server(socket)
    try:
        yield server
    finally:
        server.stop()


def rows(ids: range) -> list[dict[str, Any]]:
    return [{"id": i, "text": f"text {i}", "vector": [float(i), 1.0, 0.0, 0.0]} for i in ids]


def lines(ids: range) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows(ids)).encode()


def failing(status: str, code: str, method: str = "", part: str = "") -> Fails:
    """Fail requests of a method whose path has that part."""
    return lambda asked, path: (status, code) if method in asked and part in path else None
