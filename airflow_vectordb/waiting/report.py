"""What a wait logs: progress when it changes, new errors, and occasionally that it is still waiting."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, field

from airflow_vectordb.rest.errors import MilvusError
from airflow_vectordb.rest.wording import duration
from airflow_vectordb.waiting.base import Pending, Progress

#: Seconds between the first two reports of an outage or a standstill; the interval doubles with each report.
REPORT_INTERVAL = 300.0


@dataclass
class Report:
    """Turns the polls of one wait into log lines."""

    name: str
    started: float
    _pending: Pending | None = None
    _error: MilvusError | None = None
    _interval: float = REPORT_INTERVAL
    # Progress, as text:
    _progress: str = ""
    _unchanged_since: float = 0.0
    _recent: deque[str] = field(default_factory=lambda: deque(maxlen=8))
    _reported_at: float = float("-inf")
    _first_counts: dict[str, tuple[float, int]] = field(default_factory=dict)
    # Errors:
    _failing: bool = False
    _kinds: set[object] = field(default_factory=set)
    _warned_at: float = float("-inf")

    def continue_after(self, reported: tuple[Progress, ...], now: float) -> None:
        """Continue a wait whose log already has some progress."""
        texts = list(map(str, reported))
        self._progress, self._reported_at, self._unchanged_since = "; ".join(texts), now, now
        self._recent.append(self._progress)
        for item, text in zip(reported, texts, strict=True):
            self._with_time_left(item, text, now)

    def line(self, now: float, found: Pending | MilvusError) -> tuple[int, str]:
        """Return log level and text for a poll; the text is empty if there is nothing new."""
        if isinstance(found, MilvusError):
            self._error = found
            return logging.WARNING, self._of_error(now, found)
        self._pending, self._error = found, None
        return logging.INFO, self._of_progress(now, found.progress)

    def summary(self) -> str:
        """Return the latest progress, and the error if the latest poll met one."""
        facts = [str(self._pending)] if self._pending is not None else []
        if self._error is not None:
            facts.append(f"the last error was: {self._error}")
        return "; ".join(facts)

    def _of_error(self, now: float, error: MilvusError) -> str:
        kind = (type(error), error.code, error.http_status)
        if kind not in self._kinds:
            self._kinds.add(kind)
            self._interval = REPORT_INTERVAL
            text = still_waiting(self.name, error)
        elif now - self._warned_at < self._interval:
            return ""
        else:
            self._interval *= 2
            waited, why = duration(now - self.started), type(error).__name__
            text = f"still waiting for {self.name} after {waited}; it fails in the same way as before ({why})"
        self._failing, self._warned_at = True, now
        return text

    def _of_progress(self, now: float, progress: tuple[Progress, ...]) -> str:
        back = "the server answers again; " if self._failing else ""
        self._failing = False
        texts = list(map(str, progress))
        found = "; ".join(texts)
        if found != self._progress:
            self._progress, self._unchanged_since = found, now
        if found not in self._recent:  # counts may fluctuate
            self._recent.append(found)
            self._reported_at, self._interval = now, REPORT_INTERVAL
            for number, item in enumerate(progress):
                texts[number] = self._with_time_left(item, texts[number], now)
            return back + "; ".join(texts)
        if not back:
            if now - self._reported_at < self._interval:
                return ""
            self._interval *= 2
        self._reported_at = now
        since = f"unchanged for {duration(now - self._unchanged_since)}"
        if now <= self._unchanged_since:
            since = f"after {duration(now - self.started)}"
        return f"{back}{found} ({since})"

    def _with_time_left(self, item: Progress, text: str, now: float) -> str:
        if item.done is None or item.total is None:
            return text
        first = self._first_counts.get(item.label)
        if first is None or item.done < first[1]:  # counts decrease during compactions
            self._first_counts[item.label] = (now, item.done)
            return text
        since, before = first
        if item.done <= before or now <= since:
            return text
        left = (item.total - item.done) * (now - since) / (item.done - before)
        return f"{text}, about {duration(max(round(left), 1))} left"


def still_waiting(name: object, error: MilvusError) -> str:
    """Describe an error that does not end a wait."""
    return f"{str(error).rstrip('.')}; still waiting for {name}"
