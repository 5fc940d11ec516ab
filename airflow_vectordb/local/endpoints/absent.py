"""What Milvus 2.6 has and this server has not: refused by name, since a 404 would say that the server is too old."""

from __future__ import annotations

_ACTIONS = {
    "roles": "grant_privilege_v2 revoke_privilege_v2",
    "privilege_groups": "list create drop add_privileges_to_group remove_privileges_from_group",
    "resource_groups": "alter",
    "segments": "describe",
    "quotacenter": "describe",
    "common": "run_analyzer",
}

ABSENT = frozenset(f"{resource}/{action}" for resource, actions in _ACTIONS.items() for action in actions.split())
