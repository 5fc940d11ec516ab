"""docs/connections.md: within a chapter, every way of writing is the same connection, for Airflow's own parsers."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from airflow.sdk import Connection
from airflow.secrets.local_filesystem import LocalFilesystemBackend

from airflow_vectordb.hooks.connection import config_from_connection
from airflow_vectordb.hooks.connection_fields import EXTRA_FIELDS, STANDARD_FIELDS
from airflow_vectordb.rest import MilvusConfig
from tests.support.docs_pages import ROOT, Block, blocks_of

PAGE = ROOT / "docs" / "connections.md"
KINDS = {
    "A local server": MilvusConfig("http://127.0.0.1:19530", "root:local-secret"),
    "Milvus standalone or distributed, without authentication": MilvusConfig("http://milvus.example.com:19530"),
    "With authentication": MilvusConfig("http://milvus.example.com:19530", "airflow:p@ssw0rd"),
    "With TLS, and a CA of your own": MilvusConfig(
        "https://milvus.example.com:19530", "airflow:p@ssw0rd", verify="/etc/ssl/milvus-ca.pem"
    ),
    "With a client certificate": MilvusConfig("https://milvus.example.com:19530", client_cert="/etc/ssl/airflow.pem"),
    "Zilliz Cloud, with an API key": MilvusConfig(
        "https://in03-example.serverless.gcp-us-west1.cloud.zilliz.com", "YOUR-API-KEY"
    ),
    "Zilliz Cloud, with a user": MilvusConfig(
        "https://in01-example.aws-us-west-2.vectordb.zillizcloud.com:19530", "db_admin:p@ssw0rd"
    ),
    "Another database": MilvusConfig("http://milvus.example.com:19530", "airflow:p@ssw0rd", "books"),
    "Behind a proxy, under a path": MilvusConfig("https://gateway.example.com/milvus", "airflow:p@ssw0rd"),
}


def chapters() -> dict[str, list[Block]]:
    """Sort the page's blocks by the title that they stand under."""
    found: dict[str, list[Block]] = {}
    lines = PAGE.read_text().splitlines()
    for block in blocks_of(PAGE):
        title = next(line for line in reversed(lines[: block.line - 1]) if line.startswith("## "))
        found.setdefault(title.removeprefix("## "), []).append(block)
    return found


def connection_of(block: Block) -> Connection:
    """Make the connection that a block gives to Airflow, as Airflow would."""
    if block.language == "json":
        return Connection.from_json(block.code, conn_id="c")
    words = shlex.split(block.code.replace("\\\n", " "))
    if words[0] == "export":
        return Connection.from_uri(words[1].removeprefix("AIRFLOW_CONN_MILVUS_DEFAULT="), conn_id="c")
    assert words[:4] == ["airflow", "connections", "add", "milvus_default"]
    options = dict(zip(words[4::2], words[5::2], strict=True))
    if "--conn-uri" in options:
        return Connection.from_uri(options["--conn-uri"], conn_id="c")
    given = {name.removeprefix("--conn-"): value for name, value in options.items()}
    port = int(given.pop("port")) if "port" in given else None
    return Connection(conn_id="c", conn_type=given.pop("type"), port=port, **given)


@pytest.mark.parametrize("title", KINDS)
def test_each_way_of_writing_is_the_same_connection(title: str) -> None:
    forms = chapters()[title]
    assert [form.language for form in forms] == ["shell", "shell", "json"]
    for form in forms:
        connection = connection_of(form)
        assert connection.conn_type == "milvus"
        assert config_from_connection(connection) == KINDS[title], str(form)


def test_the_secrets_backend_reads_the_file(tmp_path: Path) -> None:
    ini, file = chapters()["From a secrets backend"]
    path = tmp_path / "connections.json"
    path.write_text(file.code)
    assert f"backend = {LocalFilesystemBackend.__module__}.LocalFilesystemBackend" in ini.code
    (kwargs,) = re.findall(r"^backend_kwargs = (.*)$", ini.code, re.MULTILINE)
    assert list(json.loads(kwargs)) == ["connections_file_path"]
    backend = LocalFilesystemBackend(connections_file_path=str(path))
    for conn_id, url, timeout in (
        ("milvus_default", "https://in03-example.serverless.gcp-us-west1.cloud.zilliz.com", 60),
        ("milvus_staging", "http://milvus-staging:19530", 30),
    ):
        connection = backend.get_connection(conn_id)
        assert connection is not None
        config = config_from_connection(connection)
        assert (config.url, config.timeout) == (url, timeout)


def test_every_field_is_in_the_table() -> None:
    rows = re.findall(r"^\| ([^|]+) \| (?:extra )?`(\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert rows == [(field.label, field.name) for field in (*STANDARD_FIELDS, *EXTRA_FIELDS)]
