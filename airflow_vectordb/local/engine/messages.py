"""Milvus's protobuf messages, from pymilvus, without importing the rest of it.

``import pymilvus.grpc_gen`` runs ``pymilvus/__init__.py`` first, which pulls in pandas and 500 modules: half of the
server's start-up time. The messages need none of that. So while they are imported an empty package stands in for
pymilvus; a later import of pymilvus itself gets the real one, and the same messages.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from typing import Any


def _messages() -> Any:
    if "pymilvus" in sys.modules:
        return importlib.import_module("pymilvus.grpc_gen")
    spec = importlib.util.find_spec("pymilvus")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("No module named 'pymilvus'", name="pymilvus")
    bare = types.ModuleType("pymilvus")
    bare.__path__ = list(spec.submodule_search_locations)
    sys.modules["pymilvus"] = bare
    try:
        return importlib.import_module("pymilvus.grpc_gen")
    finally:
        del sys.modules["pymilvus"]


_found = _messages()
common_pb2: Any = _found.common_pb2
milvus_pb2: Any = _found.milvus_pb2
schema_pb2: Any = _found.schema_pb2
