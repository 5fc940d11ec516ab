"""Databases and aliases over Milvus Lite."""

from __future__ import annotations

from airflow_vectordb.local.engine.lite.parts import DATABASES, Parts, check_name, pairs
from airflow_vectordb.local.engine.messages import milvus_pb2
from airflow_vectordb.local.engine.model import DatabaseInfo
from airflow_vectordb.local.errors import ApiError, unexpected

__all__ = ["Aliases", "Databases"]


class Databases(Parts):
    """The databases of the data directory."""

    def list_databases(self) -> list[str]:
        return self._catalog.databases()

    def describe_database(self, name: str) -> DatabaseInfo:
        return self._catalog.database(name)

    def create_database(self, name: str, properties: dict[str, str]) -> None:
        check_name("database", name, code=802)
        with self._locks.exclusive(DATABASES):
            if name in self._catalog.databases():
                raise unexpected(f"database already exist: {name}")
            # The engine first: one that the catalog does not know is removed at the next start.
            self._rpc("CreateDatabase", milvus_pb2.CreateDatabaseRequest(db_name=name, properties=pairs(properties)))
            self._catalog.put_database(DatabaseInfo(self._catalog.ids(1)[0], name, properties))

    def drop_database(self, name: str) -> None:
        with self._locks.exclusive(DATABASES):
            if name == "default":
                raise unexpected("can not drop default database")
            if name not in self._catalog.databases():
                return
            if any(record.database == name for record in self._catalog.records()):
                raise unexpected(f"database:{name} not empty, must drop all collections before drop database")
            self._catalog.remove_database(name)
            self._rpc("DropDatabase", milvus_pb2.DropDatabaseRequest(db_name=name))


class Aliases(Parts):
    """Other names of collections. The engine is never told of them: it forgets whose they are."""

    def create_alias(self, database: str, alias: str, collection: str) -> None:
        check_name("collection alias", alias)
        with self._writing(database, collection) as record:
            self._refuse_collection_name(database, alias)
            if alias in self._catalog.aliases(database):
                if self._catalog.alias(database, alias) == record.name:
                    return
                owner = self._catalog.alias(database, alias)
                raise ApiError(1602, f"{alias} is alias to another collection: {owner}: alias already exist")
            self._catalog.put_alias(database, alias, record.name)

    def alter_alias(self, database: str, alias: str, collection: str) -> None:
        with self._writing(database, collection) as record:
            self._refuse_collection_name(database, alias)
            self._catalog.alias(database, alias)
            self._catalog.put_alias(database, alias, record.name)

    def describe_alias(self, database: str, alias: str) -> str:
        self._catalog.database(database)
        return self._catalog.alias(database, alias)

    def list_aliases(self, database: str, collection: str) -> list[str]:
        self._catalog.database(database)
        if collection:
            collection = self._catalog.collection(database, collection).name
        return self._catalog.aliases(database, collection)

    def drop_alias(self, database: str, alias: str) -> None:
        self._catalog.database(database)
        self._catalog.remove_alias(database, alias)

    def _refuse_collection_name(self, database: str, alias: str) -> None:
        if any(record.name == alias for record in self._catalog.collections(database)):
            raise ApiError(1601, f"collection and alias cannot have the same name[database={database}][alias={alias}]")
