"""The timing of a local server."""

from __future__ import annotations

import dataclasses
import difflib
import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Timing of a cluster, in seconds; the defaults are close to those observed on Milvus 2.6.

    A flush returns immediately; then ``rowCount`` follows, then the counts of index descriptions, then the builds. Only
    reported states change: rows are always found.

    :param row_count: from a flush until ``get_stats`` counts its rows.
    :param total_rows: from a flush until index descriptions count its rows, and builds begin.
    :param issue: time for which an index that is created over rows is ``Unissued``.
    :param build: minimum time of a build.
    :param build_per_1000: additional time for each 1,000 rows.
    :param load: minimum time of loading.
    :param load_per_1000: additional time for each 1,000 rows.
    :param flush_interval: from a flush until the same collection may be flushed again; 0 for no limit.
    :raises ValueError: if a value is not a number of seconds.
    """

    row_count: float = 0.6
    total_rows: float = 2.5
    issue: float = 1.0
    build: float = 2.0
    build_per_1000: float = 1.0
    load: float = 1.0
    load_per_1000: float = 0.1
    flush_interval: float = 10.0

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise ValueError(f"{name} of a pace is a number of seconds from 0 on, not {value!r}")

    @classmethod
    def parse(cls, text: str) -> Pace | None:
        """Read ``immediate``, ``quick``, ``real``, or one of the last two with settings: ``real,build=8``.

        :return: None for ``immediate``, which takes no time at all.
        :raises ValueError: when it is none of these.
        """
        name, *settings = (part.strip() for part in text.split(","))
        if name not in ("immediate", "quick", "real") or (name == "immediate" and settings):
            raise ValueError(f"a pace is immediate, quick or real, or real,NAME=SECONDS,… with {_NAMES}; not {text!r}")
        if name == "immediate":
            return None
        values: dict[str, float] = {}
        for setting in settings:
            key, _, seconds = (part.strip() for part in setting.partition("="))
            if key not in _DEFAULTS:
                near = difflib.get_close_matches(key, _DEFAULTS, 1)
                raise ValueError(f"a pace has no {key!r}" + (f"; {near[0]}?" if near else f": it has {_NAMES}"))
            try:
                values[key] = float(seconds)
            except ValueError:
                raise ValueError(f"{key} of a pace is a number of seconds from 0 on, not {seconds!r}") from None
        return cls(**(_QUICK | values if name == "quick" else values))

    @classmethod
    def of(cls, given: Pace | str | None, *, backend: bool = False) -> Pace | None:
        """Return a pace, given a pace, its text, or None for the default.

        The default is ``quick``; with a backend, which has its own timing, it is ``immediate``.
        """
        if given is None:
            given = "immediate" if backend else "quick"
        return cls.parse(given) if isinstance(given, str) else given

    def building(self, rows: int) -> float:
        """Return how long a build over some rows takes, in seconds."""
        return self.build + rows / 1000 * self.build_per_1000

    def loading(self, rows: int) -> float:
        """Return how long loading some rows takes, in seconds."""
        return self.load + rows / 1000 * self.load_per_1000


# Work after the return of a call is never done before it, but soon afterwards.
_QUICK = {
    "row_count": 0.2,
    "total_rows": 0.8,
    "issue": 0.0,
    "build": 0.0,
    "build_per_1000": 0.0,
    "load": 0.1,
    "load_per_1000": 0.0,
    "flush_interval": 0.0,
}
_DEFAULTS = {field.name: field.default for field in dataclasses.fields(Pace)}
_NAMES = ", ".join(_DEFAULTS)

__all__ = ["Pace"]
