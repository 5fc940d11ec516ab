"""The documentation: its code is code, its DAGs are DAGs, its links lead somewhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_vectordb.rest import errors
from airflow_vectordb.rest.codes import CODES

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("**/*.md")])
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def blocks(language: str) -> Iterator[object]:
    for page in PAGES:
        for number, (kind, code) in enumerate(FENCE.findall(page.read_text()), start=1):
            if kind == language:
                yield pytest.param(code, id=f"{page.name}, block {number}")


@pytest.mark.parametrize("code", list(blocks("python")))
def test_code_is_code_and_what_it_imports_is_there(code: str) -> None:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("airflow"):
            exec(ast.unparse(node), {})


@pytest.mark.parametrize("code", [one for one in blocks("python") if "with DAG(" in one.values[0]])  # type: ignore[attr-defined]
def test_a_dag_is_a_dag(code: str) -> None:
    from airflow.sdk import DAG

    made: list[DAG] = []

    def noted(dag: DAG) -> DAG:
        made.append(dag)
        return dag

    exec(re.sub(r"with DAG\((.*?)\):", r"with noted(DAG(\1)):", code), {"noted": noted})
    assert made
    for dag in made:
        assert dag.tasks
        dag.check_cycle()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        target, _, anchor = link.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        found = (page.parent / target).resolve() if target else page
        assert found.exists(), f"{page.name}: {link}"
        if anchor and found.suffix == ".md":
            titles = re.findall(r"^#+ (.*)$", found.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor in anchors, f"{page.name}: {link}"


def test_there_are_pages_and_blocks() -> None:
    assert len(PAGES) >= 3
    assert len(list(blocks("python"))) >= 8


def test_the_table_of_errors_is_the_codes() -> None:
    told: dict[int, tuple[str, bool]] = {}
    for line in (ROOT / "docs" / "errors.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and cells[0][:1].isdigit():
            for code in re.findall(r"(?<!to )\b\d+\b(?! to)", cells[0]):
                assert int(code) not in told, code
                told[int(code)] = (cells[1].strip("`"), cells[2] == "yes")
    assert told == {code: (cls.__name__, cls.transient) for code, cls in CODES.items()}


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name.endswith("Error")])
def test_every_class_that_is_raised_is_told(name: str) -> None:
    raised = not getattr(errors, name).__subclasses__() or name in {cls.__name__ for cls in CODES.values()}
    assert f"`{name}`" in (ROOT / "docs" / "errors.md").read_text() or not raised
