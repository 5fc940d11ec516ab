"""Calls on ``/v2/vectordb/segments``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_vectordb.rest.http.call import Answer, Call, build_body
from airflow_vectordb.rest.lists import as_list


def describe(
    collection_id: int, segment_ids: Sequence[int], *, database: str | None = None
) -> Call[list[dict[str, Any]]]:
    """Describe segments of a collection, by the ``collectionID`` of its description (Milvus 2.5 and later)."""
    body = build_body(database, collectionID=collection_id, segmentIDs=as_list("segment_ids", segment_ids, "ids"))
    return Call("segments/describe", body, _segments)


def _segments(answer: Answer) -> list[dict[str, Any]]:
    data = answer.data or []
    found = data.get("segmentInfos") or [] if isinstance(data, Mapping) else data
    return [dict(segment) for segment in found]
