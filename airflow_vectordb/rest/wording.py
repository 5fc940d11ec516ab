"""Text for messages: times, states, locations, and shortening of long names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Formatter

#: The minimum number of characters that remain of a shortened name.
_SHORTEST = 12
#: Characters of a word in a sentence that has to be shortened.
_LONGEST_WORD = 24
#: Units of time in seconds, each with the smaller unit that is shown with it.
_UNITS = (("day", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1))
_STATES = {
    "LoadStateLoaded": "loaded",
    "LoadStateLoading": "loading",
    "LoadStateNotLoad": "not loaded",
    "LoadStateNotExist": "not there",
    "IndexStateNone": "not begun",
    "Unissued": "not begun",
    "InProgress": "in progress",
    "Retry": "to be retried",
}


@dataclass(frozen=True)
class Where:
    """
    The location of an error, as shown in its message.

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
    """Format a time: ``0.4 s``, ``35 s``, ``6 min 40 s``, ``1 h 30 min`` or ``2 days``."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.2g} s"
    left = round(seconds)
    # Rounded to the smaller unit: seconds do not matter in a wait of days.
    coarse = 3600 if left >= 86400 else 60 if left >= 3600 else 1
    left = round(left / coarse) * coarse
    for unit, size, smaller, less in _UNITS:
        if left >= size:
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
    used = sorted(part_names(template), key=lambda name: len(parts[name]))
    left = room - len(template.format_map(dict.fromkeys(used, "")))
    shares = {}
    for place, name in enumerate(used):
        shares[name] = shorten(parts[name], max(left // (len(used) - place), _SHORTEST))
        left -= len(shares[name])
    return template.format_map(shares)


def part_names(template: str) -> set[str]:
    """Return the names of a template's parts."""
    return {name for _, name, _, _ in Formatter().parse(template) if name}


def sentence(text: str) -> str:
    """Return a text with a full stop, unless it ends with punctuation."""
    return text if not text or text.endswith((".", "!", "?", "…", ".)")) else f"{text}."
