"""Calls on ``/v2/vectordb/quotacenter``."""

from __future__ import annotations

from typing import Any

from airflow_vectordb.rest.http.call import Call, build_body


def describe() -> Call[Any]:
    """Return the figures by which the server limits its callers, in its own spelling (Milvus 2.5 and later)."""
    return Call("quotacenter/describe", build_body(), lambda a: a.data)
