"""Users, roles, privileges and resource groups of a real Milvus, by the functions of ``rest``."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeVar

import pytest

from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.rest import (
    Client,
    MilvusConfig,
    collections,
    entities,
    privilege_groups,
    resource_groups,
    roles,
    users,
)
from airflow_vectordb.rest.errors import AuthenticationError, MilvusError, PermissionDeniedError, UnsupportedError
from tests.support.milvus_server import MilvusServer

T = TypeVar("T")
USER, ROLE = "ada", "reader"
PASSWORD, OTHER = secrets.token_urlsafe(16), secrets.token_urlsafe(16)


@pytest.fixture
def root(front: LocalMilvus, milvus: MilvusServer) -> Iterator[Client]:
    with Client(MilvusConfig(front.uri, token=milvus.token, retries=0)) as client:
        yield client
        for grant in client.send(roles.describe(ROLE)) if ROLE in client.send(roles.list_()) else ():
            client.send(roles.revoke_privilege(ROLE, grant.privilege, grant.object_type, grant.object_name))
        for call in (users.drop(USER), roles.drop(ROLE)):
            with suppress(MilvusError):  # it is not there
                client.send(call)


@pytest.fixture
def log_in(front: LocalMilvus) -> Iterator[Callable[[str], Client]]:
    made: list[Client] = []

    def make(password: str) -> Client:
        made.append(Client(MilvusConfig(front.uri, token=f"{USER}:{password}", retries=0)))
        return made[-1]

    yield make
    for client in made:
        client.close()


def once_allowed(use: Callable[[], T]) -> T:
    """Use what was granted, as soon as the engine's proxy has heard of it."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return use()
        except PermissionDeniedError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_user(root: Client, log_in: Callable[[str], Client]) -> None:
    root.send(users.create(USER, PASSWORD))
    assert set(root.send(users.list_())) >= {"root", USER}
    assert root.send(users.describe(USER)) == []
    with pytest.raises(MilvusError, match="exist"):
        root.send(users.create(USER, PASSWORD))
    assert log_in(PASSWORD).send(collections.list_()) is not None
    root.send(users.update_password(USER, PASSWORD, OTHER))
    assert log_in(OTHER).send(collections.list_()) is not None
    with pytest.raises(AuthenticationError) as refused:
        log_in(PASSWORD).send(collections.list_())
    assert PASSWORD not in str(refused.value)
    with pytest.raises(MilvusError) as refused:
        root.send(users.update_password(USER, PASSWORD, OTHER))
    assert PASSWORD not in str(refused.value)
    root.send(users.drop(USER))
    assert USER not in root.send(users.list_())


def test_a_role_lets_a_user_do_what_it_may(root: Client, log_in: Callable[[str], Client], filled: str) -> None:
    root.send(users.create(USER, PASSWORD))
    root.send(roles.create(ROLE))
    assert {"admin", "public", ROLE} <= set(root.send(roles.list_()))
    assert root.send(roles.describe(ROLE)) == []
    root.send(users.grant_role(USER, ROLE))
    assert root.send(users.describe(USER)) == [ROLE]

    ada = log_in(PASSWORD)
    counting = entities.count(filled)
    with pytest.raises(PermissionDeniedError, match="PrivilegeQuery"):
        ada.send(counting)
    root.send(roles.grant_privilege(ROLE, "Query", "Collection", filled))
    assert root.send(roles.describe(ROLE)) == [roles.Grant("Query", "Collection", filled, "default", "root")]
    assert once_allowed(lambda: ada.send(counting)) > 0
    with pytest.raises(PermissionDeniedError):
        ada.send(collections.drop(filled))
    with pytest.raises(MilvusError):
        root.send(roles.drop(ROLE))  # it still may do something

    root.send(roles.revoke_privilege(ROLE, "Query", "Collection", filled))
    assert root.send(roles.describe(ROLE)) == []
    root.send(users.revoke_role(USER, ROLE))
    assert root.send(users.describe(USER)) == []
    root.send(roles.drop(ROLE))
    assert ROLE not in root.send(roles.list_())


def test_resource_groups(root: Client, filled: str) -> None:
    root.send(resource_groups.create("spare"))
    assert "spare" in root.send(resource_groups.list_())
    described = root.send(resource_groups.describe("spare"))
    assert (described["name"], described["num_available_node"]) == ("spare", 0)
    with pytest.raises(MilvusError):  # it has no node
        root.send(resource_groups.transfer_replica("__default_resource_group", "spare", filled, 1))
    root.send(resource_groups.drop("spare"))
    assert "spare" not in root.send(resource_groups.list_())
    with pytest.raises(UnsupportedError):
        root.send(resource_groups.create("spare", config={"requests": {"node_num": 1}}))


def test_what_came_later_is_refused(root: Client) -> None:
    with pytest.raises(MilvusError):
        root.send(privilege_groups.list_())
