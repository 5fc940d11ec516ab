"""Rows that cannot be sent: refused, or skipped and written to a file."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

from airflow_vectordb.ingest.batches import BadRow
from airflow_vectordb.ingest.options import OnBadRow
from airflow_vectordb.ingest.storage import storage_errors
from airflow_vectordb.ingest.writer import Progress
from airflow_vectordb.rest.errors import InvalidParametersError
from airflow_vectordb.rest.text import sanitize_text

_log = logging.getLogger(__name__)
#: Lines kept in memory.
LINES_AT_ONCE = 10_000


class BadRows:
    """
    Refuses or skips rows that cannot be sent.

    :param policy: ``fail`` or ``skip``
    :param most: rows that may be skipped; None: any number
    :param path: of a file that gets a JSON object for each thing that is wrong (``source``, ``row``, ``field``,
        ``reason``); None: there is none
    """

    def __init__(self, policy: OnBadRow = "fail", most: int | None = None, path: Any = None) -> None:
        self._policy = policy
        self._most = most
        self._path = path
        self._count = 0
        self._lines: list[str] = []
        self._first: BadRow | None = None

    def resume(self, progress: Progress) -> None:
        """Keep what an earlier try has written of rows before its position; later rows are read again."""
        self._count = progress.skipped
        if self._path is None:
            return
        begin = progress.source, progress.row + 1
        with storage_errors(self._path):
            if not self._path.exists():
                return
            try:
                lines = io.StringIO(self._path.read_text())  # which only a line feed divides
                text = "".join(line for line in lines if _place(line) < begin)
            except (ValueError, LookupError, TypeError) as error:
                problem = f"{self._path.name} has something other than bad rows, which would be lost: name another file"
                raise InvalidParametersError([problem], "bad_rows_path") from error
            self._path.write_text(text)

    def __call__(self, bad: BadRow) -> None:
        """Handle a row that cannot be sent: it is skipped, or an InvalidParametersError."""
        if self._policy == "fail":
            raise InvalidParametersError([str(bad)], "rows")
        self._count += 1
        self._first = self._first or bad
        if self._path is not None:
            self._lines += [_line(bad, problem) for problem in bad.problems]
            if len(self._lines) >= LINES_AT_ONCE:  # no batch may be full for long if nearly all rows are bad
                self.write()
        if self._most is not None and self._count > self._most:
            self.write()
            raise InvalidParametersError(
                [f"{self._count:,} rows cannot be sent, but max_bad_rows is {self._most:,}; the last: {bad}"], "rows"
            )

    def warn(self, collection: str, skipped: int) -> None:
        """Log at the end how many rows were skipped, by earlier tries too."""
        if not skipped:
            return
        where = f"all are in {self._path}" if self._path is not None else "bad_rows_path= writes all to a file"
        first = f"; the first of this try: {sanitize_text(str(self._first), 300)}" if self._first else ""
        _log.warning("%s: %s skipped, %s%s", collection, "1 row" if skipped == 1 else f"{skipped:,} rows", where, first)

    def write(self) -> None:
        """Write the rows skipped since the last call."""
        if not self._lines:
            return
        text = "".join(self._lines)
        with storage_errors(self._path):
            try:
                with self._path.open("a") as file:
                    file.write(text)
            except (ValueError, NotImplementedError):  # object stores that cannot append
                before = self._path.read_text() if self._path.exists() else ""
                self._path.write_text(before + text)
        self._lines = []


def _line(bad: BadRow, problem: str) -> str:
    field, colon, reason = problem.partition(": ")
    if not colon or " " in field:  # a problem of the whole row
        field, reason = "", problem
    entry = {"number": bad.number, "source": bad.source, "row": bad.row, "field": field or None, "reason": reason}
    return json.dumps(entry) + "\n"  # in ASCII: some characters end a line, or cannot be encoded


def _place(line: str) -> tuple[int, int]:
    try:
        entry = json.loads(line)
    except ValueError:
        if line.startswith('{"number":'[: len(line)]):  # cut short, by a kill or a full disk
            return 2**62, 0
        raise
    return entry["number"], entry["row"]
