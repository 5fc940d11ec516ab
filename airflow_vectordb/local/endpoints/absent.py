"""What Milvus 2.6 has and this server has not: refused by name, since a 404 would say that the server is too old."""

from __future__ import annotations

_ACTIONS = {
    "users": "list describe create update_password drop grant_role revoke_role",
    "roles": "list describe create drop grant_privilege revoke_privilege grant_privilege_v2 revoke_privilege_v2",
    "privilege_groups": "list create drop add_privileges_to_group remove_privileges_from_group",
    "resource_groups": "list describe create drop alter transfer_replica",
    "segments": "describe",
    "quotacenter": "describe",
    "common": "run_analyzer",
}

ABSENT = frozenset(f"{resource}/{action}" for resource, actions in _ACTIONS.items() for action in actions.split())
