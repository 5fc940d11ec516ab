"""Databases and aliases over Milvus Lite."""

from __future__ import annotations

from airflow_vectordb.local.engine.lite.catalog import CollectionRecord
from airflow_vectordb.local.engine.lite.rpc import LiteRpc
from airflow_vectordb.local.engine.lite.store import DATABASES, Part, Store, altered
from airflow_vectordb.local.engine.messages import milvus_pb2
from airflow_vectordb.local.engine.model import DatabaseInfo
from airflow_vectordb.local.engine.requests import pairs
from airflow_vectordb.local.errors import ApiError, collection_not_found, unexpected


class Databases:
    def __init__(self, store: Store, rpc: LiteRpc) -> None:
        self._store = store
        self._rpc = rpc

    def names(self) -> list[str]:
        return self._store.catalog.databases()

    def describe(self, name: str) -> DatabaseInfo:
        return self._store.catalog.database(name)

    def create(self, name: str, properties: dict[str, str]) -> None:
        catalog = self._store.catalog
        with self._store.locks.exclusive(DATABASES):
            if name in catalog.databases():
                raise unexpected(f"database already exist: {name}")
            # The engine first: one that the catalog does not know is removed at the next start.
            request = milvus_pb2.CreateDatabaseRequest(db_name=name, properties=pairs(properties))
            self._rpc.send("CreateDatabase", request, "")
            catalog.put_database(DatabaseInfo(catalog.ids(1)[0], name, properties))

    def alter(self, name: str, properties: dict[str, str], drop: list[str]) -> None:
        catalog = self._store.catalog
        with self._store.locks.exclusive(DATABASES):
            found = catalog.database(name)
            self._rpc("AlterDatabase", name, properties=pairs(properties), delete_keys=drop)
            catalog.put_database(DatabaseInfo(found.id, name, altered(found.properties, properties, drop)))

    def drop(self, name: str) -> None:
        catalog = self._store.catalog
        with self._store.locks.exclusive(DATABASES):
            if name == "default":
                raise unexpected("can not drop default database")
            if name not in catalog.databases():
                return
            if any(record.database == name for record in catalog.records()):
                raise unexpected(f"database:{name} not empty, must drop all collections before drop database")
            catalog.remove_database(name)
            self._drop(name)

    def _drop(self, name: str) -> None:
        self._rpc.send("DropDatabase", milvus_pb2.DropDatabaseRequest(db_name=name), "")

    def recover(self) -> None:
        """Drop the databases that the catalog does not know."""
        existing = set(self._rpc.send("ListDatabases", milvus_pb2.ListDatabasesRequest(), "").db_names)
        for name in existing - set(self.names()):
            self._drop(name)


class Aliases(Part):
    """Other names of collections. The engine does not know them: it would forget whose they are."""

    def names(self, database: str, collection: str) -> list[str]:
        self._catalog.database(database)
        if collection:
            collection = self._catalog.collection(database, collection).name
        return self._catalog.aliases(database, collection)

    def create(self, database: str, alias: str, collection: str) -> None:
        with self._store.writing(database, collection) as record:
            self._check(record, alias, collection)
            if alias in self._catalog.aliases(database):
                owner = self._catalog.alias(database, alias)
                if owner == record.name:
                    return
                raise ApiError(1602, f"{alias} is alias to another collection: {owner}: alias already exist")
            self._catalog.put_alias(database, alias, record.name)

    def describe(self, database: str, alias: str) -> str:
        self._catalog.database(database)
        return self._catalog.alias(database, alias)

    def alter(self, database: str, alias: str, collection: str) -> None:
        with self._store.writing(database, collection) as record:
            self._check(record, alias, collection)
            self._catalog.alias(database, alias)
            self._catalog.put_alias(database, alias, record.name)

    def drop(self, database: str, alias: str) -> None:
        self._catalog.database(database)
        self._catalog.remove_alias(database, alias)

    def _check(self, record: CollectionRecord, alias: str, collection: str) -> None:
        """Refuse an alias that is the name of a collection, and one of an alias."""
        database = record.database
        if any(one.name == alias for one in self._catalog.collections(database)):
            raise ApiError(1601, f"alias and collection name conflict[database={database}][alias={alias}]")
        if record.name != collection:
            raise collection_not_found(database, collection)
