"""Databases and aliases of a Milvus."""

from __future__ import annotations

from airflow_vectordb.local.engine.model import DatabaseInfo
from airflow_vectordb.local.engine.remote.backend import Part
from airflow_vectordb.local.engine.requests import pairs, unpaired

_DESCRIBED_SINCE = (2, 4)
_PROPERTIES = {"properties of a database": (2, 4)}


class Databases(Part):
    def names(self) -> list[str]:
        return self._backend.databases()

    def create(self, name: str, properties: dict[str, str]) -> None:
        self._backend.require(_PROPERTIES if properties else {})
        self._backend.call("CreateDatabase", db_name=name, properties=pairs(properties))

    def describe(self, name: str) -> DatabaseInfo:
        self._backend.check_database(name)
        if self._backend.version()[1] < _DESCRIBED_SINCE:
            return DatabaseInfo(0, name, {})  # it has no properties there
        answer = self._backend.call("DescribeDatabase", db_name=name)
        return DatabaseInfo(answer.dbID, answer.db_name, unpaired(answer.properties))

    def alter(self, name: str, properties: dict[str, str], drop: list[str]) -> None:
        self._backend.check_database(name)
        if not properties and not drop:
            return
        self._backend.require(_PROPERTIES | ({"dropping properties": (2, 5)} if drop else {}))
        self._backend.call("AlterDatabase", db_name=name, properties=pairs(properties), delete_keys=drop)

    def drop(self, name: str) -> None:
        self._backend.drop("DropDatabase", 800, db_name=name)


class Aliases(Part):
    def names(self, database: str, collection: str) -> list[str]:
        self._backend.check_database(database)
        return sorted(self._backend.call("ListAliases", db_name=database, collection_name=collection).aliases)

    def create(self, database: str, alias: str, collection: str) -> None:
        self._backend.call_in(database, "CreateAlias", collection_name=collection, alias=alias)

    def describe(self, database: str, alias: str) -> str:
        self._backend.check_database(database)
        return str(self._backend.call("DescribeAlias", db_name=database, alias=alias).collection)

    def alter(self, database: str, alias: str, collection: str) -> None:
        self._backend.call_in(database, "AlterAlias", collection_name=collection, alias=alias)

    def drop(self, database: str, alias: str) -> None:
        self._backend.check_database(database)
        self._backend.drop("DropAlias", 1600, db_name=database, alias=alias)
