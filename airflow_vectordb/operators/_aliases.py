"""Look-ups of aliases, shared by several operators."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_vectordb import rest
from airflow_vectordb.hooks.collections import is_a_collection

if TYPE_CHECKING:
    from airflow_vectordb.hooks.milvus import MilvusHook
    from airflow_vectordb.rest.collections import Collection


def aliases_of(hook: MilvusHook, described: Collection) -> tuple[str, ...]:
    """Return the aliases of a collection, including the requested name if that is one."""
    if described.aliases is not None:
        return described.aliases
    # A server without these calls has no aliases.
    unknown = (rest.errors.AliasNotFoundError, rest.errors.NoSuchEndpointError, rest.errors.UnsupportedError)
    with suppress(*unknown):
        hook.send(rest.aliases.describe(described.name))
        return (described.name,)
    with suppress(*unknown):
        return tuple(hook.send(rest.aliases.list_(described.name)))
    return ()


def refuse_aliases(hook: MilvusHook, described: Collection, hint: str) -> None:
    """
    Refuse to drop a collection that an alias points to: its readers would find nothing.

    :raises ConflictError: if there is an alias
    """
    aliases = aliases_of(hook, described)
    if not aliases:
        return
    shown = rest.text.sanitize_text(", ".join(map(repr, aliases[:5])), 200)
    verb = "alias" if len(aliases) == 1 else "aliases"
    cause = f"{verb} {shown} point{'s' if len(aliases) == 1 else ''} to this collection"
    if described.name in aliases:
        cause, hint = f"{described.name!r} is an alias", "Name the collection itself."
    raise rest.errors.ConflictError(f"{verb} {shown}; nothing was dropped", cause=cause, hint=hint)


def refuse_collection(hook: MilvusHook, alias: str) -> None:
    """
    Refuse an alias that is the name of a collection.

    :raises ConflictError: if it is one
    """
    try:
        named = hook._own_name(hook.send(rest.collections.describe(alias)))
    # Without the privilege, creating the alias will fail if it has to.
    except (rest.errors.CollectionNotFoundError, rest.errors.PermissionDeniedError):
        return
    if named == alias:
        raise rest.errors.ConflictError(f"collection {alias!r} exists", **is_a_collection(alias))
