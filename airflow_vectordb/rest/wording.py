"""Texts for people: times, names that are too long, and the text of an error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Formatter
from typing import TYPE_CHECKING

from airflow_vectordb.rest.text import printable

if TYPE_CHECKING:
    from airflow_vectordb.rest.errors import MilvusError

#: Characters for cause and advice together: what Airflow's log page shows of a line.
HEAD = 100
#: Characters that are left of a name, however little room there is.
_SHORTEST = 12
#: Characters of a word within a sentence that is too long.
_LONGEST_WORD = 24
_UNITS = (("day", 86400), ("h", 3600), ("min", 60))
_STATES = {
    "LoadStateLoaded": "loaded",
    "LoadStateLoading": "loading",
    "LoadStateNotLoad": "not loaded",
    "LoadStateNotExist": "not there",
    "IndexStateNone": "not begun",
    "Unissued": "not begun",
    "InProgress": "in progress",
    "Retry": "to be tried again",
}
# `[collection=docs]`, as Milvus ends its errors
_NAMED = re.compile(r"\[(database|collection|partition|index|indexName|alias|field|fieldName)=([^\[\]]{1,255})\]")
_PRIVILEGE = re.compile(r"\bPrivilege([A-Z]\w{1,100})")
_DENIED = re.compile(r"Privilege(\w{1,100}): permission deny to (.{1,255}?) in the `?([^`\s]{1,255})`? database")
# What Milvus puts around its reasons, and says nothing to people.
_BEFORE = re.compile(
    r"^(?:failed to create \w+ plan: "
    r"|(?:can only accept json format request|missing required parameters|fail to deal the insert data"
    r"|request is rejected by limiter|please check the primary key and its' type can only in \[int, string\])"
    r", error: )+"
)
_AFTER = re.compile(r"(?:: invalid parameter)?(?:\[expected=valid index params\]\[actual=invalid index params\])?$")


@dataclass(frozen=True)
class Where:
    """
    What an error was about, in the words of its message.

    :param path: the call that failed, as ``indexes/create``; empty: it was not a call
    :param target: what it was about, as ``collection 'docs' (database 'default')``
    :param server: the base URL
    :param names: what the call names, by kind: ``{"collection": "docs", "database": "default"}``
    :param connection: id of the Airflow connection, where that is what to look at; empty: it is not
    """

    path: str
    target: str
    server: str
    names: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    connection: str = ""

    def __str__(self) -> str:
        what = " for ".join(part for part in (self.path, self.target) if part)
        return f"{what} at {self.server}" + (f" (connection {self.connection!r})" if self.connection else "")


def duration(seconds: float) -> str:
    """Return a time as people say it: ``0.4 s``, ``35 s``, ``6 min 40 s``, ``1 h 30 min`` or ``2 days``."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.2g} s"
    left = round(seconds)
    for (unit, size), (smaller, less) in zip(_UNITS, (*_UNITS[1:], ("s", 1)), strict=True):
        if left >= size:
            # To the nearest smaller unit: who waits for days does not count seconds.
            if left % less:
                return duration(round(left / less) * less)
            name = "days" if unit == "day" and left >= 2 * size else unit
            rest = left % size // less
            return f"{left // size} {name}" + (f" {rest} {smaller}" if rest else "")
    return f"{left} s"


def in_words(state: str) -> str:
    """Return a server's state in English: ``LoadStateNotLoad`` is ``not loaded``. Unknown states stay as they are."""
    return _STATES.get(state, state)


def shorten(text: str, longest: int) -> str:
    """Shorten a name in its middle; of several words the longest in their middle, and then all at the end."""
    if len(text) <= longest:
        return text
    if text[0] == text[-1] == '"':
        return f'"{shorten(text[1:-1], longest - 2)}"'
    words = text.split(" ")
    if len(words) > 1:
        text = " ".join(shorten(word, _LONGEST_WORD) for word in words)
        return text if len(text) <= longest else f"{text[: longest - 1].rstrip(' ,;:…')}…"
    end = (longest - 1) // 3
    return f"{text[: longest - 1 - end]}…{text[len(text) - end :]}"


