"""The documentation as data: its pages and their blocks of code; ``test_docs_dags.py`` says how blocks are marked."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("**/*.md")])
FENCE = re.compile(r"^ *(```+|~~~+)\s*(.*?)\s*$")
COMMENT = re.compile(r"^ *<!--\s*(.*?)\s*-->\s*$")
#: What may stand in a comment above a block, before the colon.
MARKS = ("given", "file", "returned by", "not run")


@dataclass(frozen=True)
class Block:
    """
    A fenced block.

    :param page: path of its page, from the project's directory on
    :param line: number of the line with the opening fence
    :param language: the word after the fence; empty: there is none
    :param code: what is in it, dedented
    :param marks: comments right above it, as (word, what is said)
    """

    page: str
    line: int
    language: str
    code: str
    marks: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    def marked(self, word: str) -> list[str]:
        """Return what the comments with that word say."""
        return [said for mark, said in self.marks if mark == word]

    @property
    def is_dag(self) -> bool:
        """Whether it is a DAG file."""
        return self.language == "python" and re.search(r"^(with DAG\(|@dag\b)", self.code, re.MULTILINE) is not None


@cache
def blocks_of(page: Path) -> tuple[Block, ...]:
    """
    Find the fenced blocks of a page.

    :param page: a Markdown file
    :raises ValueError: for a fence that is not closed
    """
    found: list[Block] = []
    lines = page.read_text().splitlines()
    name = page.relative_to(ROOT).as_posix()
    at = 0
    while at < len(lines):
        opened = FENCE.match(lines[at])
        if opened is None:
            at += 1
            continue
        marks = []
        above = at - 1
        while above >= 0 and (comment := COMMENT.match(lines[above])):
            word, _, said = comment[1].partition(":")
            marks.append((word.strip(), said.strip()))
            above -= 1
        end = at + 1
        while end < len(lines) and lines[end].strip() != opened[1]:
            end += 1
        if end == len(lines):
            raise ValueError(f"{name}:{at + 1}: this block does not end")
        code = textwrap.dedent("\n".join([*lines[at + 1 : end], ""]))
        found.append(Block(name, at + 1, opened[2], code, tuple(reversed(marks))))
        at = end + 1
    return tuple(found)


def blocks(*languages: str) -> list[Block]:
    """
    Find blocks of all pages.

    :param languages: of these; none: of all
    """
    return [block for page in PAGES for block in blocks_of(page) if not languages or block.language in languages]


def prose(page: Path) -> str:
    """
    Read a page without its code, in which nothing is a link or a title.

    :param page: a Markdown file
    """
    kept: list[str] = []
    fence = ""
    for line in page.read_text().splitlines():
        opened = FENCE.match(line)
        if fence:
            fence = "" if line.strip() == fence else fence
        elif opened is not None:
            fence = opened[1]
        else:
            kept.append(line)
    return "\n".join(kept)


def table(page: Path, section: str) -> list[list[str]]:
    """
    Read the first table of a section, without its head.

    :param page: a Markdown file
    :param section: its title
    :return: the cells of each row; ``\\|`` in one is ``|``
    """
    lines = iter(prose(page).partition(f"\n## {section}\n")[2].partition("\n## ")[0].splitlines())
    rows = []
    for line in lines:
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
            rows.append([cell.strip().replace(r"\|", "|") for cell in cells])
        elif rows:
            break
    return rows[2:]
