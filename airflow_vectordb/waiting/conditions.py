"""All conditions by name, and their serialization from a worker to the triggerer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from airflow_vectordb.waiting.base import Condition
from airflow_vectordb.waiting.collections import CollectionLoaded, CollectionReleased
from airflow_vectordb.waiting.imports import ImportCompleted, ImportFound
from airflow_vectordb.waiting.indexes import IndexesBuilt

#: All conditions, by the name that :func:`serialize` gives them.
CONDITIONS: dict[str, type[Condition]] = {
    cls.__name__: cls for cls in (IndexesBuilt, CollectionLoaded, CollectionReleased, ImportCompleted, ImportFound)
}


def serialize(condition: Condition) -> dict[str, Any]:
    """Return a condition as JSON-ready data."""
    return {"kind": type(condition).__name__, **{name: _as_lists(value) for name, value in asdict(condition).items()}}


def deserialize(data: Mapping[str, Any]) -> Condition:
    """
    Return the condition that :func:`serialize` serialized.

    :raises ValueError: for a kind of condition, or fields of one, that are not known here
    """
    fields = {name: _as_tuples(value) for name, value in data.items()}
    kind = fields.pop("kind", None)
    if kind not in CONDITIONS:
        raise ValueError(f"unknown kind of wait {kind!r}; known: {', '.join(CONDITIONS)}")
    try:
        return CONDITIONS[kind](**fields)
    except TypeError as error:
        raise ValueError(f"not a wait of kind {kind}: {error}") from error


def _as_lists(value: Any) -> Any:
    return [_as_lists(part) for part in value] if isinstance(value, tuple) else value


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(part) for part in value) if isinstance(value, list) else value


__all__ = ["CONDITIONS", "deserialize", "serialize"]
