"""users/…, roles/… and resource_groups/…, which are the business of the Milvus behind this server."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from airflow_vectordb.local.body import optional, required
from airflow_vectordb.local.endpoints.bodies import EmptyReq, InDatabase
from airflow_vectordb.local.endpoints.table import Answer, RequestContext, endpoint
from airflow_vectordb.local.engine.messages import milvus_pb2
from airflow_vectordb.local.errors import not_here


@dataclass(frozen=True, kw_only=True)
class UserReq:
    user_name: str = required("userName", "The user.")


# Without a repr of their own, which would show the passwords.
@dataclass(frozen=True, kw_only=True, repr=False)
class PasswordReq(UserReq):
    password: str = required("password", "Its password.")


@dataclass(frozen=True, kw_only=True, repr=False)
class NewPasswordReq(PasswordReq):
    new_password: str = required("newPassword", "Its password from now on.")


@dataclass(frozen=True, kw_only=True)
class UserRoleReq(UserReq):
    role_name: str = required("roleName", "The role.")


@dataclass(frozen=True, kw_only=True)
class RoleReq(InDatabase):
    go_name = "RoleReq"

    role_name: str = required("roleName", "The role.")


@dataclass(frozen=True, kw_only=True)
class GrantReq(RoleReq):
    go_name = "GrantReq"

    object_type: str = required("objectType", "`Global`, `Collection` or `User`.")
    object_name: str = required("objectName", "The collection or user; `*` for all.")
    privilege: str = required("privilege", "What the role may do, as `Search`.")


@dataclass(frozen=True, kw_only=True)
class ResourceGroupReq:
    name: str = required("name", "The resource group.")


@dataclass(frozen=True, kw_only=True)
class NewResourceGroupReq(ResourceGroupReq):
    go_name = "ResourceGroupReq"

    config: dict[str, Any] = optional("config", "Its configuration, which this server does not hand on.", dict)


@dataclass(frozen=True, kw_only=True)
class TransferReplicaReq(InDatabase):
    go_name = "TransferReplicaReq"

    source: str = required("sourceRgName", "The group that has the replicas.")
    target: str = required("targetRgName", "The group that gets them.")
    collection_name: str = required("collectionName", "The collection.")
    replicas: int = optional("replicaNum", "How many replicas.", 0)


def _call(context: RequestContext, method: str, **fields: Any) -> Any:
    if context.engine.call is None:
        raise not_here(f"{method}: users, roles and resource groups")
    return context.engine.call(method, **fields)


def _listed(names: Iterable[str]) -> Answer:
    return {"data": list(names)}


def _encoded(password: str) -> str:
    return base64.b64encode(password.encode()).decode()


@endpoint("users/create", PasswordReq)
def create_user(context: RequestContext, request: PasswordReq) -> None:
    """Create a user."""
    _call(context, "CreateCredential", username=request.user_name, password=_encoded(request.password))


@endpoint("users/update_password", NewPasswordReq)
def update_password(context: RequestContext, request: NewPasswordReq) -> None:
    """Change a user's password."""
    passwords = {"oldPassword": _encoded(request.password), "newPassword": _encoded(request.new_password)}
    _call(context, "UpdateCredential", username=request.user_name, **passwords)


@endpoint("users/list", EmptyReq)
def list_users(context: RequestContext, request: EmptyReq) -> Answer:
    """List the names of all users."""
    return _listed(_call(context, "ListCredUsers").usernames)


@endpoint("users/describe", UserReq)
def describe_user(context: RequestContext, request: UserReq) -> Answer:
    """List the roles of a user."""
    found = _call(context, "SelectUser", user={"name": request.user_name}, include_role_info=True).results
    return _listed(role.name for one in found if one.user.name == request.user_name for role in one.roles)


@endpoint("users/drop", UserReq)
def drop_user(context: RequestContext, request: UserReq) -> None:
    """Drop a user."""
    _call(context, "DeleteCredential", username=request.user_name)


@endpoint("users/grant_role", UserRoleReq)
def grant_role(context: RequestContext, request: UserRoleReq) -> None:
    """Give a role to a user."""
    _operate_role(context, request, milvus_pb2.AddUserToRole)


