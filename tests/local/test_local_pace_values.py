"""A pace, as a text and as numbers."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from airflow_vectordb.local import Pace
from tests.support.paced_engine import QUICK


@pytest.mark.parametrize(
    ("text", "pace"),
    [
        ("immediate", None),
        ("real", Pace()),
        ("quick", QUICK),
        ("quick,load=5", dataclasses.replace(QUICK, load=5)),
        ("real,build=8", Pace(build=8)),
        (" real , flush_interval = 0 ,load=.5", Pace(flush_interval=0, load=0.5)),
    ],
)
def test_a_pace_as_text(text: str, pace: Pace | None) -> None:
    assert Pace.of(text) == Pace.parse(text) == pace


def test_the_default_is_quick_but_before_an_engine_that_takes_time_of_its_own() -> None:
    assert Pace.of(None) == QUICK
    assert Pace.of(None, backend=True) is None
    assert Pace.of(QUICK, backend=True) is QUICK


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "immediate, quick or real"),
        ("fast", "immediate, quick or real"),
        ("immediate,build=1", "immediate, quick or real"),
        ("real,biuld=1", "'biuld'; build?"),
        ("real,x=1", "row_count, total_rows"),
        ("real,build", "number of seconds"),
        ("real,build=soon", "'soon'"),
        ("real,build=-1", "-1.0"),
        ("real,build=nan", "nan"),
        ("real,build=inf", "inf"),
    ],
)
def test_what_is_no_pace(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        Pace.parse(text)


@pytest.mark.parametrize("value", ["1", None, True, -0.1])
def test_what_is_no_number_of_seconds(value: Any) -> None:
    with pytest.raises(ValueError, match="load of a pace"):
        Pace(load=value)
