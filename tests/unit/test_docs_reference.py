"""``docs/reference/`` is what the code says, and the code says it of all that is public."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from docs_pages import ROOT

import airflow_vectordb

sys.path.append(str(ROOT / "docs"))

from docstrings import docstring
from generate_reference import PAGES, REFERENCE, members, pages

# The inside of the local server and of the demo is nobody's API; a __main__ would run.
INSIDE = ("airflow_vectordb.local.", "airflow_vectordb.demo")
MODULES = [
    found.name
    for found in pkgutil.walk_packages(airflow_vectordb.__path__, "airflow_vectordb.")
    if not found.name.startswith(INSIDE) and not found.name.endswith("__main__")
] + ["airflow_vectordb.local.process"]


def public() -> list[Any]:
    """Find all that is public: functions, classes, and what those have."""
    found = []
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name in getattr(module, "__all__", ()):
            of = getattr(module, name)
            if (inspect.isfunction(of) or inspect.isclass(of)) and of.__module__ == module_name:
                found.append(pytest.param(of, id=f"{module_name}.{name}"))
                if inspect.isclass(of):
                    found += [pytest.param(one, id=f"{module_name}.{name}.{kind}") for kind, one in members(of)]
    return found


@pytest.mark.parametrize("of", public())
def test_a_docstring_tells_each_parameter(of: Any) -> None:
    assert vars(of).get("__doc__") if inspect.isclass(of) else of.__doc__, "no docstring"
    if inspect.isclass(of):
        of_own = None if getattr(of, "_is_protocol", False) else vars(of).get("__init__")
    else:
        of_own = None if isinstance(of, property) else of
    given = inspect.signature(of_own).parameters.values() if of_own is not None else ()
    names = [p.name for p in given if p.name not in ("self", "cls", "args") and p.kind is not p.VAR_KEYWORD]
    told = docstring(of)[1]
    assert [name for name in names if not told.get(name)] == []
    if inspect.isfunction(of):
        assert set(told) - {p.name for p in given} == set(), "told, but not there"


def test_there_are_public_names() -> None:
    ids = {one.id for one in public()}
    assert {
        "airflow_vectordb.operators.index.CreateIndexOperator",
        "airflow_vectordb.hooks.milvus.MilvusHook.send",
        "airflow_vectordb.rest.indexes.create",
        "airflow_vectordb.local.process.LocalMilvus",
    } <= ids
    assert len(ids) > 150


def test_the_pages_are_what_the_code_says() -> None:
    there = {path: path.read_text() for path in REFERENCE.glob("*.md")}
    made = pages()
    for path, text in made.items():
        assert there.get(path) == text, f"{path.name} is out of date: python docs/generate_reference.py"
    assert set(there) == set(made)


def test_every_module_that_people_use_is_told() -> None:
    told = {one.partition(":")[0] for page in PAGES for one in page.modules}
    groups = ("hooks.milvus", "operators.index", "operators.collection", "sensors.milvus", "triggers.milvus", "assets")
    assert set(groups) <= told
    for module_name in importlib.import_module("airflow_vectordb.rest").__all__:
        of = getattr(importlib.import_module("airflow_vectordb.rest"), module_name)
        name = of.__name__ if inspect.ismodule(of) else of.__module__
        assert name.removeprefix("airflow_vectordb.") in told


def test_the_program_says_whether_they_are(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "docs" / "generate_reference.py"), "--check"]
    env = {**os.environ, "AIRFLOW_HOME": str(tmp_path)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "up to date" in done.stdout
