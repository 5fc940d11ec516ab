"""The text of an error: cause, advice, where, and the server's code and words."""

from __future__ import annotations

import re
from typing import ClassVar

from airflow_vectordb.rest.text import printable
from airflow_vectordb.rest.wording import Where, fit, part_names, sentence, shorten

#: Characters for cause and advice together: Airflow's log page shows no more of a line.
HEAD = 100
# `[collection=docs]`, as Milvus ends its errors
_NAMED = re.compile(r"\[(database|collection|partition|index|indexName|alias|field|fieldName)=([^\[\]]{1,255})\]")
_PRIVILEGE = re.compile(r"\bPrivilege([A-Z]\w{1,100})")
_DENIED = re.compile(r"Privilege(\w{1,100}): permission deny to (.{1,255}?) in the `?([^`\s]{1,255})`? database")
# Uninformative text that Milvus adds to its reasons.
_BEFORE = re.compile(
    r"^(?:failed to create \w+ plan: "
    r"|(?:can only accept json format request|missing required parameters|fail to deal the insert data"
    r"|request is rejected by limiter|please check the primary key and its' type can only in \[int, string\])"
    r", error: )+"
)
_EXPECTED = re.compile(r"(^|: )invalid parameter\[expected=([^\[\]]+)\]\[actual=([^\[\]]*)\]$")
_AFTER = re.compile(r"(?:: invalid parameter)?(?:\[expected=valid index params\]\[actual=invalid index params\])?$")


class ErrorText:
    """The text of a :class:`~airflow_vectordb.rest.errors.MilvusError`, composed of its attributes."""

    #: The cause; if the call lacks a name that it contains, the first line of the docstring is used instead.
    cause_template: ClassVar[str] = ""
    #: What to do about it.
    advice: ClassVar[str] = ""
    message: str
    code: int | None
    http_status: int | None
    where: Where | None
    cause: str
    hint: str
    attempts: int

    def __str__(self) -> str:
        return self.text()

    def text(self, task_id: str | None = None, *, longest: int = HEAD) -> str:
        """
        Return the text: the cause, the advice, where, and the server's code and words.

        :param longest: characters for cause and advice together
        """
        # Both have to fit.
        room = max(longest - len(self.hint.partition(". ")[0]) - 2, 40)
        cause, rest = self._cause(room)
        head = f"{sentence(cause)} {self.hint}" if self.hint else cause
        location = ": ".join(part for part in (self._location(task_id), rest) if part)
        if not location:
            return printable(head)
        return printable(f"{head}\n{location}" if "\n" in head else f"{sentence(head)} {location}")

    def _cause(self, room: int) -> tuple[str, str]:
        """Return the cause, shortened to fit, and the part of the message that it omits."""
        if self.cause:
            cause, words = _shorten_cause(self.cause, room), self._words()
            return cause, words if cause == self.cause else f"{self.cause}; {words}"
        answered = self.code is not None or self.http_status is not None
        template, parts, words = self.cause_template, self._parts(), self._words()
        fields = part_names(template)
        known = fields <= parts.keys()
        if template and (answered or (known and "words" in fields)):
            meant = (self.__doc__ or self.message).strip().partition("\n")[0].rstrip(".")
            cause = fit(template, room, **parts) if known else shorten(meant, room)
            return cause, "" if "words" in fields and words in cause else words
        if not self.hint or "\n" in self.message:
            return self.message, ""
        # In our own messages, the first sentence is the cause.
        first, _, rest = self.message.partition(". ")
        return (first, rest) if len(first) <= room else (_shorten_cause(first, room), self.message)

    def _parts(self) -> dict[str, str]:
        named = names_in(self.message)
        where = self.where or Where("", "", "")
        # Only the server knows which one of several partitions it is.
        names = dict(where.names)
        names |= {kind: name for kind, name in named.items() if kind in ("partition", "database") or kind not in names}
        parts = {kind: name if kind == "privilege" else repr(name) for kind, name in names.items()}
        if where.server:
            parts |= {"server": where.server, "path": where.path}
        return {**parts, "status": str(self.http_status), "words": self._words(gist(self.message))}

    def _words(self, words: str | None = None) -> str:
        words = self.message if words is None else words
        return words if self.code is None else f'"{words}"'

    def _location(self, task_id: str | None) -> str:
        facts = [f"code {self.code}"] if self.code is not None else []
        if self.http_status not in (None, 200):
            facts.append(f"HTTP {self.http_status}")
        parts = [
            str(self.where) if self.where is not None else "",
            f"after {self.attempts} attempts" if self.attempts > 1 else "",
            f"({', '.join(facts)})" if facts else "",
        ]
        location = " ".join(part for part in parts if part)
        return ": ".join(part for part in (f"task {task_id}" if task_id else "", location) if part)


def _shorten_cause(cause: str, room: int) -> str:
    """Shorten a cause; if a difference (`M: 32 -> 16`) does not fit, first what stands before it."""
    while len(cause) > room:
        before, _, after = cause.partition(" -> ")
        fits = len(before) + len(" -> ") + len(re.split("[,;]", after)[0]) < room
        if fits or not after or before.count(": ") < 2:
            break
        cause = cause.partition(": ")[2]
    return shorten(cause, room)


def gist(words: str) -> str:
    """Return the server's reason without the text that Milvus adds to it."""
    words = _AFTER.sub("", _BEFORE.sub("", words)) or words
    return _EXPECTED.sub(r"\1expected \2, got \3", words)


def names_in(words: str) -> dict[str, str]:
    """
    Return what a server's message names: ``partition not found[partition=p1]`` has a partition ``p1``.

    :return: names by kind: ``database``, ``collection``, ``partition``, ``index``, ``alias``, ``field``; for a
        missing privilege, ``privilege`` and ``user``
    """
    # Some messages contain the collection's id in place of its name: useless to users.
    found = {kind.removesuffix("Name"): name for kind, name in _NAMED.findall(words) if not name.isdigit()}
    if denied := _DENIED.search(words):
        found |= dict(zip(("privilege", "user", "database"), denied.groups(), strict=True))
    elif named := _PRIVILEGE.search(words):
        found["privilege"] = named[1]
    return found
