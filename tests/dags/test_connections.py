"""Connections as Airflow has them: from its command line, its database, its secrets backend, its Test button."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from airflow.secrets.local_filesystem import LocalFilesystemBackend

from airflow_vectordb.hooks.connection import config_from_connection
from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.rest import Client, MilvusConfig, collections, databases
from tests.support.airflow_process import AirflowProcess

FILES = Path(__file__).with_name("connecting")
PASSWORD = "p@ss:w/%25#?&=+ ü\"'{}"
QUOTED = quote(PASSWORD, safe="")
ADDED = ["uri", "uri_with_url", "uri_and_extra", "json", "json_with_text", "fields", "fields_with_url"]
ELSEWHERE = ["env_uri", "env_json", "file_uri", "file_fields"]


@pytest.fixture(scope="module")
def milvus() -> Iterator[LocalMilvus]:
    """A server with a collection that is in one database only."""
    with LocalMilvus(token=f"root:{PASSWORD}") as server:
        with Client(MilvusConfig(server.uri, token=server.token, timeout=60)) as client:
            client.send(databases.create("books"))
            with Client(replace(client.config, database="books")) as books:
                books.send(collections.create("novels", dimension=4))
        yield server


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("connections")


@pytest.fixture(scope="module")
def commands(milvus: LocalMilvus, files: Path) -> dict[str, list[str]]:
    """Arguments of Airflow's command line, in their order."""
    port = milvus.uri.rpartition(":")[2]
    extra = {"timeout": 60, "retries": 1, "verify": "true"}
    fields = {"conn_type": "milvus", "host": "127.0.0.1", "port": port, "login": "root", "password": PASSWORD}
    uri = f"milvus://root:{QUOTED}@127.0.0.1:{port}/books"
    given = ["--conn-type", "milvus", "--conn-login", "root", "--conn-password", PASSWORD, "--conn-schema", "books"]
    options = {
        "uri": ["--conn-uri", f"{uri}?timeout=60&retries=1&verify=true"],
        "uri_with_url": ["--conn-uri", f"{uri.replace('://', '://http://')}?timeout=60&retries=1&verify=true"],
        "uri_and_extra": ["--conn-uri", uri, "--conn-extra", json.dumps({**extra, "timeout": "60"})],
        "json": ["--conn-json", json.dumps({**fields, "schema": "books", "extra": extra})],
        "json_with_text": [
            "--conn-json",
            json.dumps({**fields, "host": milvus.uri, "port": None, "schema": "books", "extra": json.dumps(extra)}),
        ],
        "fields": [*given, "--conn-host", "127.0.0.1", "--conn-port", port, "--conn-extra", json.dumps(extra)],
        "fields_with_url": [*given, "--conn-host", milvus.uri, "--conn-extra", json.dumps(extra)],
    }
    added = {name: ["connections", "add", name, *arguments] for name, arguments in options.items()}
    exported = {
        f"export {kind}": ["connections", "export", str(files / f"all.{kind}")] for kind in ("json", "yaml", "env")
    }
    deleted = {f"delete {name}": ["connections", "delete", name] for name in ADDED}
    return {**added, **exported, **deleted, "import": ["connections", "import", str(files / "all.yaml")]}


@pytest.fixture(scope="module")
def pressed(milvus: LocalMilvus) -> dict[str, dict[str, Any]]:
    """Contents of the form; the keys of ``extra`` that have fields of their own come as JSON."""
    port = int(milvus.uri.rpartition(":")[2])
    right = {"host": "127.0.0.1", "port": port, "login": "root", "password": PASSWORD, "schema": "books"}
    extra = {"secure": False, "verify": "true", "timeout": 30, "retries": 4, "console_url": "http://attu:8000/?a=b#c"}
    return {
        "right": {**right, "extra": json.dumps(extra)},
        "url": {**right, "host": milvus.uri, "port": None, "extra": ""},
        "saved": {**right, "connection_id": "fields", "password": "***"},
        "wrong password": {**right, "password": "wrong"},
        "no password": {"host": milvus.uri},
        "no database": {**right, "schema": "films/and more"},
        "refused": {**right, "port": 1},
        "values": {**right, "host": "a b", "port": 99999, "extra": json.dumps({**extra, "timeout": "abc"})},
        "nothing": {},
    }


