"""Who and what the REST server in front of a real Milvus refuses, and what it says when there is no engine."""

from __future__ import annotations

import subprocess
import sys
from base64 import b64encode

import pytest
import requests

from airflow_vectordb.local import LocalMilvus, LocalMilvusError
from airflow_vectordb.local.engine.messages import milvus_pb2
from tests.support.engine_api import Api
from tests.support.milvus_server import MilvusServer


@pytest.mark.parametrize("token", ["root:wrong", "root:Milvus", "nobody:Milvus", "key", ""])
def test_the_engine_checks_who_calls(front: LocalMilvus, token: str) -> None:
    stranger = Api(front.uri, token)
    with stranger.session:
        response = stranger.post("collections/list")
    assert (response.status_code, response.json()["code"]) == (401, 1800)


def test_a_user_without_privileges_is_told_so(api: Api, front: LocalMilvus, milvus: MilvusServer, filled: str) -> None:
    milvus.ask(
        "CreateCredential",
        milvus_pb2.CreateCredentialRequest(username="grace", password=b64encode(b"Hopper1").decode()),
    )
    grace = Api(front.uri, "grace:Hopper1")
    with grace.session:
        response = grace.post("entities/query", collectionName=filled, filter="id > 0")
    milvus.ask("DeleteCredential", milvus_pb2.DeleteCredentialRequest(username="grace"))
    answer = response.json()
    assert (response.status_code, answer["code"]) == (403, 65535)
    assert answer["message"].startswith("rpc error: code = PermissionDenied desc = PrivilegeQuery: permission deny")


def test_a_token_of_its_own_is_checked_first(milvus: MilvusServer) -> None:
    with LocalMilvus(backend=milvus.uri, token=milvus.token) as guarded:
        for token, status in ((milvus.token, 200), ("root:wrong", 401)):
            client = Api(guarded.uri, token)
            with client.session:
                assert client.post("collections/list").status_code == status


def test_a_frozen_engine_is_a_time_out(api: Api, milvus: MilvusServer) -> None:
    with milvus.frozen():
        response = requests.post(
            f"{api.uri}/v2/vectordb/collections/list",
            json={},
            headers={"Authorization": f"Bearer {milvus.token}", "Request-Timeout": "1"},
            timeout=10,
        )
    assert (response.status_code, response.json()["code"]) == (408, 10001)
    api.ok("collections/list")


def test_served_by_hand(milvus: MilvusServer) -> None:
    command = [sys.executable, "-m", "airflow_vectordb.cli", "serve", "--backend", milvus.uri, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served:
        try:
            assert served.stdout is not None
            uri = served.stdout.readline().removeprefix("Milvus REST API v2: ").split()[0]
            client = Api(uri, milvus.token)
            with client.session:
                assert "default" in client.ok("databases/list")
        finally:
            served.terminate()
        assert served.wait(10) == 0


@pytest.mark.parametrize("uri", ["ftp://127.0.0.1:1", "http://", "http://root:Milvus@127.0.0.1:1", "http://x:1/path"])
def test_what_is_no_backend_is_refused(uri: str) -> None:
    with pytest.raises(LocalMilvusError, match="a backend is http://host:port") as caught:
        LocalMilvus(backend=uri).start()
    assert "root:Milvus" not in str(caught.value)


def test_no_engine_is_no_service() -> None:
    with LocalMilvus(backend="http://127.0.0.1:1") as lonely:
        client = Api(lonely.uri, lonely.token)
        with client.session:
            response = client.post("collections/list")
    assert (response.status_code, response.json()["code"]) == (503, 2)
