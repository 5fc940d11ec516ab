"""What users give as schemas and index parameters: read as far as possible, with everything that is wrong reported.

What is surely wrong is refused: a near miss of a known name, a value of another kind. What is merely not known here is
sent, with a warning: servers are newer than tables, and what they make of it is read back.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from airflow_vectordb.rest.notation import UnreadableTextError, read_text
from airflow_vectordb.rest.spelling import (
    describe_value,
    has_template,
    near_miss,
    normalize_key,
    show,
    suggest,
    why_no_name,
)
from airflow_vectordb.rest.values import Kind, check_value

#: What each refusal of something that a newer server may know says.
SWITCH = "allow_unknown=True sends it as it is"


@dataclass
class Parsed:
    """What was parsed of what a user gave, and everything that is wrong, one sentence each."""

    problems: list[str] = field(default_factory=list)
    #: Those of them that are about keys, names and structure, which no template mends.
    malformed: list[str] = field(default_factory=list)
    #: ``collectionName`` and ``dbName`` of a whole request body, those of the two that are given.
    envelope: Mapping[str, str] = field(default_factory=dict)


def describe_given(value: Any) -> str:
    """Describe what is no mapping, for messages."""
    hint = ": pass the name of a file beside the DAG as a string" if isinstance(value, os.PathLike) else ""
    return f"{describe_value(value)}{hint}"


@dataclass
class Reader:
    """Reads one mapping of what a user gave, and adds what is wrong to ``parsed``, with ``where`` before it."""

    parsed: Parsed
    where: str = ""
    allow_unknown: bool = False
    #: What is sent although it is not known here, one sentence each.
    warnings: list[str] = field(default_factory=list)
    #: Names that were given, though misspelt or with an impossible value: they are not missing.
    tried: set[str] = field(default_factory=set)

    def within(self, where: str) -> Reader:
        """Return a reader of something within it, which gives its warnings to this one."""
        return Reader(self.parsed, f"{where}: ", self.allow_unknown, self.warnings)

    def refuse(self, what: str, *, malformed: bool = True) -> None:
        """Add one sentence about what is wrong."""
        self.parsed.problems.append(f"{self.where}{what}")
        if malformed:
            self.parsed.malformed.append(f"{self.where}{what}")

    def refuse_unless_allowed(self, what: str, *, malformed: bool = False) -> bool:
        """Refuse what looks wrong, or warn of it if it is to be sent in any case; return whether it is sent."""
        if self.allow_unknown:
            return self.warn(what)
        self.refuse(f"{what}{'' if what.endswith('?') else ';'} {SWITCH}", malformed=malformed)
        return False

    def unknown(self, what: str, meant: str | None = None, *, malformed: bool = False) -> bool:
        """Refuse what looks misspelt; warn of what is merely not known; return whether it is sent."""
        if meant is None:
            return self.warn(what)
        return self.refuse_unless_allowed(f"{what}; did you mean {meant!r}?", malformed=malformed)

    def warn(self, what: str) -> bool:
        """Warn of what is sent although it is not known."""
        self.warnings.append(f"{self.where}{what}: sent as it is")
        return True

    def rename(
        self,
        raw: Mapping[Any, Any],
        known: Mapping[str, str],
        *,
        ignored: Iterable[str] = (),
        params: Iterable[str] = (),
        advice: str = "",
    ) -> dict[str, Any]:
        """
        Return the values by the names that the API has for their keys; ``known`` has those by normalized keys.

        :param params: names that a key may have meant, too
        :param advice: for a key that resembles none of them
        """
        given: dict[str, Any] = {}
        for original, value in raw.items():
            key, shown = normalize_key(str(original)), show(str(original))
            name = known.get(key)
            if name in given:
                self.refuse(f"{name} is given twice, as {shown} too")
            elif name is not None:
                given[name] = value
            elif key in ignored:
                continue
            elif has_template(str(original)):
                self.refuse_templated_key(str(original))
            else:
                names = [*dict.fromkeys(known.values())]
                meant = near_miss(str(original), [*names, *params])
                self.tried |= {meant} if meant else set()
                hint = suggest(str(original), [meant] if meant else names)
                self.refuse(f"unknown key {shown}{advice if 'known:' in hint else ''}{hint}")
        return given

    def unwrap(self, raw: Mapping[Any, Any], key: str, *, advice: str = "") -> Any:
        """Return what a whole request body has under a key, and keep what the request is about."""
        names = {normalize_key(name): name for name in (key, "collectionName", "dbName")}
        body = self.rename(raw, names, advice=advice)
        inner = body.pop(key)
        self.parsed.envelope = {name: str(value) for name, value in body.items() if value not in (None, "")}
        return inner

    def refuse_templated_key(self, key: str) -> None:
        """Refuse a key that looks like a template."""
        self.refuse(f"the key {show(key)} is a template: Airflow renders only the values of a mapping")

    def text(self, value: Any, what: str, *, required: bool = False) -> str | None:
        """Read a text; None if there is none, or what is given cannot be one."""
        if isinstance(getattr(value, "name", None), str) and hasattr(value, "value"):
            value = value.name  # of pymilvus's enumerations
        if value is None:
            if required and what not in self.tried:
                self.refuse(f"{what} is missing")
        elif not isinstance(value, str):
            quote = ": put it in quotes" if isinstance(value, int | float | date) else ""  # as YAML's no, and dates
            self.refuse(f"{what} must be a string, not {describe_value(value)}{quote}", malformed=False)
        elif reason := why_no_name(value):
            self.refuse(f"{what} {reason}", malformed=not has_template(value))
        else:
            return value.strip()
        return None

    def word(
        self, given: str | None, what: str, known: Collection[str], fold: Callable[[str], str] = str.casefold
    ) -> str | None:
        """Return a name as servers spell it; as it was given, if it is not known; None if it is refused."""
        if given is None or given in known:
            return given
        found = next((name for name in known if fold(name) == fold(given)), None)
        if found is not None or self.unknown(f"unknown {what} {show(given)}", near_miss(given, known)):
            return found or given
        return None

    def mapping(self, value: Any, what: str) -> dict[str, Any]:
        """Read a mapping, also from a text; an empty one if there is none, or what is given is no mapping."""
        if isinstance(value, str):  # {{ params.build | tojson }}
            try:
                value = read_text(value, what) if value.strip() else None
            except UnreadableTextError as error:
                self.refuse(str(error), malformed=False)
                value = None
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.refuse(f"{what} must be a mapping, not {describe_given(value)}", malformed=False)
            return {}
        return {str(key): item for key, item in value.items()}

    def value(self, value: Any, what: str, kind: Kind | None) -> Any:
        """Return the value of a parameter as servers store it; None if it cannot be one."""
        try:
            return check_value(value, kind)
        except (ValueError, OverflowError) as error:
            self.tried.add(what)
            self.refuse(f"{what if what.isprintable() and len(what) <= 60 else show(what)} {error}", malformed=False)
            return None
