"""Reads docstrings as they are written in this project, and turns their markup into Markdown's."""

from __future__ import annotations

import ast
import inspect
import re
from typing import Any

ROLE = re.compile(r":(?:class|func|meth|attr|data|mod|exc|py:\w+):`~?([^`<]*?)`")
LITERAL = re.compile(r"``(.+?)``", re.DOTALL)
LINK = re.compile(r"`([^`<]+?)\s+<(https?://[^>]+)>`__?")
PARAM = re.compile(r"^:(param|return|returns|raises|raise)\b ?([\w.*]*):[ \n]?")


def markdown(text: str) -> str:
    """
    Turn the markup of a docstring into Markdown's.

    :param text: reStructuredText, as far as docstrings here use it
    """
    text = ROLE.sub(lambda found: f"`{found[1].rpartition('.')[2]}`", text)
    text = LINK.sub(lambda found: f"[{' '.join(found[1].split())}]({found[2]})", text)
    return LITERAL.sub(lambda found: f"`{' '.join(found[1].split())}`", text)


def body(text: str) -> str:
    """
    Turn a docstring's text into Markdown, and what is indented after ``::`` into a block.

    :param text: without the fields at its end
    """
    made: list[str] = []
    paragraphs = re.split(r"\n{2,}", text.strip("\n"))
    at = 0
    while at < len(paragraphs):
        paragraph = paragraphs[at].rstrip()
        at += 1
        if not paragraph.endswith("::"):
            made.append(markdown(paragraph))
            continue
        lead = paragraph[:-2].rstrip()
        if lead:
            made.append(markdown(f"{lead}:"))
        literal = []
        while at < len(paragraphs) and paragraphs[at].startswith(" "):
            literal.append(paragraphs[at])
            at += 1
        code = inspect.cleandoc("\n" + "\n\n".join(literal))
        made.append(f"```{'python' if is_code(code) else 'text'}\n{code}\n```")
    return "\n\n".join(made)


def is_code(text: str) -> bool:
    """
    Tell Python that stands for itself from other text.

    :param text: of a block
    """
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return "with DAG(" not in text  # a fragment: DAGs in Python blocks are run


def docstring(of: Any) -> tuple[str, dict[str, str], str, list[tuple[str, str]]]:
    """
    Take a docstring apart.

    :param of: a class, function or property
    :return: its text; the text for each parameter; for what is returned; for each error that is raised
    """
    lines = (inspect.getdoc(of) or "").splitlines()
    start = next((number for number, line in enumerate(lines) if PARAM.match(line)), len(lines))
    params: dict[str, str] = {}
    returned = ""
    raised: list[tuple[str, str]] = []
    for chunk in re.split(r"\n(?=:)", "\n".join(lines[start:])):
        found = PARAM.match(chunk)
        if found is None:
            continue
        said = markdown(" ".join(chunk[found.end() :].split()))
        if found[1] == "param":
            params[found[2]] = said
        elif found[1].startswith("return"):
            returned = said
        else:
            raised.append((found[2], said))
    return "\n".join(lines[:start]), params, returned, raised
