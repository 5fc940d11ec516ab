"""databases/…"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_vectordb.local.body import optional
from airflow_vectordb.local.endpoints.bodies import DatabaseReqRequiredName, EmptyReq, key_values
from airflow_vectordb.local.endpoints.table import Answer, RequestContext, endpoint
from airflow_vectordb.local.engine.literals import normalize
from airflow_vectordb.local.engine.names import check_database_name


@dataclass(frozen=True, kw_only=True)
class DatabaseReqWithProperties(DatabaseReqRequiredName):
    properties: dict[str, Any] = optional("properties", "Its properties.", dict)


@dataclass(frozen=True, kw_only=True)
class DropDatabasePropertiesReq(DatabaseReqRequiredName):
    keys: list[str] = optional("propertyKeys", "The properties to drop.", list)


@endpoint("databases/list", EmptyReq)
def list_databases(context: RequestContext, request: EmptyReq) -> Answer:
    """List the names of all databases."""
    return {"data": context.engine.databases.names()}


@endpoint("databases/create", DatabaseReqWithProperties)
def create_database(context: RequestContext, request: DatabaseReqWithProperties) -> None:
    """Create a database."""
    check_database_name(request.db_name)
    context.engine.databases.create(request.db_name, normalize(request.properties))


@endpoint("databases/describe", DatabaseReqRequiredName)
def describe_database(context: RequestContext, request: DatabaseReqRequiredName) -> Answer:
    """Return the id and the properties of a database."""
    found = context.engine.databases.describe(request.db_name)
    return {"data": {"dbName": found.name, "dbID": found.id, "properties": key_values(found.properties)}}


# Its name before Milvus 2.6, and since.
@endpoint("databases/alter", DatabaseReqWithProperties)
@endpoint("databases/alter_properties", DatabaseReqWithProperties)
def alter_database(context: RequestContext, request: DatabaseReqWithProperties) -> None:
    """Set properties of a database."""
    context.engine.databases.alter(request.db_name, normalize(request.properties), [])


@endpoint("databases/drop_properties", DropDatabasePropertiesReq)
def drop_database_properties(context: RequestContext, request: DropDatabasePropertiesReq) -> None:
    """Drop properties of a database."""
    context.engine.databases.alter(request.db_name, {}, request.keys)


@endpoint("databases/drop", DatabaseReqRequiredName)
def drop_database(context: RequestContext, request: DatabaseReqRequiredName) -> None:
    """Drop an empty database."""
    check_database_name(request.db_name)
    context.engine.databases.drop(request.db_name)
