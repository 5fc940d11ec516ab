"""Calls on ``/v2/vectordb/roles``. Without ``database``, they are about the configured one."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_vectordb.rest.http.call import Answer, Call, build_body, parse_names, parse_none
from airflow_vectordb.rest.result import Result


@dataclass(frozen=True)
class Grant(Result):
    """
    A privilege that a role has.

    :param privilege: its name, as ``Search``, or that of a group of privileges
    :param object_type: ``Global``, ``Collection`` or ``User``
    :param object_name: name of the collection or user; ``*``: all, as of ``database``
    """

    privilege: str
    object_type: str = ""
    object_name: str = ""
    database: str = ""
    grantor: str = ""


def create(role: str) -> Call[None]:
    """Create a role. It fails if the role exists, so the call is not retried."""
    return Call("roles/create", build_body(roleName=role), parse_none, idempotent=False)


def describe(role: str, *, database: str | None = None) -> Call[list[Grant]]:
    """Return the privileges of a role in a database."""
    return Call("roles/describe", build_body(database, roleName=role), _grants)


def list_() -> Call[list[str]]:
    """List the names of all roles."""
    return Call("roles/list", build_body(), parse_names)


def drop(role: str) -> Call[None]:
    """Drop a role. It fails if there is none, so the call is not retried."""
    return Call("roles/drop", build_body(roleName=role), parse_none, idempotent=False)


def grant_privilege(
    role: str, privilege: str, object_type: str, object_name: str, *, database: str | None = None
) -> Call[None]:
    """Grant a privilege, described as in :class:`Grant`; :func:`grant_privilege_v2` takes groups of them, too."""
    body = build_body(database, roleName=role, privilege=privilege, objectType=object_type, objectName=object_name)
    return Call("roles/grant_privilege", body, parse_none)


def revoke_privilege(
    role: str, privilege: str, object_type: str, object_name: str, *, database: str | None = None
) -> Call[None]:
    """Revoke a privilege that :func:`grant_privilege` granted."""
    body = build_body(database, roleName=role, privilege=privilege, objectType=object_type, objectName=object_name)
    return Call("roles/revoke_privilege", body, parse_none)


def grant_privilege_v2(role: str, privilege: str, collection: str, *, database: str | None = None) -> Call[None]:
    """
    Grant a privilege, or a group of them, as ``CollectionReadOnly`` (Milvus 2.5 and later).

    :param collection: name of a collection; ``*``: all, as for ``database``
    """
    body = build_body(database, roleName=role, privilege=privilege, collectionName=collection)
    return Call("roles/grant_privilege_v2", body, parse_none)


def revoke_privilege_v2(role: str, privilege: str, collection: str, *, database: str | None = None) -> Call[None]:
    """Revoke a privilege that :func:`grant_privilege_v2` granted."""
    body = build_body(database, roleName=role, privilege=privilege, collectionName=collection)
    return Call("roles/revoke_privilege_v2", body, parse_none)


def _grants(answer: Answer) -> list[Grant]:
    others = ("objectType", "objectName", "dbName", "grantor")
    return [Grant(str(i["privilege"]), *(str(i.get(key) or "") for key in others)) for i in answer.data or ()]
