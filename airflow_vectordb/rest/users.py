"""Calls on ``/v2/vectordb/users``."""

from __future__ import annotations

from airflow_vectordb.rest.http.call import Call, build_body, parse_names, parse_none


def create(user: str, password: str) -> Call[None]:
    """Create a user, with a password of 6 to 72 characters. It fails if the user exists, so it is not retried."""
    return Call("users/create", build_body(userName=user, password=password), parse_none, idempotent=False)


def update_password(user: str, password: str, new_password: str) -> Call[None]:
    """Change a password. It fails with a wrong old password, so the call is not retried."""
    body = build_body(userName=user, password=password, newPassword=new_password)
    return Call("users/update_password", body, parse_none, idempotent=False)


def describe(user: str) -> Call[list[str]]:
    """Return the names of a user's roles."""
    return Call("users/describe", build_body(userName=user), parse_names)


def list_() -> Call[list[str]]:
    """List the names of all users."""
    return Call("users/list", build_body(), parse_names)


def drop(user: str) -> Call[None]:
    """Drop a user."""
    return Call("users/drop", build_body(userName=user), parse_none)


def grant_role(user: str, role: str) -> Call[None]:
    """Grant a role to a user."""
    return Call("users/grant_role", build_body(userName=user, roleName=role), parse_none)


def revoke_role(user: str, role: str) -> Call[None]:
    """Revoke a role from a user."""
    return Call("users/revoke_role", build_body(userName=user, roleName=role), parse_none)
