"""databases/…"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_vectordb.local.body import optional, required
from airflow_vectordb.local.endpoints.bodies import DatabaseReq, InDatabase, key_values
from airflow_vectordb.local.endpoints.table import Answer, RequestContext, endpoint
from airflow_vectordb.local.engine.literals import normalize


@dataclass(frozen=True, kw_only=True)
class DatabaseReqWithProperties(DatabaseReq):
    properties: dict[str, Any] = optional("properties", "Its properties.", dict)


@dataclass(frozen=True, kw_only=True)
class DatabasePropertyKeysReq(DatabaseReq):
    keys: list[str] = required("propertyKeys", "The properties to drop.")


@endpoint("databases/list", InDatabase)
def list_databases(context: RequestContext, request: InDatabase) -> Answer:
    """List the names of all databases."""
    return {"data": context.engine.databases.names()}


@endpoint("databases/create", DatabaseReqWithProperties)
def create_database(context: RequestContext, request: DatabaseReqWithProperties) -> None:
    """Create a database."""
    context.engine.databases.create(request.db_name, normalize(request.properties))


@endpoint("databases/describe", DatabaseReq)
def describe_database(context: RequestContext, request: DatabaseReq) -> Answer:
    """Return the id and the properties of a database."""
    found = context.engine.databases.describe(request.db_name)
    return {"data": {"dbName": found.name, "dbID": found.id, "properties": key_values(found.properties)}}


# Its name before Milvus 2.6, and since.
@endpoint("databases/alter", DatabaseReqWithProperties)
@endpoint("databases/alter_properties", DatabaseReqWithProperties)
def alter_database(context: RequestContext, request: DatabaseReqWithProperties) -> None:
    """Set properties of a database."""
    context.engine.databases.alter(request.db_name, normalize(request.properties), [])


@endpoint("databases/drop_properties", DatabasePropertyKeysReq)
def drop_database_properties(context: RequestContext, request: DatabasePropertyKeysReq) -> None:
    """Drop properties of a database."""
    context.engine.databases.alter(request.db_name, {}, request.keys)


@endpoint("databases/drop", DatabaseReq)
def drop_database(context: RequestContext, request: DatabaseReq) -> None:
    """Drop an empty database."""
    context.engine.databases.drop(request.db_name)
