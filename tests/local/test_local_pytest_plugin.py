"""The fixtures that users import into their own tests, in a pytest run of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

pytest_plugins = ["pytester"]

CONFTEST = 'pytest_plugins = ["airflow_vectordb.local.pytest_plugin"]'


@pytest.fixture
def users(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A directory as a user's own, in a shell that knows a connection and a proxy of its own."""
    pytester.makeconftest(CONFTEST)
    # A run of its own is not configured by ours.
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.setenv("AIRFLOW_HOME", str(pytester.mkdir("airflow-home")))
    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", "milvus://production:19530")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    return pytester


def test_a_test_gets_an_empty_database_and_a_connection_to_it(users: pytest.Pytester) -> None:
    users.makepyfile(
        """
        import json, os
        import pytest
        from airflow_vectordb.hooks.milvus import MilvusHook
        from airflow_vectordb.operators.index import CreateIndexOperator
        from airflow_vectordb.rest import aliases, collections, databases, entities, indexes

        servers, databases_seen = [], []

        @pytest.mark.parametrize("number", [1, 2])
        def test_index(milvus_connection, milvus_server, number):
            servers.append(milvus_server.uri)
            assert milvus_connection == "milvus_default"
            with MilvusHook(milvus_connection) as hook:
                databases_seen.append(json.loads(os.environ["AIRFLOW_CONN_MILVUS_DEFAULT"])["schema"])
                # What the test before made is gone, with its database.
                assert hook.send(collections.list_()) == []
                assert set(hook.send(databases.list_())) == {"default", databases_seen[-1]}
                hook.send(collections.create("docs", dimension=4 * number))
                hook.send(aliases.create("latest", "docs"))
                hook.send(entities.insert("latest", [{"id": 1, "vector": [0.5] * 4 * number}]))
                hook.send(collections.create("more", dimension=2))

        def test_one_server():
            assert len(set(servers)) == 1 and len(set(databases_seen)) == 2
            # After the test the connection is what it was.
            assert os.environ["AIRFLOW_CONN_MILVUS_DEFAULT"] == "milvus://production:19530"
        """
    )
    users.runpytest_subprocess("-q", "-p", "no:cacheprovider", timeout=120).assert_outcomes(passed=3)


def test_a_failing_test_leaves_nothing_behind_for_the_next(users: pytest.Pytester) -> None:
    users.makepyfile(
        """
        import os
        import requests

        pids = []

        def names(server):
            headers = {"Authorization": f"Bearer {server.token}"}
            url = f"{server.uri}/v2/vectordb/databases/list"
            with requests.Session() as session:
                session.trust_env = False
                return session.post(url, json={}, headers=headers, timeout=60).json()["data"]

        def test_fails(milvus_connection, milvus_server):
            assert len(names(milvus_server)) == 2
            assert False, "as tests do"

        def test_next(milvus_server):
            assert names(milvus_server) == ["default"]
            with open("pid", "w") as file:
                file.write(str(milvus_server.pid))
        """
    )
    users.runpytest_subprocess("-q", "-p", "no:cacheprovider", timeout=120).assert_outcomes(passed=1, failed=1)
    # The server ended with the run.
    pid = int((users.path / "pid").read_text())
    assert subprocess.run(["kill", "-0", str(pid)], capture_output=True, check=False).returncode != 0


def test_it_is_not_loaded_by_itself(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(milvus_server): pass")
    result = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", timeout=60)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'milvus_server' not found*"])


def test_importing_it_is_cheap_and_starts_nothing() -> None:
    program = (
        "import sys, pytest; before = set(sys.modules)\n"
        "import airflow_vectordb.local.pytest_plugin\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new & {'airflow', 'pymilvus', 'milvus_lite', 'fastapi', 'uvicorn', 'requests', 'aiohttp'}))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
