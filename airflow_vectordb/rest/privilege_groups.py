"""Calls on ``/v2/vectordb/privilege_groups`` (Milvus 2.5 and later)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_vectordb.rest.http.call import Answer, Call, build_body, parse_none
from airflow_vectordb.rest.lists import as_list


def create(group: str) -> Call[None]:
    """Create a group of privileges. It fails if the group exists, so the call is not retried."""
    return Call("privilege_groups/create", build_body(privilegeGroupName=group), parse_none, idempotent=False)


def drop(group: str) -> Call[None]:
    """Drop a group of privileges."""
    return Call("privilege_groups/drop", build_body(privilegeGroupName=group), parse_none)


def list_() -> Call[dict[str, list[str]]]:
    """List all groups: name -> privileges."""
    return Call("privilege_groups/list", build_body(), _groups)


def add_privileges(group: str, privileges: Sequence[str]) -> Call[None]:
    """Add privileges, for example ``["Query", "Search"]``, to a group."""
    body = build_body(privilegeGroupName=group, privileges=as_list("privileges", privileges))
    return Call("privilege_groups/add_privileges_to_group", body, parse_none)


def remove_privileges(group: str, privileges: Sequence[str]) -> Call[None]:
    """Remove privileges, for example ``["Query", "Search"]``, from a group."""
    body = build_body(privilegeGroupName=group, privileges=as_list("privileges", privileges))
    return Call("privilege_groups/remove_privileges_from_group", body, parse_none)


def _groups(answer: Answer) -> dict[str, list[str]]:
    data = answer.data or []
    groups = data.get("privilegeGroups") or [] if isinstance(data, Mapping) else data
    found = {}
    for group in groups:
        privileges = group.get("privileges") or []
        # One text with commas, or a list, by version.
        names = privileges.split(",") if isinstance(privileges, str) else privileges
        found[str(group["privilegeGroupName"])] = [str(name).strip() for name in names if name]
    return found