def fit(template: str, room: int, **parts: str) -> str:
    """
    Fill a template, shortening the longest parts first.

    :param room: characters at most, as long as some are left of each part
    """
    used = sorted(_fields(template), key=lambda name: len(parts[name]))
    left = room - len(template.format_map(dict.fromkeys(used, "")))
    shares = {}
    for place, name in enumerate(used):
        shares[name] = shorten(parts[name], max(left // (len(used) - place), _SHORTEST))
        left -= len(shares[name])
    return template.format_map(shares)


def _fields(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name}


def error_text(error: MilvusError, task_id: str | None = None, *, longest: int = HEAD) -> str:
    """
    Word an error: the cause, the advice, where, and the server's code and words.

    :param longest: characters within which cause and advice are told
    """
    # Both have to be read with one look.
    room = max(longest - len(error.hint.partition(". ")[0]) - 2, 40)
    cause, rest = _cause(error, room)
    head = f"{sentence(cause)} {error.hint}" if error.hint else cause
    place = ": ".join(part for part in (_place(error, task_id), rest) if part)
    if not place:
        return printable(head)
    return printable(f"{head}\n{place}" if "\n" in head else f"{sentence(head)} {place}")


def _cause(error: MilvusError, room: int) -> tuple[str, str]:
    """Return the cause, in the room that there is, and what of the message it leaves out."""
    if error.cause:
        cause, words = _shorten_cause(error.cause, room), _words(error)
        return cause, words if cause == error.cause else f"{error.cause}; {words}"
    answered = error.code is not None or error.http_status is not None
    template, parts, words = error.cause_template, _parts(error), _words(error)
    fields = _fields(template)
    known = fields <= parts.keys()
    if template and (answered or (known and "words" in fields)):
        meant = (error.__doc__ or error.message).strip().partition("\n")[0].rstrip(".")
        cause = fit(template, room, **parts) if known else shorten(meant, room)
        return cause, "" if "words" in fields and words in cause else words
    if not error.hint or "\n" in error.message:
        return error.message, ""
    # Of words of our own, the first sentence is the cause.
    first, _, rest = error.message.partition(". ")
    return (first, rest) if len(first) <= room else (_shorten_cause(first, room), error.message)


def _shorten_cause(cause: str, room: int) -> str:
    """Shorten a cause; if a difference (`M: 32 -> 16`) does not fit, first what stands before it."""
    while len(cause) > room:
        before, _, after = cause.partition(" -> ")
        fits = len(before) + len(" -> ") + len(re.split("[,;]", after)[0]) < room
        if fits or not after or before.count(": ") < 2:
            break
        cause = cause.partition(": ")[2]
    return shorten(cause, room)


def _parts(error: MilvusError) -> dict[str, str]:
    named = names_in(error.message)
    where = error.where or Where("", "", "")
    # Of several partitions only the server knows which one it is.
    names = dict(where.names)
    names |= {kind: name for kind, name in named.items() if kind in ("partition", "database") or kind not in names}
    parts = {kind: name if kind == "privilege" else repr(name) for kind, name in names.items()}
    if where.server:
        parts |= {"server": where.server, "path": where.path}
    return {**parts, "status": str(error.http_status), "words": _words(error, gist(error.message))}


def _words(error: MilvusError, words: str | None = None) -> str:
    words = error.message if words is None else words
    return words if error.code is None else f'"{words}"'


def _place(error: MilvusError, task_id: str | None) -> str:
    facts = [f"code {error.code}"] if error.code is not None else []
    if error.http_status not in (None, 200):
        facts.append(f"HTTP {error.http_status}")
    parts = [
        str(error.where) if error.where is not None else "",
        f"after {error.attempts} attempts" if error.attempts > 1 else "",
        f"({', '.join(facts)})" if facts else "",
    ]
    place = " ".join(part for part in parts if part)
    return ": ".join(part for part in (f"task {task_id}" if task_id else "", place) if part)


def sentence(text: str) -> str:
    """Return a text with a full stop, unless it ends as a sentence ends."""
    return text if not text or text.endswith((".", "!", "?", "…", ".)")) else f"{text}."


def gist(words: str) -> str:
    """Return the server's reason without what Milvus puts around it."""
    return _AFTER.sub("", _BEFORE.sub("", words)) or words


def names_in(words: str) -> dict[str, str]:
    """
    Return what a server's message names: ``partition not found[partition=p1]`` has a partition ``p1``.

    :return: names by kind: ``database``, ``collection``, ``partition``, ``index``, ``alias``, ``field``; for a
        missing privilege, ``privilege`` and ``user``
    """
    # A collection's number, which some name in its place, says nothing to people.
    found = {kind.removesuffix("Name"): name for kind, name in _NAMED.findall(words) if not name.isdigit()}
    if denied := _DENIED.search(words):
        found |= dict(zip(("privilege", "user", "database"), denied.groups(), strict=True))
    elif named := _PRIVILEGE.search(words):
        found["privilege"] = named[1]
    return found
