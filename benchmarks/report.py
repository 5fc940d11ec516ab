"""What a benchmark returns, and how it is printed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import wrap
from typing import Any

#: Columns of the notes' lines; tables are as wide as they have to be.
WIDTH = 110

Value = int | float | str | None


@dataclass(frozen=True)
class Check:
    """
    A budget, and whether it holds.

    :param limit: as ``at most 32 modules``
    :param measured: what was measured, in the same unit
    :param holds: whether that is within the limit
    :param roughly: whether it would be if the machine, busy with other things, took twice the time; None: it is not
        about time
    """

    limit: str
    measured: Value
    holds: bool
    roughly: bool | None = None


def at_most(what: str, measured: float, limit: float) -> Check:
    """
    Make a budget with an upper limit.

    :param what: the unit, as ``modules``
    :param measured: what was measured
    :param limit: what it may be at most
    """
    return Check(f"at most {show(limit)} {what}", measured, measured <= limit)


def at_least(what: str, measured: float, limit: float) -> Check:
    """
    Make a budget with a lower limit.

    :param what: the unit, as ``times json.dumps``
    :param measured: what was measured
    :param limit: what it must be at least
    """
    return Check(f"at least {show(limit)} {what}", measured, measured >= limit)


def none_of(what: str, found: Sequence[str]) -> Check:
    """
    Make a budget of nothing at all.

    :param what: what there must be none of
    :param found: what there was
    """
    return Check(f"none of {what}", ", ".join(found) or "none", not found)


@dataclass(frozen=True)
class Row:
    """
    A row of the table.

    :param name: what was measured
    :param values: by column. All rows together have the columns of all of them, in the order in which they come up
    :param checks: budgets; only what is ours has some
    :param remark: for people, as ``not installed``
    """

    name: str
    values: Mapping[str, Value] = field(default_factory=dict)
    checks: Sequence[Check] = ()
    remark: str = ""


@dataclass(frozen=True)
class Report:
    """
    What a benchmark found out.

    :param rows: ours and the alternatives
    :param notes: how it was measured, with the number of repetitions; a paragraph each
    """

    rows: Sequence[Row]
    notes: Sequence[str] = ()

    @property
    def holds(self) -> bool:
        """Whether all budgets hold."""
        return all(check.holds for row in self.rows for check in row.checks)

    @property
    def roughly_holds(self) -> bool:
        """Whether all budgets hold, those about time with a machine in mind that is busy with other things."""
        checks = [check for row in self.rows for check in row.checks]
        return all(check.holds if check.roughly is None else check.roughly for check in checks)

    def as_json(self) -> dict[str, Any]:
        """Make a JSON-ready dict of it."""
        return {
            "holds": self.holds,
            "rows": [
                {
                    "name": row.name,
                    "values": dict(row.values),
                    "remark": row.remark,
                    "budgets": [
                        {"limit": check.limit, "measured": check.measured, "holds": check.holds} for check in row.checks
                    ],
                }
                for row in self.rows
            ],
            "notes": list(self.notes),
        }

    def lines(self) -> Iterator[str]:
        """Write the table, the budgets and the notes."""
        columns = list(dict.fromkeys(column for row in self.rows for column in row.values))
        cells = [["", *columns, ""]]
        cells += [[row.name, *(show(row.values.get(column)) for column in columns), row.remark] for row in self.rows]
        yield from _aligned(cells, left=(0, len(columns) + 1))
        budgets = [
            ["holds" if check.holds else "EXCEEDED", row.name, check.limit, show(check.measured, 4)]
            for row in self.rows
            for check in row.checks
        ]
        if budgets:
            yield ""
            yield from _aligned([["budget", "of", "", "measured"], *budgets], left=(0, 1, 2))
        for note in self.notes:
            yield ""
            yield from wrap(note, WIDTH)


def show(value: Value, digits: int = 3) -> str:
    """
    Write a value for people, with groups of thousands.

    :param value: a number or a text; None is a gap
    :param digits: significant digits of a fraction
    """
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.{digits}g}"
    return f"{value:,}" if isinstance(value, int) else value


def _aligned(cells: Sequence[Sequence[str]], left: Sequence[int]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for number, row in enumerate(cells):
        line = (
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(line).rstrip()
        if number == 0:
            yield "-" * (sum(widths) + 2 * (len(widths) - 1))


__all__ = ["Check", "Report", "Row", "Value", "at_least", "at_most", "none_of", "show"]
