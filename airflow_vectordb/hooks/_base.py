"""The basis of the hook's methods: sending calls, and waiting."""

from __future__ import annotations

import time
from abc import abstractmethod
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_vectordb import rest, waiting

if TYPE_CHECKING:
    from airflow_vectordb.rest.collections import Collection
    from airflow_vectordb.rest.http.call import Call
    from airflow_vectordb.rest.indexes import IndexDescription
    from airflow_vectordb.waiting import Condition, Deadline

T = TypeVar("T")

#: Seconds; the limit for waits of the hook's ``load``, ``release`` and ``create_index``.
DEFAULT_TIMEOUT = 3600.0
#: Seconds, the longest pause between two polls.
POLL_INTERVAL = 30.0


class HookBase:
    """Base of the groups of methods that :class:`~airflow_vectordb.hooks.milvus.MilvusHook` has."""

    log: Any

    @abstractmethod
    def send(self, call: Call[T], *, retries: int | None = None) -> T:
        """Make a call."""

    @abstractmethod
    def wait(self, condition: Condition, deadline: Deadline, *, poll_interval: float) -> Any:
        """Wait until something is done."""

    def describe_indexes(self, collection_name: str) -> list[IndexDescription]:
        """Describe all indexes of a collection."""
        found: list[IndexDescription] = []
        for name in self.send(rest.indexes.list_(collection_name)):
            with suppress(rest.errors.IndexNotFoundError):  # dropped since it was listed
                found += self.send(rest.indexes.describe(collection_name, name))
        return found

    def _own_name(self, described: Collection) -> str:
        """Return the name of a collection: Milvus 2.6 describes it under the requested alias."""
        if described.aliases is None or described.name in described.aliases:
            # A server without this call has no aliases.
            unknown = (rest.errors.AliasNotFoundError, rest.errors.NoSuchEndpointError, rest.errors.UnsupportedError)
            with suppress(*unknown):
                return self.send(rest.aliases.describe(described.name))
        return described.name

    def _describe_by_own_name(self, name: str) -> Collection:
        """Describe the collection behind a name, under its own name: an alias may be moved later."""
        described = self.send(rest.collections.describe(name))
        with suppress(rest.errors.PermissionDeniedError):  # to ask about aliases
            return replace(described, name=self._own_name(described))
        return described

    def _wait_for(self, condition: Condition, timeout: float) -> Any:
        deadline = waiting.Deadline(time.time() + timeout, "timeout", timeout)
        return self.wait(condition, deadline, poll_interval=POLL_INTERVAL)
