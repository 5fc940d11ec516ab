"""Look-ups of aliases, shared by several operators."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_vectordb import rest

if TYPE_CHECKING:
    from airflow_vectordb.hooks.milvus import MilvusHook
    from airflow_vectordb.rest.collections import Collection


def aliases_of(hook: MilvusHook, described: Collection) -> Sequence[str]:
    """Return the aliases of a collection, including the requested name if that is one."""
    if described.aliases is not None:
        return described.aliases
    if hook._own_name(described) != described.name:
        return [described.name]
    # A server without this call has no aliases.
    with suppress(rest.errors.AliasNotFoundError, rest.errors.NoSuchEndpointError, rest.errors.UnsupportedError):
        return hook.send(rest.aliases.list_(described.name))
    return []


def refuse_aliases(collection: str, aliases: Sequence[str], hint: str) -> None:
    """Refuse to drop a collection that aliases point to: their readers would find nothing."""
    if not aliases:
        return
    shown = rest.text.sanitize_text(", ".join(map(repr, aliases[:5])), 200)
    cause = f"alias {shown} points" if len(aliases) == 1 else f"aliases {shown} point"
    cause = f"{cause} to this collection"
    if collection in aliases:
        cause, hint = f"{collection!r} is an alias", "Name the collection itself."
    raise rest.errors.ConflictError(f"its aliases are {shown}; nothing was dropped", cause=cause, hint=hint)
