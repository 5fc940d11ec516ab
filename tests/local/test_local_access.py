"""Users, roles and resource groups in front of a Milvus: what it is sent. A real one answers in tests/engine."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf.message_factory import GetMessageClass

from airflow_vectordb.local.body import read
from airflow_vectordb.local.endpoints.access import NewPasswordReq
from airflow_vectordb.local.endpoints.table import ENDPOINTS, RequestContext
from airflow_vectordb.local.engine.messages import milvus_pb2
from tests.support.access_table import ROWS
from tests.support.conformance_row import Row

_METHODS = milvus_pb2.DESCRIPTOR.services_by_name["MilvusService"].methods_by_name
USER = {"userName": "ada"}
GRANT = {"roleName": "reader", "objectType": "Collection", "objectName": "docs", "privilege": "Search"}
MOVE = {"sourceRgName": "a", "targetRgName": "b", "collectionName": "docs", "replicaNum": 2}


def sent(path: str, body: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return what the Milvus is sent, and the answer to what it says if it has nothing."""
    messages: list[Any] = []

    def call(method: str, **fields: Any) -> Any:
        messages.append(getattr(milvus_pb2, f"{method}Request")(**fields))
        return GetMessageClass(_METHODS[method].output_type)()

    engine: Any = SimpleNamespace(call=call)
    endpoint = ENDPOINTS[path]
    answer = endpoint.answer(RequestContext(engine, "shop"), read(endpoint.request, body))
    (message,) = messages
    return message, answer


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.path)
def test_each_is_one_call(row: Row) -> None:
    _, answer = sent(row.path, row.body)
    assert list(answer) == ["data"]


@pytest.mark.parametrize(
    ("path", "body", "wanted"),
    [
        (
            "users/create",
            {**USER, "password": "Lovelace1"},
            milvus_pb2.CreateCredentialRequest(username="ada", password="TG92ZWxhY2Ux"),
        ),
        (
            "users/update_password",
            {**USER, "password": "Lovelace1", "newPassword": "Lövelace"},
            milvus_pb2.UpdateCredentialRequest(username="ada", oldPassword="TG92ZWxhY2Ux", newPassword="TMO2dmVsYWNl"),
        ),
        *(
            (
                f"users/{action}_role",
                {**USER, "roleName": "reader"},
                milvus_pb2.OperateUserRoleRequest(username="ada", role_name="reader", type=kind),
            )
            for action, kind in (("grant", milvus_pb2.AddUserToRole), ("revoke", milvus_pb2.RemoveUserFromRole))
        ),
        *(
            (
                f"roles/{action}_privilege",
                GRANT,
                milvus_pb2.OperatePrivilegeRequest(
                    entity={
                        "role": {"name": "reader"},
                        "object": {"name": "Collection"},
                        "object_name": "docs",
                        "db_name": "shop",
                        "grantor": {"privilege": {"name": "Search"}},
                    },
                    type=kind,
                ),
            )
            for action, kind in (("grant", milvus_pb2.Grant), ("revoke", milvus_pb2.Revoke))
        ),
        (
            "resource_groups/transfer_replica",
            MOVE,
            milvus_pb2.TransferReplicaRequest(
                source_resource_group="a",
                target_resource_group="b",
                collection_name="docs",
                num_replica=2,
                db_name="shop",
            ),
        ),
    ],
)
def test_what_milvus_is_sent(path: str, body: dict[str, Any], wanted: Any) -> None:
    """Passwords in base64, as Milvus takes them over gRPC."""
    assert sent(path, body)[0] == wanted


def test_passwords_are_no_part_of_what_a_request_shows() -> None:
    request = read(NewPasswordReq, {**USER, "password": "Lovelace1", "newPassword": "Lovelace2"})
    assert (request.password, request.new_password) == ("Lovelace1", "Lovelace2")
    assert "ada" in repr(request)
    assert "Lovelace" not in repr(request)
