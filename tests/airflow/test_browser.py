"""The provider on Airflow's pages, in a browser: from the form of a connection to the pages of a task that used it."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_vectordb.demo.airflow import free_port
from airflow_vectordb.demo.home import Home
from airflow_vectordb.demo.processes import Processes
from airflow_vectordb.hooks.connection_fields import EXTRA_FIELDS, STANDARD_FIELDS
from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.rest import Client, MilvusConfig, collections, entities
from tests.support.builds import NEEDLE, TOKEN
from tests.support.editions import EDITIONS, interpreter, missing
from tests.support.running_airflow import Run, RunningAirflow, processes_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.support.browser import Pages

DAGS = Path(__file__).with_name("dags_browser")
DAG = "index_docs"
ROWS = 1_000
SCHEMA = {
    "autoID": False,
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 8}},
    ],
}
CONSOLE = "https://attu.example.com/#/databases/{database}/{collection}"
#: What is typed into the extra fields, and what is to be saved; the rest keeps its default.
TYPED = {"timeout": "45", "retries": "2", "console_url": CONSOLE}
SAVED = {"secure": False, "verify": None, "client_cert": None, "timeout": 45, "retries": 2, "console_url": CONSOLE}
USER, _, PASSWORD = TOKEN.partition(":")


@dataclass
class Edition:
    """
    One Airflow with its pages.

    :param name: its release, as "3.1"
    """

    name: str
    airflow: RunningAirflow
    pages: Pages
    milvus: LocalMilvus

    @property
    def newest(self) -> bool:
        """Whether it is the one that all pages are shown of in the documentation."""
        return self.name == EDITIONS[0]

    def picture(self, name: str, *, of_each: bool = False) -> str:
        """Name a picture; empty: none is to be taken. ``of_each``: of each Airflow, since they differ there."""
        if self.newest:
            return name
        return f"{name}-{self.name}" if of_each else ""


@dataclass
class Filled:
    """What the form of a new connection has shown, and what the tests of the connection have answered."""

    standard: dict[str, dict[str, str]]
    extra: dict[str, dict[str, str]]
    wrong: tuple[str, str]
    right: tuple[str, str]
    kept: str


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser."""
    if importlib.util.find_spec("playwright") is None:
        missing("no Playwright: it is in the dependency group `browser`")
    from tests.support import browser

    if not browser.CHROMIUM.exists():
        missing(f"no Chromium at {browser.CHROMIUM}: on Debian, apt-get install chromium")
    with browser.chromium() as running:
        yield running


@pytest.fixture(scope="module")
def milvus() -> Iterator[LocalMilvus]:
    """The server, with a real engine. In pictures its port is the usual one, if that is free."""
    port = free_port(19530) if os.environ.get("AIRFLOW_VECTORDB_PICTURES") else 0
    with LocalMilvus(token=TOKEN, port=port) as running:
        yield running


@pytest.fixture(scope="module", params=EDITIONS)
def edition(
    request: pytest.FixtureRequest, chromium: Browser, milvus: LocalMilvus, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Edition]:
    """An Airflow, with a collection that has no index yet. In the end, all that it said is looked through."""
    from tests.support.browser import Pages

    name = str(request.param)
    python = interpreter(name)
    with Client(MilvusConfig(milvus.uri, token=TOKEN)) as client:
        client.send(collections.drop("docs"))
        client.send(collections.create("docs", schema=SCHEMA))
        client.send(entities.upsert("docs", [{"id": i, "vector": [i % 13 + 0.5] * 8} for i in range(ROWS)]))
    directory = tmp_path_factory.mktemp(f"airflow-{name}")
    with Home(directory / "home", fresh=True) as home, Processes(home) as processes:
        airflow = RunningAirflow(processes, python, DAGS, name="Airflow")
        airflow.start_serving()
        pages = Pages(chromium, airflow.api.base_url, directory / "traffic.har")
        pages.log_in(airflow.secrets["password"])
        yield Edition(name, airflow, pages, milvus)
    assert processes_of(directory) == {}


@pytest.fixture(scope="module")
def filled(edition: Edition) -> Filled:
    """The connection, made in the form: at first with a wrong password, then with the right one."""
    pages, host, port = edition.pages, *edition.milvus.uri.removeprefix("http://").split(":")
    form = pages.add_connection("milvus_default")
    standard = {field.name: form.look(field.name) for field in STANDARD_FIELDS}
    for name, value in {"host": host, "port": port, "login": USER, "password": f"wrong-{NEEDLE}"}.items():
        form.field(name).fill(value)
    pages.picture(edition.picture("connection"), form.dialog, height=1000)
    form.unfold("Extra Fields")
    extra = {field.name: form.look(f"element_{field.name}") for field in EXTRA_FIELDS}
    for name, value in TYPED.items():
        form.field(f"element_{name}").fill(value)
    pages.picture(edition.picture("connection-extra", of_each=True), form.dialog, height=1100)
    form.save()
    wrong = pages.test_connection(edition.picture("connection-test-failed"))
    form = pages.edit_connection()
    kept = form.field("password").input_value()
    form.field("password").fill(PASSWORD)
    form.save()
    right = pages.test_connection(edition.picture("connection-test", of_each=True))
    return Filled(standard, extra, wrong, right, kept)


