"""The documentation: its code is code, its links lead somewhere. ``tests/dags/test_docs_dags.py`` runs its DAGs."""

from __future__ import annotations

import ast
import configparser
import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml

from airflow_vectordb.rest import errors
from airflow_vectordb.rest.codes import CODES
from tests.support.docs_pages import MARKS, PAGES, ROOT, Block, blocks, blocks_of, prose

LANGUAGES = {"python", "shell", "json", "yaml", "ini", "text"}
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_say_what_they_are(page: Path) -> None:
    for block in blocks_of(page):
        assert block.language in LANGUAGES, f"{block}: {block.language!r}"
        for mark, said in block.marks:
            assert mark in MARKS, f"{block}: {mark}"
            assert said, f"{block}: {mark}"


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_code_is_code_and_what_it_imports_is_there(block: Block) -> None:
    for node in ast.walk(ast.parse(block.code)):
        module = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
        # What is not run may need another provider's package.
        if module.startswith("airflow_vectordb") or (module.startswith("airflow") and not block.marked("not run")):
            exec(ast.unparse(node), {})


@pytest.mark.skipif(shutil.which("bash") is None, reason="this machine has no bash")
@pytest.mark.parametrize("block", blocks("shell"), ids=str)
def test_shell_is_shell(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input=block.code, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("block", blocks("json", "yaml", "ini"), ids=str)
def test_data_is_data(block: Block) -> None:
    if block.language == "json":
        json.loads(block.code)
    elif block.language == "yaml":
        assert isinstance(yaml.safe_load(block.code), dict | list)
    else:
        parser = configparser.ConfigParser(interpolation=None)
        parser.read_string(block.code)
        assert parser.sections()


@cache
def anchors(page: Path) -> frozenset[str]:
    """Make the anchors of a page as GitHub does."""
    found: dict[str, int] = {}
    made = set()
    for title in re.findall(r"^#+ +(.*?) *$", prose(page), re.MULTILINE):
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        made.add(f"{anchor}-{found[anchor]}" if anchor in found else anchor)
        found[anchor] = found.get(anchor, 0) + 1
    return frozenset(made)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(re.sub(r"`[^`\n]*`", "", prose(page))):
        target, _, anchor = link.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        found = (page.parent / target).resolve() if target else page
        assert found.exists(), f"{page.name}: {link}"
        if anchor:
            assert found.suffix == ".md", f"{page.name}: {link}"
            assert anchor in anchors(found), f"{page.name}: {link}"


def test_every_page_can_be_reached() -> None:
    reached: set[Path] = set()
    ahead = [ROOT / "README.md", ROOT / "docs" / "README.md"]
    while ahead:
        page = ahead.pop()
        if page not in reached and page.suffix == ".md" and page.exists():
            reached.add(page)
            targets = [link.partition("#")[0] for link in LINK.findall(prose(page)) if "://" not in link]
            ahead += [(page.parent / target).resolve() for target in targets if target]
    assert set(PAGES) - reached == set()


def test_there_are_pages_and_blocks() -> None:
    assert len(PAGES) >= 3
    assert len(blocks("python")) >= 8


def test_the_table_of_errors_is_the_codes() -> None:
    told: dict[int, tuple[str, bool]] = {}
    for line in (ROOT / "docs" / "errors.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and cells[0][:1].isdigit():
            for code in re.findall(r"(?<!to )\b\d+\b(?! to)", cells[0]):
                assert int(code) not in told, code
                told[int(code)] = (cells[1].strip("`"), cells[2] == "yes")
    assert told == {code: (cls.__name__, cls.transient) for code, cls in CODES.items()}


@pytest.mark.parametrize("name", [name for name in vars(errors) if name.endswith("Error")])
def test_every_class_that_is_raised_is_told(name: str) -> None:
    raised = not getattr(errors, name).__subclasses__() or name in {cls.__name__ for cls in CODES.values()}
    assert f"`{name}`" in (ROOT / "docs" / "errors.md").read_text() or not raised
