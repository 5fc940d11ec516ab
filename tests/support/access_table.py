"""The endpoints of users, roles and resource groups, for the tests of conformance: over Milvus Lite there are none."""

from __future__ import annotations

from tests.support.conformance_row import Row

_DB = {"dbName": "string"}
_USER = {"userName": "string"}
_ROLE = {**_DB, "roleName": "string"}
_GRANT = {**_ROLE, "objectType": "string", "objectName": "string", "privilege": "string"}
_GROUP = {"name": "string"}

_OPTIONAL = frozenset({"dbName", "config", "replicaNum"})
_TYPES: dict[str, dict[str, str]] = {
    "users/create": {**_USER, "password": "string"},
    "users/update_password": {**_USER, "password": "string", "newPassword": "string"},
    "users/list": {},
    "users/describe": _USER,
    "users/drop": _USER,
    "users/grant_role": {**_USER, "roleName": "string"},
    "users/revoke_role": {**_USER, "roleName": "string"},
    "roles/create": _ROLE,
    "roles/list": {},
    "roles/describe": _ROLE,
    "roles/drop": _ROLE,
    "roles/grant_privilege": _GRANT,
    "roles/revoke_privilege": _GRANT,
    "resource_groups/create": {**_GROUP, "config": "object"},
    "resource_groups/list": {},
    "resource_groups/describe": _GROUP,
    "resource_groups/drop": _GROUP,
    "resource_groups/transfer_replica": {
        **_DB,
        "sourceRgName": "string",
        "targetRgName": "string",
        "collectionName": "string",
        "replicaNum": "integer",
    },
}


def _row(path: str, types: dict[str, str]) -> Row:
    required = tuple(name for name in types if name not in _OPTIONAL)
    why = "Milvus Lite has none; those of a Milvus behind the server have tests of their own"
    return Row(path, dict.fromkeys(required, "x"), required, types, missing=None, nowhere=None, code=10, why=why)


ROWS = tuple(_row(path, types) for path, types in _TYPES.items())
