"""The hook's methods for indexes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_vectordb import rest, waiting
from airflow_vectordb.exceptions import translate_errors
from airflow_vectordb.hooks import arguments
from airflow_vectordb.hooks._base import DEFAULT_TIMEOUT, HookBase

if TYPE_CHECKING:
    from airflow_vectordb.rest.indexes import IndexDescription


class IndexMethods(HookBase):
    """Methods of the hook; the names are those of pymilvus's ``MilvusClient`` where it has them."""

    def create_index(
        self, collection_name: str, index_params: Any, *, wait: bool = True, timeout: float = DEFAULT_TIMEOUT
    ) -> list[dict[str, Any]]:
        """
        Create missing indexes, and wait until all are built, as pymilvus does.

        ``CreateIndexOperator`` can also flush, replace indexes, resume after retries and defer.

        :param index_params: as for ``CreateIndexOperator``: a dict, a list of dicts, or JSON or YAML text
        :param wait: whether to wait; Milvus itself answers immediately
        :param timeout: seconds to wait at most
        :raises MilvusError: if they cannot be created, another index exists, or they are not built in time
        """
        with translate_errors():
            specs = rest.index.spec.parse_index_params(index_params)
            described = self.send(rest.collections.describe(collection_name))
            specs = rest.index.plan.resolve_all(specs, described)
            plan = rest.index.plan.plan_indexes(collection_name, specs, self.describe_indexes(collection_name))
            if plan.to_create:
                try:
                    self.send(rest.indexes.create(collection_name, plan.to_create))
                except rest.errors.MilvusError as error:
                    fields = [field.name for field in described.fields]
                    raise plan.explain(error, fields) from error.__cause__
            found = plan.find(self.describe_indexes(collection_name))
        if wait:
            names = tuple(description.index_name for description in found)
            built: list[dict[str, Any]] = self._wait_for(waiting.IndexesBuilt(collection_name, names), timeout)
            return built
        return [description.as_json() for description in found]

    def describe_index(self, collection_name: str, index_name: str) -> IndexDescription:
        """Describe an index (:class:`~airflow_vectordb.rest.indexes.IndexDescription`)."""
        return self.send(rest.indexes.describe(collection_name, index_name))[0]

    def describe_indexes(self, collection_name: str) -> list[IndexDescription]:
        """Describe all indexes of a collection."""
        found: list[IndexDescription] = []
        for name in self.send(rest.indexes.list_(collection_name)):
            with suppress(rest.errors.IndexNotFoundError):  # dropped since it was listed
                found += self.send(rest.indexes.describe(collection_name, name))
        return found

    def list_indexes(self, collection_name: str) -> list[str]:
        """List the names of a collection's indexes."""
        return self.send(rest.indexes.list_(collection_name))

    def alter_index_properties(self, collection_name: str, index_name: str, properties: Mapping[str, Any]) -> None:
        """Set properties, for example ``{"mmap.enabled": True}``. The collection must be released."""
        self.send(rest.indexes.alter_properties(collection_name, index_name, properties))

    def drop_index_properties(self, collection_name: str, index_name: str, property_keys: Sequence[str]) -> None:
        """Set properties back to their defaults. The collection must be released."""
        arguments.check_names(property_keys=property_keys)
        self.send(rest.indexes.drop_properties(collection_name, index_name, property_keys))

    def drop_index(self, collection_name: str, index_name: str) -> None:
        """Drop an index. For a vector index, the collection must be released."""
        self.send(rest.indexes.drop(collection_name, index_name))


__all__ = ["IndexMethods"]