@endpoint("users/revoke_role", UserRoleReq)
def revoke_role(context: RequestContext, request: UserRoleReq) -> None:
    """Take a role from a user."""
    _operate_role(context, request, milvus_pb2.RemoveUserFromRole)


def _operate_role(context: RequestContext, request: UserRoleReq, kind: int) -> None:
    _call(context, "OperateUserRole", username=request.user_name, role_name=request.role_name, type=kind)


@endpoint("roles/create", RoleReq)
def create_role(context: RequestContext, request: RoleReq) -> None:
    """Create a role."""
    _call(context, "CreateRole", entity={"name": request.role_name})


@endpoint("roles/list", EmptyReq)
def list_roles(context: RequestContext, request: EmptyReq) -> Answer:
    """List the names of all roles."""
    return _listed(one.role.name for one in _call(context, "SelectRole").results)


@endpoint("roles/describe", RoleReq)
def describe_role(context: RequestContext, request: RoleReq) -> Answer:
    """List what a role may do."""
    entity = {"role": {"name": request.role_name}, "db_name": context.database}
    grants = [
        {
            "objectType": one.object.name,
            "objectName": one.object_name,
            "privilege": one.grantor.privilege.name,
            "dbName": one.db_name,
            "grantor": one.grantor.user.name,
        }
        for one in _call(context, "SelectGrant", entity=entity).entities
    ]
    return {"data": grants}


@endpoint("roles/drop", RoleReq)
def drop_role(context: RequestContext, request: RoleReq) -> None:
    """Drop a role that may do nothing any more."""
    _call(context, "DropRole", role_name=request.role_name)


@endpoint("roles/grant_privilege", GrantReq)
def grant_privilege(context: RequestContext, request: GrantReq) -> None:
    """Let a role do something."""
    _operate_privilege(context, request, milvus_pb2.Grant)


@endpoint("roles/revoke_privilege", GrantReq)
def revoke_privilege(context: RequestContext, request: GrantReq) -> None:
    """Take back what a role may do."""
    _operate_privilege(context, request, milvus_pb2.Revoke)


def _operate_privilege(context: RequestContext, request: GrantReq, kind: int) -> None:
    entity = {
        "role": {"name": request.role_name},
        "object": {"name": request.object_type},
        "object_name": request.object_name,
        "db_name": context.database,
        "grantor": {"privilege": {"name": request.privilege}},
    }
    _call(context, "OperatePrivilege", entity=entity, type=kind)


@endpoint("resource_groups/create", NewResourceGroupReq)
def create_resource_group(context: RequestContext, request: NewResourceGroupReq) -> None:
    """Create a resource group, without a configuration."""
    if request.config:
        raise not_here("config: a resource group with a configuration")
    _call(context, "CreateResourceGroup", resource_group=request.name)


@endpoint("resource_groups/list", EmptyReq)
def list_resource_groups(context: RequestContext, request: EmptyReq) -> Answer:
    """List the names of all resource groups."""
    return _listed(_call(context, "ListResourceGroups").resource_groups)


@endpoint("resource_groups/describe", ResourceGroupReq)
def describe_resource_group(context: RequestContext, request: ResourceGroupReq) -> Answer:
    """Tell how many nodes a resource group has."""
    found = _call(context, "DescribeResourceGroup", resource_group=request.name).resource_group
    return {"data": {"name": found.name, "capacity": found.capacity, "num_available_node": found.num_available_node}}


@endpoint("resource_groups/drop", ResourceGroupReq)
def drop_resource_group(context: RequestContext, request: ResourceGroupReq) -> None:
    """Drop a resource group that has no nodes."""
    _call(context, "DropResourceGroup", resource_group=request.name)


@endpoint("resource_groups/transfer_replica", TransferReplicaReq)
def transfer_replica(context: RequestContext, request: TransferReplicaReq) -> None:
    """Move replicas of a collection to another resource group."""
    groups = {"source_resource_group": request.source, "target_resource_group": request.target}
    what = {"collection_name": request.collection_name, "num_replica": request.replicas, "db_name": context.database}
    _call(context, "TransferReplica", **groups, **what)
