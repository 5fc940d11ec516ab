"""databases/…"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from airflow_vectordb.local.body import Key
from airflow_vectordb.local.endpoints.table import DONE, Answer, Call, InDatabase, endpoint
from airflow_vectordb.local.engine.index_rules import normalize

__all__: list[str] = []


@dataclass(frozen=True, kw_only=True)
class DatabaseReq:
    db_name: Annotated[str, Key("dbName", "The name of the database.")]


@dataclass(frozen=True, kw_only=True)
class DatabaseReqWithProperties(DatabaseReq):
    properties: Annotated[dict[str, Any], Key("properties", "Its properties.")] = field(default_factory=dict)


@endpoint("databases/list", InDatabase)
def list_databases(call: Call, request: InDatabase) -> Answer:
    """The names of all databases."""
    return {"data": call.engine.list_databases()}


@endpoint("databases/create", DatabaseReqWithProperties)
def create_database(call: Call, request: DatabaseReqWithProperties) -> Answer:
    """Create a database."""
    call.engine.create_database(request.db_name, normalize(request.properties))
    return DONE


@endpoint("databases/describe", DatabaseReq)
def describe_database(call: Call, request: DatabaseReq) -> Answer:
    """The id and the properties of a database."""
    found = call.engine.describe_database(request.db_name)
    properties = [{"key": key, "value": value} for key, value in found.properties.items()]
    return {"data": {"dbName": found.name, "dbID": found.id, "properties": properties}}


@endpoint("databases/drop", DatabaseReq)
def drop_database(call: Call, request: DatabaseReq) -> Answer:
    """Drop an empty database."""
    call.engine.drop_database(request.db_name)
    return DONE
