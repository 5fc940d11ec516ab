"""Databases and aliases of a Milvus."""

from __future__ import annotations

from airflow_vectordb.local.engine.messages import milvus_pb2
from airflow_vectordb.local.engine.model import DatabaseInfo
from airflow_vectordb.local.engine.remote.parts import Parts
from airflow_vectordb.local.engine.requests import pairs
from airflow_vectordb.local.errors import ApiError

__all__ = ["Aliases", "Databases"]


class Databases(Parts):
    """The databases of the Milvus."""

    def list_databases(self) -> list[str]:
        return self._names_of_databases()

    def create_database(self, name: str, properties: dict[str, str]) -> None:
        self._need({"properties of a database": (2, 4)} if properties else {})
        self._rpc("CreateDatabase", milvus_pb2.CreateDatabaseRequest(db_name=name, properties=pairs(properties)))

    def describe_database(self, name: str) -> DatabaseInfo:
        self._check_database(name)
        answer = self._rpc("DescribeDatabase", milvus_pb2.DescribeDatabaseRequest(db_name=name))
        return DatabaseInfo(answer.dbID, answer.db_name, {pair.key: pair.value for pair in answer.properties})

    def alter_database(self, name: str, properties: dict[str, str], drop: list[str]) -> None:
        self._check_database(name)
        self._need({"properties of a database": (2, 4)} | ({"dropping properties": (2, 5)} if drop else {}))
        request = milvus_pb2.AlterDatabaseRequest(db_name=name, properties=pairs(properties), delete_keys=drop)
        self._rpc("AlterDatabase", request)

    def drop_database(self, name: str) -> None:
        try:
            self._rpc("DropDatabase", milvus_pb2.DropDatabaseRequest(db_name=name))
        except ApiError as error:
            if error.code != 800:
                raise


class Aliases(Parts):
    """Other names of collections."""

    def create_alias(self, database: str, alias: str, collection: str) -> None:
        request = milvus_pb2.CreateAliasRequest(db_name=database, collection_name=collection, alias=alias)
        self._in_database("CreateAlias", request, database)

    def alter_alias(self, database: str, alias: str, collection: str) -> None:
        request = milvus_pb2.AlterAliasRequest(db_name=database, collection_name=collection, alias=alias)
        self._in_database("AlterAlias", request, database)

    def describe_alias(self, database: str, alias: str) -> str:
        self._check_database(database)
        answer = self._rpc("DescribeAlias", milvus_pb2.DescribeAliasRequest(db_name=database, alias=alias))
        return str(answer.collection)

    def list_aliases(self, database: str, collection: str) -> list[str]:
        self._check_database(database)
        request = milvus_pb2.ListAliasesRequest(db_name=database, collection_name=collection)
        return sorted(self._rpc("ListAliases", request).aliases)

    def drop_alias(self, database: str, alias: str) -> None:
        self._check_database(database)
        try:
            self._rpc("DropAlias", milvus_pb2.DropAliasRequest(db_name=database, alias=alias))
        except ApiError as error:
            if error.code != 1600:
                raise
