"""Collections over Milvus Lite; what the engine forgets of them is in the catalog."""

from __future__ import annotations

import dataclasses

from airflow_vectordb.local.engine.lite.catalog import CollectionRecord
from airflow_vectordb.local.engine.lite.schema_rules import MMAP, check_schema
from airflow_vectordb.local.engine.lite.store import DATABASES, Part, altered
from airflow_vectordb.local.engine.model import CollectionInfo, CollectionSpec
from airflow_vectordb.local.engine.schema_rules import ISOLATION, check_isolation
from airflow_vectordb.local.errors import ApiError, already_loaded, not_here, unexpected

_DESCRIPTION = "collection.description"
_DYNAMIC = "dynamicfield.enabled"
# Properties of what is loaded, as it is loaded.
_UNLOADED = frozenset({MMAP, "lazyload.enabled"})


class Collections(Part):
    def names(self, database: str) -> list[str]:
        return [record.name for record in self._catalog.collections(database)]

    def has(self, database: str, name: str) -> bool:
        return self._catalog.resolve(database, name) in self.names(database)

    def spec(self, database: str, name: str) -> CollectionSpec:
        return self._catalog.collection(database, name).spec

    def describe(self, database: str, name: str) -> CollectionInfo:
        record = self._catalog.collection(database, name)
        state = "LoadStateLoaded" if record.loaded else "LoadStateNotLoad"
        aliases = self._catalog.aliases(database, record.name)
        return CollectionInfo(record.id, record.spec, aliases, state, list(record.partitions))

    # --- created and dropped ---

    def create(self, database: str, spec: CollectionSpec) -> None:
        spec = check_schema(spec)
        with self._store.locks.shared(DATABASES), self._store.locks.exclusive((database, spec.name)):
            self._catalog.database(database)
            if spec.name in self._catalog.aliases(database):
                raise ApiError(1601, f"collection name [{spec.name}] conflicts with an existing alias")
            for record in self._catalog.collections(database):
                if record.name == spec.name:
                    if record.spec == spec:
                        return
                    raise unexpected(f"create duplicate collection with different parameters, collection: {spec.name}")
            record = CollectionRecord(self._catalog.ids(1)[0], database, spec)
            self._catalog.put_collection(record)
            try:
                self._driver.create(record)
                record.partitions = self._driver.partitions(record)
                record.state = "ready"
                self._catalog.put_collection(record)
            except ApiError:
                # What exists of it would be in the way of the next one of this name.
                self._driver.remove(record)
                self._catalog.remove_collection(record)
                raise

    def drop(self, database: str, name: str) -> None:
        self._catalog.database(database)
        if name in self._catalog.aliases(database):
            raise unexpected(f"cannot drop the collection via alias = {name}")
        with self._store.locks.exclusive((database, name)):
            if not self.has(database, name):
                return
            record = self._catalog.collection(database, name)
            aliases = self._catalog.aliases(database, record.name)
            if aliases:
                raise unexpected(f"unable to drop the collection [{name}] because it has associated aliases {aliases}")
            record.state = "dropping"
            self._catalog.put_collection(record)
            self.finish_drop(record)

    def finish_drop(self, record: CollectionRecord) -> None:
        self._driver.drop(record)
        self._catalog.remove_collection(record)
        self._store.unflushed.discard(record.id)

    # --- changed ---

    def rename(self, database: str, name: str, new_database: str, new_name: str) -> None:
        if new_database and new_database != database:
            self._catalog.database(new_database)
            raise not_here("moving a collection to another database")
        if name in self._catalog.aliases(database):
            raise unexpected(f"unsupported use an alias to rename collection, alias:{name}")
        locks = self._store.locks
        with locks.shared(DATABASES), locks.exclusive((database, name), (database, new_name)):
            record = self._catalog.collection(database, name)
            if self.has(database, new_name):
                raise unexpected(
                    f"duplicated new collection name {database}:{new_name} with other collection name or alias"
                )
            record.new_name = new_name
            self._catalog.put_collection(record)
            try:
                self._driver.rename(database, record.name, new_name)
            finally:
                self.finish_rename(record)
            if record.loaded:
                self._driver.load(record)

    def finish_rename(self, record: CollectionRecord) -> None:
        """Bring the catalog to the name that the engine has."""
        if self._driver.exists(record.database, record.name):
            record.new_name = ""
            self._catalog.put_collection(record)
        else:
            self._catalog.rename_collection(record)

    def alter(self, database: str, name: str, properties: dict[str, str], drop: list[str]) -> None:
        """Set and drop properties; those that mean nothing to Milvus Lite are kept, and shown, and have no effect."""
        with self._store.writing(database, name) as record:
            if not properties and not drop:
                raise unexpected("only support alter collection properties, but collection properties is empty")
            if record.loaded and _UNLOADED.intersection({*properties, *drop}):
                action = "alter" if properties else "delete"
                raise already_loaded(record.name, f"can not {action} mmap properties if collection loaded")
            if properties.get(_DYNAMIC, str(record.spec.dynamic)).lower() != str(record.spec.dynamic).lower():
                raise not_here(f"changing {_DYNAMIC} of a collection that exists")
            self._check_isolation(record, properties)
            self._driver.alter(record, properties, drop)
            changed = {**record.spec.properties, **properties}
            description = changed.pop(_DESCRIPTION, record.spec.description)
            record.spec = dataclasses.replace(
                record.spec, description=description, properties=altered(changed, {}, drop)
            )
            self._catalog.put_collection(record)

    def _check_isolation(self, record: CollectionRecord, properties: dict[str, str]) -> None:
        wanted = check_isolation(record.spec, properties)
        if wanted == check_isolation(record.spec, record.spec.properties) or ISOLATION not in properties:
            return
        for entry in record.spec.vectors:
            if record.index_on(entry.name) is not None:
                why = "can not alter partition key isolation mode if the collection already has a vector index"
                raise ApiError(702, f"{why}. Please drop the index first: index duplicates[indexName={entry.name}]")
