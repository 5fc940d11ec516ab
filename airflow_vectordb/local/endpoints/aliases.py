"""aliases/…"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_vectordb.local.body import required
from airflow_vectordb.local.endpoints.bodies import CollectionNameReq, InDatabase, OptionalCollectionNameReq
from airflow_vectordb.local.endpoints.table import Answer, RequestContext, endpoint
from airflow_vectordb.local.engine.names import check_name


@dataclass(frozen=True, kw_only=True)
class AliasReq(InDatabase):
    alias_name: str = required("aliasName", "The alias.")


@dataclass(frozen=True, kw_only=True)
class AliasCollectionReq(CollectionNameReq):
    alias_name: str = required("aliasName", "The alias.")


@endpoint("aliases/create", AliasCollectionReq)
def create_alias(context: RequestContext, request: AliasCollectionReq) -> None:
    """Give a collection another name."""
    check_name("collection alias", request.alias_name)
    context.engine.aliases.create(context.database, request.alias_name, request.collection_name)


@endpoint("aliases/alter", AliasCollectionReq)
def alter_alias(context: RequestContext, request: AliasCollectionReq) -> None:
    """Move an alias to another collection, in one step."""
    check_name("collection alias", request.alias_name)
    context.engine.aliases.alter(context.database, request.alias_name, request.collection_name)


@endpoint("aliases/describe", AliasReq)
def describe_alias(context: RequestContext, request: AliasReq) -> Answer:
    """Return the collection that an alias stands for."""
    check_name("collection alias", request.alias_name)
    collection = context.engine.aliases.describe(context.database, request.alias_name)
    return {"data": {"dbName": context.database, "collectionName": collection, "aliasName": request.alias_name}}


@endpoint("aliases/list", OptionalCollectionNameReq)
def list_aliases(context: RequestContext, request: OptionalCollectionNameReq) -> Answer:
    """List the aliases of a collection, or of a whole database."""
    return {"data": context.engine.aliases.names(context.database, request.collection_name)}


@endpoint("aliases/drop", AliasReq)
def drop_alias(context: RequestContext, request: AliasReq) -> None:
    """Drop an alias; the collection stays."""
    check_name("collection alias", request.alias_name)
    context.engine.aliases.drop(context.database, request.alias_name)
