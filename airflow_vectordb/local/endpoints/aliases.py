"""aliases/…"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from airflow_vectordb.local.body import Key
from airflow_vectordb.local.endpoints.table import DONE, Answer, Call, InDatabase, endpoint

__all__: list[str] = []


@dataclass(frozen=True, kw_only=True)
class AliasReq(InDatabase):
    alias_name: Annotated[str, Key("aliasName", "The alias.")]


@dataclass(frozen=True, kw_only=True)
class AliasCollectionReq(InDatabase):
    alias_name: Annotated[str, Key("aliasName", "The alias.")]
    collection_name: Annotated[str, Key("collectionName", "The collection that it stands for.")]


@dataclass(frozen=True, kw_only=True)
class OptionalCollectionNameReq(InDatabase):
    collection_name: Annotated[str, Key("collectionName", "Only the aliases of this collection.")] = ""


@endpoint("aliases/create", AliasCollectionReq)
def create_alias(call: Call, request: AliasCollectionReq) -> Answer:
    """Give a collection another name."""
    call.engine.create_alias(call.database, request.alias_name, request.collection_name)
    return DONE


@endpoint("aliases/alter", AliasCollectionReq)
def alter_alias(call: Call, request: AliasCollectionReq) -> Answer:
    """Move an alias to another collection, in one step."""
    call.engine.alter_alias(call.database, request.alias_name, request.collection_name)
    return DONE


@endpoint("aliases/describe", AliasReq)
def describe_alias(call: Call, request: AliasReq) -> Answer:
    """The collection that an alias stands for."""
    collection = call.engine.describe_alias(call.database, request.alias_name)
    return {"data": {"dbName": call.database, "collectionName": collection, "aliasName": request.alias_name}}


@endpoint("aliases/list", OptionalCollectionNameReq)
def list_aliases(call: Call, request: OptionalCollectionNameReq) -> Answer:
    """The aliases of a collection, or of a whole database."""
    return {"data": call.engine.list_aliases(call.database, request.collection_name)}


@endpoint("aliases/drop", AliasReq)
def drop_alias(call: Call, request: AliasReq) -> Answer:
    """Take an alias away; the collection stays."""
    call.engine.drop_alias(call.database, request.alias_name)
    return DONE
