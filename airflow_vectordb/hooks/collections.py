"""The hook's methods for collections, their indexes, partitions and aliases, and databases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

from airflow_vectordb import rest, waiting
from airflow_vectordb.exceptions import translate_errors
from airflow_vectordb.hooks.base import DEFAULT_TIMEOUT, HookBase
from airflow_vectordb.hooks.index_creation import IndexCreation

_IS_A_COLLECTION, _ALIAS_EXISTS = 1601, 1602


class CollectionMethods(HookBase):
    """
    Methods of the hook; the names are those of pymilvus's ``MilvusClient`` where it has them.

    ``timeout``, in seconds or as a timedelta, limits the wait for work that Milvus does in the background; after that,
    a MilvusError is raised, as it is if the server refuses. With ``wait=False``, they do not wait.
    """

    def create_collection(
        self,
        collection_name: str,
        dimension: int | None = None,
        *,
        schema: Any = None,
        index_params: Any = None,
        primary_field_name: str | None = None,
        id_type: Literal["Int64", "VarChar"] | None = None,
        vector_field_name: str | None = None,
        metric_type: str | None = None,
        auto_id: bool | None = None,
        properties: Mapping[str, Any] | None = None,
        description: str | None = None,
        timeout: timedelta | float = DEFAULT_TIMEOUT,
    ) -> None:
        """
        Create a collection, as :func:`~airflow_vectordb.rest.collections.create` does.

        With ``dimension`` alone Milvus chooses the schema, creates an index and loads the collection. With a schema and
        ``index_params``, indexes are created and waited for, and the collection is loaded.

        :param schema: as for ``CreateCollectionOperator``: ``{"fields": [{"fieldName", "dataType", "isPrimary", …}],
            …}`` in any spelling, or JSON or YAML of it; checked before the request
        :param index_params: as for ``CreateIndexOperator``
        :param properties: for example ``{"shardsNum": 2, "collection.ttl.seconds": 86400}``
        :param timeout: for the indexes, and again for loading
        """
        timeout = _seconds(timeout)
        quick = {"dimension": dimension, "metric_type": metric_type, "id_type": id_type, "auto_id": auto_id}
        quick |= {"primary_field_name": primary_field_name, "vector_field_name": vector_field_name}
        unused = [name for name, value in quick.items() if schema is not None and value is not None]
        with translate_errors():
            if unused:
                raise rest.errors.InvalidParametersError([f"pass {unused[0]} in the schema"], "arguments")
            body = None if schema is None else rest.schema.parsing.parse_schema(schema).body()
            read = rest.schema.properties.read_properties
            given, problems, _ = read(properties, quick=schema is None, allow_unknown=True)
            if problems:
                raise rest.errors.InvalidParametersError(problems, "properties")
        self._send(
            rest.collections.create,
            collection_name,
            schema=body,
            dimension=dimension,
            metric_type=metric_type,
            id_type=id_type,
            auto_id=auto_id,
            primary_field=primary_field_name,
            vector_field=vector_field_name,
            params=rest.schema.properties.creation_params(given) or None,
            description=description,
        )
        if ignored := {key: value for key, value in given.items() if key not in rest.schema.properties.AT_CREATION}:
            self.alter_collection_properties(collection_name, ignored)
        if index_params is not None:
            self.create_index(collection_name, index_params, timeout=timeout)
            self.load(collection_name, timeout=timeout)

    def drop_collection(self, collection_name: str) -> None:
        """Drop a collection, if it exists (:func:`rest.collections.drop <airflow_vectordb.rest.collections.drop>`)."""
        self.send(rest.collections.drop(collection_name))

    def has_collection(self, collection_name: str) -> bool:
        """Return whether a collection exists."""
        return self.send(rest.collections.has(collection_name))

    def describe_collection(self, collection_name: str) -> rest.collections.Collection:
        """Describe a collection (:class:`~airflow_vectordb.rest.collections.Collection`)."""
        return self.send(rest.collections.describe(collection_name))

    def list_collections(self) -> list[str]:
        """List the names of the database's collections."""
        return self.send(rest.collections.list_())

    def rename_collection(self, old_name: str, new_name: str) -> None:
        """Rename a collection (:func:`rest.collections.rename <airflow_vectordb.rest.collections.rename>`)."""
        self.send(rest.collections.rename(old_name, new_name))

    def get_collection_stats(self, collection_name: str) -> dict[str, int]:
        """Return ``{"row_count": …}``, the number of flushed rows; ``count`` counts all."""
        return {"row_count": self.send(rest.collections.row_count(collection_name))}

    def alter_collection_properties(self, collection_name: str, properties: Mapping[str, Any]) -> None:
        """Set properties, for example ``{"collection.ttl.seconds": 86400}``; others do not change."""
        self._send(rest.collections.alter_properties, collection_name, properties)

    def drop_collection_properties(self, collection_name: str, property_keys: Sequence[str]) -> None:
        """Reset properties to their defaults."""
        self._send(rest.collections.drop_properties, collection_name, property_keys)

    def add_collection_field(self, collection_name: str, field: Mapping[str, Any]) -> None:
        """Add a nullable field, in any spelling (:func:`rest.fields.add <airflow_vectordb.rest.fields.add>`)."""
        with translate_errors():
            body = rest.schema.parsing.parse_field(field).body()
        self.send(rest.fields.add(collection_name, body))

    def alter_collection_field(self, collection_name: str, field_name: str, field_params: Mapping[str, Any]) -> None:
        """Set parameters of a field, for example ``{"max_length": 512}``."""
        self._send(rest.fields.alter_properties, collection_name, field_name, field_params)

    def flush(self, collection_name: str) -> None:
        """Seal the rows inserted so far, so that they are indexed. Milvus answers before the rows are counted."""
        self.send(rest.collections.flush(collection_name))

    def compact(self, collection_name: str, *, is_clustering: bool = False) -> int:
        """Start a compaction, and return its id (:func:`~airflow_vectordb.rest.compactions.compact`)."""
        return self.send(rest.compactions.compact(collection_name, clustering=is_clustering))

    def get_compaction_state(self, job_id: int) -> rest.compactions.Compaction:
        """Return the state of a compaction (:class:`~airflow_vectordb.rest.compactions.Compaction`)."""
        return self.send(rest.compactions.describe(job_id))

    # Loading ----------------------------------------------------------------------------------------------------------

    def load(
        self,
        collection_name: str,
        partition_names: Sequence[str] | None = None,
        *,
        wait: bool = True,
        timeout: timedelta | float = DEFAULT_TIMEOUT,
    ) -> None:
        """Load a collection, or some of its partitions, and wait until it can be searched, as pymilvus does."""
        names, timeout = _names(partition_names), _seconds(timeout)
        if names:
            self.send(rest.partitions.load(collection_name, names))
        else:
            self.send(rest.collections.load(collection_name))
        if wait:
            self._wait_for(waiting.CollectionLoaded(collection_name, names), timeout)

    def release(
        self,
        collection_name: str,
        partition_names: Sequence[str] | None = None,
        *,
        wait: bool = True,
        timeout: timedelta | float = DEFAULT_TIMEOUT,
    ) -> None:
        """Release a collection, or some of its partitions, and wait until it is out of memory."""
        names, timeout = _names(partition_names), _seconds(timeout)
        if names:
            self.send(rest.partitions.release(collection_name, names))
        else:
            self.send(rest.collections.release(collection_name))
        if wait:
            self._wait_for(waiting.CollectionReleased(collection_name, names), timeout)

    def refresh_load(self, collection_name: str) -> None:
        """Load rows that were added to a loaded collection, for example by an import."""
        self.send(rest.collections.refresh_load(collection_name))

    def get_load_state(
        self, collection_name: str, partition_names: Sequence[str] | None = None
    ) -> rest.collections.LoadState:
        """Return the load state (:class:`~airflow_vectordb.rest.collections.LoadState`)."""
        return self.send(rest.collections.load_state(collection_name, _names(partition_names)))

    # Indexes ----------------------------------------------------------------------------------------------------------

    def create_index(
        self,
        collection_name: str,
        index_params: Any,
        *,
        wait: bool = True,
        timeout: timedelta | float = DEFAULT_TIMEOUT,
    ) -> list[dict[str, Any]]:
        """
        Create missing indexes, and wait until all are built, as pymilvus does.

        ``CreateIndexOperator`` can also flush, replace indexes, resume after retries and defer.

        :param index_params: as for ``CreateIndexOperator``: a dict, a list of dicts, or JSON or YAML text
        :raises IndexMismatchError: if another index exists
        """
        timeout = _seconds(timeout)
        with translate_errors():
            specs = rest.index.spec.parse_index_params(index_params)
            described = self.send(rest.collections.describe(collection_name))
            specs = rest.index.plan.resolve_all(specs, described)
            found = IndexCreation(self, collection_name, specs).create()
        if wait:
            names = tuple(description.index_name for description in found)
            built: list[dict[str, Any]] = self._wait_for(waiting.IndexesBuilt(collection_name, names), timeout)
            return built
        return [description.as_json() for description in found]

    def describe_index(self, collection_name: str, index_name: str) -> rest.indexes.IndexDescription:
        """Describe an index (:class:`~airflow_vectordb.rest.indexes.IndexDescription`)."""
        return self.send(rest.indexes.describe(collection_name, index_name))[0]

    def list_indexes(self, collection_name: str) -> list[str]:
        """List the names of a collection's indexes."""
        return self.send(rest.indexes.list_(collection_name))

    def alter_index_properties(self, collection_name: str, index_name: str, properties: Mapping[str, Any]) -> None:
        """Set properties, for example ``{"mmap.enabled": True}``. The collection must be released."""
        self._send(rest.indexes.alter_properties, collection_name, index_name, properties)

    def drop_index_properties(self, collection_name: str, index_name: str, property_keys: Sequence[str]) -> None:
        """Reset properties to their defaults. The collection must be released."""
        self._send(rest.indexes.drop_properties, collection_name, index_name, property_keys)

    def drop_index(self, collection_name: str, index_name: str) -> None:
        """Drop an index. For a vector index, the collection must be released."""
        self.send(rest.indexes.drop(collection_name, index_name))

    # Partitions -------------------------------------------------------------------------------------------------------

    def create_partition(self, collection_name: str, partition_name: str) -> None:
        """Create a partition. Creating one that exists is a no-op."""
        self.send(rest.partitions.create(collection_name, partition_name))

    def drop_partition(self, collection_name: str, partition_name: str) -> None:
        """Drop a partition with its rows. It must be released."""
        self.send(rest.partitions.drop(collection_name, partition_name))

    def has_partition(self, collection_name: str, partition_name: str) -> bool:
        """Return whether a partition exists."""
        return self.send(rest.partitions.has(collection_name, partition_name))

    def list_partitions(self, collection_name: str) -> list[str]:
        """List the names of a collection's partitions."""
        return self.send(rest.partitions.list_(collection_name))

    def get_partition_stats(self, collection_name: str, partition_name: str) -> dict[str, int]:
        """Return ``{"row_count": …}``, the number of flushed rows."""
        return {"row_count": self.send(rest.partitions.row_count(collection_name, partition_name))}

    # Aliases ----------------------------------------------------------------------------------------------------------

    def create_alias(self, collection_name: str, alias: str) -> None:
        """Create an alias. It fails if the alias exists; ``switch_alias`` does not."""
        self.send(rest.aliases.create(alias, collection_name))

    def alter_alias(self, collection_name: str, alias: str) -> None:
        """Move an alias that exists to another collection, atomically."""
        self.send(rest.aliases.alter(alias, collection_name))

    def switch_alias(self, alias: str, collection_name: str) -> dict[str, str | None]:
        """
        Point an alias to a collection, atomically: it is moved if it exists, else created.

        :return: ``{"alias", "collection_name", "previous"}``; ``previous`` is the earlier collection, or None
        """
        previous = self._find_alias(alias)
        if previous != collection_name:
            previous = self._move_alias(alias, previous, collection_name)
        return {"alias": alias, "collection_name": collection_name, "previous": previous}

    def _find_alias(self, alias: str) -> str | None:
        """Return the collection that an alias points to; None: there is no such alias."""
        try:
            return self.send(rest.aliases.describe(alias))
        except rest.errors.AliasNotFoundError:
            return None

    def _move_alias(self, alias: str, current: str | None, target: str) -> str | None:
        """Create an alias, or move it; return the collection that it pointed to."""
        if current is None:
            try:
                self.send(rest.aliases.create(alias, target))
            except rest.errors.ConflictError as error:
                if error.code == _IS_A_COLLECTION:
                    raise error.with_context(**is_a_collection(alias)) from error.__cause__
                if error.code != _ALIAS_EXISTS:
                    raise
            else:
                return None
            current = self._find_alias(alias)  # created by another client meanwhile
        try:
            self.send(rest.aliases.alter(alias, target))
        except rest.errors.AliasNotFoundError as error:
            cause, hint = f"Another client has dropped alias {alias!r}", "A retry creates it."
            raise error.with_context(cause=cause, hint=hint, transient=True) from error.__cause__
        return current

    def describe_alias(self, alias: str) -> dict[str, str]:
        """Return ``{"alias", "collection_name"}``."""
        return {"alias": alias, "collection_name": self.send(rest.aliases.describe(alias))}

    def list_aliases(self, collection_name: str | None = None) -> list[str]:
        """List the names of a collection's aliases; None: those of the whole database."""
        return self.send(rest.aliases.list_(collection_name))

    def drop_alias(self, alias: str) -> None:
        """Drop an alias; the collection stays."""
        self.send(rest.aliases.drop(alias))

    # Databases --------------------------------------------------------------------------------------------------------

    def create_database(self, db_name: str, properties: Mapping[str, Any] | None = None) -> None:
        """Create a database. It fails if the database exists."""
        self._send(rest.databases.create, db_name, properties=properties)

    def describe_database(self, db_name: str) -> dict[str, Any]:
        """Describe a database, as the server spells it."""
        return self.send(rest.databases.describe(db_name))

    def alter_database_properties(self, db_name: str, properties: Mapping[str, Any]) -> None:
        """Set properties, for example ``{"database.max.collections": 10}``; others do not change."""
        self._send(rest.databases.alter_properties, db_name, properties)

    def drop_database_properties(self, db_name: str, property_keys: Sequence[str]) -> None:
        """Reset properties to their defaults."""
        self._send(rest.databases.drop_properties, db_name, property_keys)

    def list_databases(self) -> list[str]:
        """List the names of all databases."""
        return self.send(rest.databases.list_())

    def drop_database(self, db_name: str) -> None:
        """Drop a database, if it exists; it must be empty."""
        self.send(rest.databases.drop(db_name))


def is_a_collection(alias: str) -> dict[str, Any]:
    """Return cause and hint for an alias that is the name of a collection."""
    cause = f"{alias!r} is the name of a collection, so it cannot be an alias"
    return {"cause": cause, "hint": "Choose another alias."}


@translate_errors()
def _names(partition_names: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(rest.lists.as_partitions("partition_names", partition_names) or ())


@translate_errors()
def _seconds(timeout: timedelta | float) -> float:
    """Return a time limit in seconds, checked before the request, which would have an effect."""
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= rest.LONGEST_TIMEOUT:
        problem = f"timeout must be a number of seconds or a timedelta, not {rest.spelling.show(timeout)}"
        raise rest.errors.InvalidParametersError([problem], "arguments")
    return seconds


__all__ = ["CollectionMethods"]