@pytest.fixture(scope="module")
def outcome(airflow: AirflowProcess, milvus: LocalMilvus, commands: dict[str, list[str]]) -> dict[str, Any]:
    connection = {"conn_type": "milvus", "host": milvus.uri, "login": "root", "password": PASSWORD, "schema": "books"}
    uri = f"milvus://{milvus.uri.replace('://', f'://root:{QUOTED}@')}/books?timeout=60&retries=1"
    fields = {**connection, "extra": {"timeout": 60, "retries": 1}}
    (airflow.home / "connections.json").write_text(json.dumps({"file_uri": uri, "file_fields": fields}))
    variables = {
        "AIRFLOW_CONN_ENV_URI": uri,
        "AIRFLOW_CONN_ENV_JSON": json.dumps(fields),
        "CONNECTIONS": " ".join([*ADDED, *ELSEWHERE]),
    }
    calls = {
        "commands": ("connection_runs.run_commands", list(commands.values())),
        "ran": ("dag_runs.run", str(FILES), [("connecting", "2026-03-07T00:00:00Z", {})]),
    }
    found = {}
    for name, call in calls.items():
        found[name], printed = airflow.call(*call, **variables)
        assert PASSWORD not in printed
    return {**found, "ran": found["ran"][0]}


@pytest.mark.parametrize("conn_id", [*ADDED, *ELSEWHERE])
def test_a_task_reaches_milvus_by_it(outcome: dict[str, Any], milvus: LocalMilvus, conn_id: str) -> None:
    number = [*ADDED, *ELSEWHERE].index(conn_id)
    assert outcome["ran"]["states"][f"reach[{number}]"] == "success"
    assert outcome["ran"]["returned"][f"reach[{number}]"] == {
        "collections": ["novels"],
        "url": milvus.uri,
        "database": "books",
        "timeout": 60.0,
        "retries": 1,
        "verify": True,
    }


@pytest.mark.parametrize("kind", ["json", "yaml", "env"])
def test_what_airflow_exports_is_what_was_added(
    outcome: dict[str, Any], files: Path, milvus: LocalMilvus, kind: str
) -> None:
    backend = LocalFilesystemBackend(connections_file_path=str(files / f"all.{kind}"))
    for conn_id in ADDED:
        connection = backend.get_connection(conn_id)
        assert connection is not None
        assert config_from_connection(connection) == MilvusConfig(
            milvus.uri, f"root:{PASSWORD}", "books", timeout=60, retries=1
        )


@pytest.fixture(scope="module")
def said(airflow: AirflowProcess, outcome: dict[str, Any], pressed: dict[str, Any]) -> dict[str, dict[str, Any]]:
    forms = [{"connection_id": "in_the_form", **body} for body in pressed.values()]
    answers, printed = airflow.call("connection_runs.press", forms)
    assert PASSWORD not in printed
    found = dict(zip(pressed, answers, strict=True))
    for answer in found.values():
        assert PASSWORD not in answer["message"]
        assert answer["seconds"] < 60
    return found


@pytest.mark.slow
class TestTheButton:
    """Through the API server's own route, which gives the form to the hook in an environment variable, as a URI."""

    @pytest.mark.parametrize("name", ["right", "url", "saved"])
    def test_what_it_reached(self, said: dict[str, Any], milvus: LocalMilvus, name: str) -> None:
        assert (said[name]["http"], said[name]["status"]) == (200, True), said[name]
        assert said[name]["message"].startswith(f"Milvus at {milvus.uri} as root, database books, 1 collection, ")
        assert said[name]["message"].endswith(" ms")

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("wrong password", ["does not accept the credentials. Check", "code 1800"]),
            ("no password", ["requires credentials; none were sent.", "code 1800"]),
            ("no database", ["Database 'films/and more' does not exist", "code 800"]),
            ("refused", ["No connection to http://127.0.0.1:1: Connection refused"]),
            ("values", ["3 things cannot be used", "'abc'", "99999", "no usable host name"]),
            ("nothing", ["the host is empty"]),
        ],
    )
    def test_what_is_wrong(self, said: dict[str, Any], name: str, words: list[str]) -> None:
        assert (said[name]["http"], said[name]["status"]) == (200, False), said[name]
        assert [word for word in words if word not in said[name]["message"]] == [], said[name]
