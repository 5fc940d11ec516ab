"""Servers in processes of their own that acknowledge rows and keep none: what a client costs by itself.

``http`` has what a loader needs of Milvus's REST API v2, ``grpc`` the same of what pymilvus speaks. Both answer with
the keys of all rows, as Milvus does.
"""

from __future__ import annotations

import json
import socketserver
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Literal

#: Fields of the collection, by which the gRPC sink describes it.
KEY, TEXT, VECTOR = "id", "text", "vector"
TEXT_LENGTH = 200


class _Rest(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet
    dimension = 0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        verb = self.path.rpartition("/")[2]
        if verb == "describe":
            data = _described(self.dimension)
        else:
            count = body.count(b'"id":')  # parsing would take longer than sending
            data = {f"{verb}Count": count, f"{verb}Ids": list(range(count))}
        payload = json.dumps({"code": 0, "cost": 0, "data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _described(dimension: int) -> dict[str, Any]:
    fields = [
        {"name": KEY, "type": "Int64", "primaryKey": True},
        {"name": TEXT, "type": "VarChar", "params": [{"key": "max_length", "value": str(TEXT_LENGTH)}]},
        {"name": VECTOR, "type": "FloatVector", "params": [{"key": "dim", "value": str(dimension)}]},
    ]
    return {"collectionName": "docs", "fields": fields}


class _RestServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 64


def _serve_rest(dimension: int) -> None:
    _Rest.dimension = dimension
    with _RestServer(("127.0.0.1", 0), _Rest) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


def _serve_grpc(dimension: int) -> None:
    import grpc
    from pymilvus import CollectionSchema, DataType, FieldSchema
    from pymilvus.client.prepare import Prepare
    from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc, schema_pb2

    fields = [
        FieldSchema(KEY, DataType.INT64, is_primary=True),
        FieldSchema(TEXT, DataType.VARCHAR, max_length=TEXT_LENGTH),
        FieldSchema(VECTOR, DataType.FLOAT_VECTOR, dim=dimension),
    ]
    schema = Prepare.get_schema_from_collection_schema("docs", CollectionSchema(fields))
    for number, field in enumerate(schema.fields, start=100):
        field.fieldID = number

    class Milvus(milvus_pb2_grpc.MilvusServiceServicer):  # type: ignore[misc]
        def Connect(self, request: Any, context: Any) -> Any:  # noqa: N802
            return milvus_pb2.ConnectResponse(status=common_pb2.Status(), identifier=1)

        def DescribeCollection(self, request: Any, context: Any) -> Any:  # noqa: N802
            return milvus_pb2.DescribeCollectionResponse(
                status=common_pb2.Status(), schema=schema, collectionID=1, collection_name="docs"
            )

        def Insert(self, request: Any, context: Any) -> Any:  # noqa: N802
            count = request.num_rows
            keys = schema_pb2.IDs(int_id=schema_pb2.LongArray(data=range(count)))
            return milvus_pb2.MutationResult(status=common_pb2.Status(), IDs=keys, insert_cnt=count, upsert_cnt=count)

        Upsert = Insert

    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", -1)])
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(Milvus(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


@contextmanager
def sink(protocol: Literal["http", "grpc"], dimension: int) -> Iterator[str]:
    """Run a sink for a ``with`` block; its value is the address."""
    command, root = [sys.executable, "-m", __name__, protocol, str(dimension)], Path(__file__).parent.parent
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


__all__ = ["KEY", "TEXT", "TEXT_LENGTH", "VECTOR", "sink"]

if __name__ == "__main__":
    if sys.argv[1] == "http":
        _serve_rest(int(sys.argv[2]))
    else:
        _serve_grpc(int(sys.argv[2]))
