"""What several operators ask about aliases."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_vectordb import rest

if TYPE_CHECKING:
    from airflow_vectordb.hooks.milvus import MilvusHook
    from airflow_vectordb.rest.collections import Collection


def own_name(hook: MilvusHook, described: Collection) -> str:
    """Return the name of a collection, which Milvus 2.6 describes by the alias that it was asked for."""
    if described.aliases is None or described.name in described.aliases:
        # A server that does not know the call knows no alias either.
        unknown = (rest.errors.AliasNotFoundError, rest.errors.NoSuchEndpointError, rest.errors.UnsupportedError)
        with suppress(*unknown):
            return hook.send(rest.aliases.describe(described.name))
    return described.name
