"""``airflow-vectordb check``: one line for each thing it looks at, and an exit status."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.models.connection import Connection

from airflow_vectordb import health
from airflow_vectordb._compat import AirflowNotFoundException
from airflow_vectordb.cli import main
from tests.support.harness import LOGIN, PASSWORD, Operating
from tests.support.scripted import Answer, Serve, error, ok

REQUIRED = error(1802, "missing required parameters")
GONE = Answer(b"404 page not found", 404)
DENIED = error(65535, "rpc error: code = PermissionDenied desc = PrivilegeQuery: permission deny to ada", 403)
DESCRIBED = ok({"collectionName": "docs", "fields": [{"name": "id", "type": "Int64", "primaryKey": True}]})


@pytest.fixture(autouse=True)
def triggerer(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    says: list[str | None] = [""]
    monkeypatch.setattr(health, "triggerer_problem", lambda: says[0])
    return says


def milvus(**other: Any) -> dict[str, Any]:
    """A Milvus 2.6."""
    script = {
        "collections/truncate": GONE,
        "collections/fields/add": REQUIRED,
        "collections/flush": REQUIRED,
        "users/list": DENIED,
        "collections/list": ok(["docs", "more"]),
        "databases/list": ok(["default", "books"]),
        "collections/describe": DESCRIBED,
        "collections/get_load_state": ok({"loadState": "LoadStateLoaded"}),
        "collections/get_stats": ok({"rowCount": 1}),
        "indexes/list": ok([]),
        "partitions/list": ok(["_default"]),
        "aliases/list": ok([]),
        "entities/query": ok([]),
    }
    return script | {path.replace("__", "/"): answer for path, answer in other.items()}


def lines(output: str) -> dict[str, tuple[str, str]]:
    found = {}
    for line in output.splitlines():
        subject, state, text = line.split(None, 2)
        found[subject] = (state, text)
    return found


def test_all_is_well(serve: Serve, operating: Operating, capsys: pytest.CaptureFixture[str]) -> None:
    server = serve(milvus())
    operating.connect(server)

    assert main(["check"]) == 0

    output = capsys.readouterr().out
    found = lines(output)
    assert list(found) == ["connection", "version", "database", "privileges", "triggerer"]
    assert {state for state, _ in found.values()} == {"ok"}
    assert f"as {LOGIN}" in found["connection"][1]
    assert found["version"][1].startswith("Milvus 2.6, inferred")
    assert found["database"][1] == "default, of 2: books, default"
    assert "DescribeCollection, GetLoadState, GetStatistics" in found["privileges"][1]
    assert PASSWORD not in output
    assert server.bodies("collections/fields/add") == [{}]  # which names nothing, so nothing can be changed


@pytest.mark.parametrize(
    ("paths", "version"),
    [
        ({"collections__truncate": REQUIRED}, "Milvus 3.0 or later"),
        ({"collections__truncate": REQUIRED, "users__list": GONE}, "the local server"),
        ({"collections__fields__add": GONE}, "Milvus 2.5,"),
        (
            dict.fromkeys(("collections__fields__add", "collections__flush"), GONE),
            "Milvus 2.4 or earlier",
        ),
    ],
)
def test_the_version_is_known_by_what_it_answers(
    serve: Serve, operating: Operating, capsys: pytest.CaptureFixture[str], paths: dict[str, Any], version: str
) -> None:
    operating.connect(serve(milvus(**paths)))
    assert main(["check"]) == 0
    assert lines(capsys.readouterr().out)["version"][1].startswith(version)


def test_a_missing_privilege_is_a_warning(
    serve: Serve, operating: Operating, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(milvus(entities__query=DENIED, collections__get_stats=DENIED))
    operating.connect(server)

    assert main(["check", "milvus_default", "--collection", "docs_2", "--database", "books"]) == 0

    state, text = lines(capsys.readouterr().out)["privileges"]
    assert state == "warning"
    assert "Missing: GetStatistics, Query." in text
    assert server.bodies("entities/query")[0]["collectionName"] == "docs_2"
    assert server.bodies("entities/query")[0]["dbName"] == "books"


def test_a_collection_that_is_not_loaded_says_nothing_of_privileges(
    serve: Serve, operating: Operating, capsys: pytest.CaptureFixture[str]
) -> None:
    operating.connect(serve(milvus(entities__query=error(101, "collection not loaded"))))
    assert main(["check"]) == 0
    assert lines(capsys.readouterr().out)["privileges"][0] == "ok"


def test_no_collection_to_try_with(serve: Serve, operating: Operating, capsys: pytest.CaptureFixture[str]) -> None:
    operating.connect(serve(milvus(collections__list=ok([]))))
    assert main(["check"]) == 0
    assert lines(capsys.readouterr().out)["privileges"] == ("warning", "there is no collection to try them on")


def test_what_fails_ends_in_status_1(
    serve: Serve, operating: Operating, capsys: pytest.CaptureFixture[str], triggerer: list[str | None]
) -> None:
    triggerer[0] = "unhealthy, last heartbeat 2026-03-07T00:00:00+00:00"
    server = serve(milvus(collections__list=error(1800, "user hasn't authenticated", 401)))
    operating.connect(server)

    assert main(["check"]) == 1

    output = capsys.readouterr().out
    found = lines(output)
    assert list(found) == ["connection", "triggerer"]
    assert found["connection"][0] == "failed"
    assert "does not accept the credentials" in found["connection"][1]
    assert found["triggerer"][0] == "warning"
    assert "not alive (unhealthy" in found["triggerer"][1]
    assert PASSWORD not in output


def test_a_missing_connection_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def missing(conn_id: str) -> None:
        raise AirflowNotFoundException(f"The conn_id `{conn_id}` isn't defined")

    monkeypatch.setattr(Connection, "get_connection_from_secrets", missing)
    assert main(["check", "nowhere"]) == 1
    state, text = lines(capsys.readouterr().out)["connection"]
    assert state == "failed"
    assert text.startswith("The conn_id `nowhere` isn't defined. Add it on Airflow's Connections page")
    monkeypatch.setenv("AIRFLOW_CONN_NOWHERE", "milvus://root:sec#ret@milvus:19530")
    assert main(["check", "nowhere"]) == 1
    _, text = lines(capsys.readouterr().out)["connection"]
    assert text.startswith("The conn_id `nowhere` isn't defined. AIRFLOW_CONN_NOWHERE is not a valid URI or JSON: ")
    assert "ret" not in text


def test_a_collection_that_does_not_exist_fails(
    serve: Serve, operating: Operating, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = error(100, "can't find collection[database=default][collection=nope]")
    operating.connect(serve(milvus(collections__describe=missing)))
    assert main(["check", "--collection", "nope"]) == 1
    assert lines(capsys.readouterr().out)["privileges"][0] == "failed"


def test_no_such_connection(capsys: pytest.CaptureFixture[str], triggerer: list[str | None]) -> None:
    triggerer[0] = None
    assert main(["check", "nowhere"]) == 1
    found = lines(capsys.readouterr().out)
    assert found["connection"][0] == "failed"
    assert "nowhere" in found["connection"][1]
    assert found["triggerer"][1].startswith("not known")
