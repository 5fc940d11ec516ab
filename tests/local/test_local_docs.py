"""docs/local-server.md does what it says: each block of code in it is run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from airflow_vectordb.local import LocalMilvus, Pace
from tests.support.serving import announced, serve

pytestmark = pytest.mark.slow  # each starts a server

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "local-server.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def block(language: str, starts: str) -> str:
    """The one block that begins so."""
    (found,) = (code for kind, code in BLOCKS if kind == language and code.startswith(starts))
    return str(found)


SERVE = block("shell", "AIRFLOW_VECTORDB_TOKEN=")
CURL = block("shell", "curl")
WITH = block("python", "from airflow_vectordb.local import LocalMilvus\n")
PACE = block("python", "from airflow_vectordb.local import LocalMilvus, Pace\n")
CONFTEST = block("python", "pytest_plugins")
IMPORT = block("python", "import json")
TESTS = block("python", "from airflow_vectordb.hooks.milvus import MilvusHook")


def test_no_block_is_left_out() -> None:
    assert sorted(code for _, code in BLOCKS) == sorted([SERVE, CURL, WITH, PACE, IMPORT, CONFTEST, TESTS])


def test_serve_and_curl(tmp_path: Path) -> None:
    variable, program, *arguments = shlex.split(SERVE)
    name, _, token = variable.partition("=")
    assert program == "airflow-vectordb"
    assert arguments.pop(0) == "serve"
    # As it is written, but for the port and the directory, which belong to this machine.
    arguments[arguments.index("--data") + 1] = str(tmp_path)
    with serve(*arguments, "--port", "0", **{name: token}) as process:
        uri = announced(process)[0].split()[4]
        curl, silent, url, flag, header, data, body = shlex.split(CURL)
        assert (curl, silent, flag, data) == ("curl", "-s", "-H", "-d")
        sent = dict([header.split(": ", 1)])
        with requests.Session() as session:
            session.trust_env = False
            url = url.replace("http://127.0.0.1:19530", uri)
            assert session.post(url, data=body, headers=sent, timeout=60).json() == {"code": 0, "data": []}


@pytest.mark.parametrize("code", [WITH, PACE], ids=["immediate", "paced"])
def test_the_with_blocks(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_the_times_that_the_page_names() -> None:
    pace, text = Pace(), " ".join(PAGE.split())
    for words in (
        f"right after {pace.row_count:g} s; index descriptions count the rows after {pace.total_rows:g} s",
        f"indexed, in {pace.build:g} s plus {pace.build_per_1000:g} s per 1,000 rows",
        f"`Unissued` for {pace.issue:g} s",
        f"Loading takes {pace.load:g} s plus {pace.load_per_1000:g} s per 1,000 rows",
        f"flushed once in {pace.flush_interval:g} s",
    ):
        assert words in text
    assert all(f"{name}=" in PACE for name in vars(pace))


def test_the_import_job() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"state='(Pending|Importing|Completed)'", done.stdout)


def test_the_test_suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.setenv("AIRFLOW_HOME", str(pytester.mkdir("airflow-home")))
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_docs=TESTS)
    pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", timeout=120).assert_outcomes(passed=2)


@pytest.mark.parametrize("name", ["uri", "token", "files", "log", "kill", "start", "stop"])
def test_what_the_page_names_is_there(name: str) -> None:
    # uri and token have values only on an instance.
    assert hasattr(LocalMilvus, name) or name in vars(LocalMilvus())