@pytest.fixture(scope="module")
def run(edition: Edition, filled: Filled) -> Run:
    """A run with that connection, triggered on the DAG's page, which has ended."""
    airflow = edition.airflow
    airflow.until(lambda: airflow.api.is_known(DAG) or airflow.api.import_errors(), f"DAG {DAG} is known")
    assert airflow.api.import_errors() == []
    edition.pages.trigger(DAG)
    found: list[dict[str, Any]] = []

    def triggered() -> bool:
        found[:] = airflow.api.call("GET", f"/api/v2/dags/{DAG}/dagRuns")["dag_runs"]
        return bool(found)

    airflow.until(triggered, "there is a run")
    run = Run(airflow, DAG, found[0]["dag_run_id"])
    for task_id in ("create_index", "check_masking"):
        run.until(task_id, "success")
    return run


def test_standard_fields_have_our_labels_and_placeholders(filled: Filled) -> None:
    for field in STANDARD_FIELDS:
        assert filled.standard[field.name]["placeholder"] == field.placeholder
        assert filled.standard[field.name]["text"] == field.label
    assert filled.standard["password"]["type"] == "password"
    assert filled.standard["port"]["type"] == "number"


def test_extra_fields_have_their_types_defaults_and_help(filled: Filled) -> None:
    kinds = {name: (seen["kind"], seen["value"]) for name, seen in filled.extra.items()}
    assert kinds == {
        "secure": ("switch", "off"),
        "verify": ("text", ""),
        "client_cert": ("text", ""),
        "timeout": ("number", "30"),
        "retries": ("number", "4"),
        "console_url": ("text", ""),
    }
    for field in EXTRA_FIELDS:
        assert filled.extra[field.name]["text"] == f"{field.label}\n{field.meaning}"


def test_what_is_saved_has_its_type_and_no_password(edition: Edition, filled: Filled) -> None:
    saved = edition.airflow.api.call("GET", "/api/v2/connections/milvus_default")
    assert (saved["conn_type"], saved["login"], saved["password"]) == ("milvus", USER, "***")
    assert json.loads(saved["extra"]) == SAVED
    assert filled.kept == "***"


def test_the_test_button_tells_a_wrong_token(edition: Edition, filled: Filled) -> None:
    title, text = filled.wrong
    assert title == "Test Connection Failed"
    assert edition.milvus.uri in text
    assert "1800" in text
    assert NEEDLE not in text


def test_the_test_button_tells_what_it_reached(edition: Edition, filled: Filled) -> None:
    title, text = filled.right
    assert title == "Test Connection Successful"
    assert text.startswith(f"Milvus at {edition.milvus.uri} as {USER}, database default, 1 collection, ")
    assert NEEDLE not in text


def test_the_log_shows_the_index_and_no_token(edition: Edition, run: Run) -> None:
    edition.pages.task(DAG, run.run_id, "create_index")
    html = edition.pages.shows("Creating index docs/vector_hnsw: HNSW", f"Finished, {ROWS:,} of {ROWS:,} rows indexed")
    edition.pages.picture(edition.picture("task"), width=1440, height=470)
    assert NEEDLE not in html
    # Airflow takes texts in the extra for secrets, and would warn of those that are too short to be masked.
    assert "Skipping masking" not in html
    edition.pages.task(DAG, run.run_id, "check_masking")
    assert NEEDLE not in edition.pages.shows(f"the connection's credentials: {USER}:***", "the hook's token: ***")


def test_the_rendered_template_shows_the_parameters_and_no_token(edition: Edition, run: Run) -> None:
    edition.pages.task(DAG, run.run_id, "create_index", "/rendered_templates")
    html = edition.pages.shows('"indexType": "HNSW"', '"efConstruction": 200')
    edition.pages.picture(edition.picture("rendered-templates"), height=770)
    assert NEEDLE not in html
    edition.pages.task(DAG, run.run_id, "check_masking", "/rendered_templates")
    assert NEEDLE not in edition.pages.shows(f'"{USER}:***"')


def test_the_xcom_is_the_description_of_the_index(edition: Edition, run: Run) -> None:
    page = edition.pages.task(DAG, run.run_id, "create_index", "/xcom")
    page.get_by_role("button", name="Expand all").click()
    wanted = {"index_name": "vector_hnsw", "index_type": "HNSW", "state": "Finished", "total_rows": ROWS}
    html = edition.pages.shows("return_value", *(f'"{key}": {json.dumps(value)}' for key, value in wanted.items()))
    edition.pages.picture(edition.picture("xcom"), height=800)
    assert NEEDLE not in html


def test_the_extra_link_leads_to_the_console(edition: Edition, run: Run) -> None:
    edition.pages.task(DAG, run.run_id, "create_index", "/details")
    html = edition.pages.shows("Extra Links", "Milvus console")
    edition.pages.picture(edition.picture("extra-link"), height=560)
    assert NEEDLE not in html
    link = CONSOLE.format(database="default", collection="docs")
    assert edition.pages.follow("Milvus console") == link


def test_nothing_that_the_pages_got_has_the_token(edition: Edition, run: Run) -> None:
    """The last one: it closes the window."""
    said = edition.pages.close()
    for part, text in {"/connections/test": "Milvus at", "/logs/": "the hook's token: ***", "/xcom": "index"}.items():
        assert any(part in request and text in answer for request, answer in said.items()), (part, list(said))
    assert [request for request, answer in said.items() if NEEDLE in answer] == []
