"""Both drivers do with a generator of steps the same."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator
from typing import Any

import pytest

from airflow_vectordb import rest, waiting
from airflow_vectordb.rest.driver import Sleep, adrive, drive
from airflow_vectordb.rest.errors import ConnectError, MilvusError, Where
from tests.support.harness import Pauses

Steps = Generator["str | Sleep", Any, Any]
Run = Callable[[Steps], Any]
PARTS = {"first": 1, "second": 2}


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Run:
    """Drive steps that are looked up; what is missing is a KeyError, and what is logged is returned beside."""

    def of(steps: Steps) -> Any:
        lines: list[tuple[int, str]] = []

        async def perform(step: str) -> int:
            return PARTS[step]

        def log(level: int, text: str) -> None:
            lines.append((level, text))

        if request.param == "sync":
            return drive(steps, PARTS.__getitem__, log), lines
        return asyncio.run(adrive(steps, perform, log)), lines

    return of


def test_results_are_sent_in_and_sleeps_slept(run: Run, pauses: Pauses) -> None:
    def steps() -> Steps:
        first = yield "first"
        assert (yield Sleep(1.5, logging.WARNING, "wait")) is None
        yield Sleep(2.5)
        return first + (yield "second")

    assert run(steps()) == (3, [(logging.WARNING, "wait")])
    assert pauses == [1.5, 2.5]


def test_errors_are_thrown_in_and_may_be_handled(run: Run) -> None:
    def steps() -> Steps:
        try:
            yield "third"
        except KeyError:
            return (yield "second")

    assert run(steps()) == (2, [])


def test_errors_that_are_not_handled_go_up(run: Run) -> None:
    def steps() -> Steps:
        yield "third"

    with pytest.raises(KeyError, match="third"):
        run(steps())


# A copy with context --------------------------------------------------------------------------------------------------


def test_a_copy_with_context_leaves_the_error_as_it_is() -> None:
    try:
        raise ConnectError("secret refused", retry_after=3.0) from OSError("cause")
    except ConnectError as error:
        given = error
    before = dict(vars(given))
    where = Where("indexes/create", "collection 'docs'", "http://m:1")

    copy = given.with_context(where=where, attempts=4, hint="", redact=lambda text: text.replace("secret", "***"))

    assert vars(given) == before
    assert type(copy) is ConnectError
    assert (copy.message, copy.args, copy.where, copy.attempts, copy.hint) == (
        "*** refused",
        ("*** refused",),
        where,
        4,
        "",
    )
    assert (copy.retry_after, copy.transient) == (3.0, True)
    assert copy.__cause__ is given.__cause__
    assert copy.__traceback__ is given.__traceback__


def test_what_is_not_given_stays() -> None:
    error = MilvusError("words", cause="why", hint="do", transient=True)
    assert vars(error.with_context()) == vars(error)
    assert error.with_context(transient=False).transient is False


# Lazy faces -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("face", [rest, rest.index, waiting], ids=lambda face: face.__name__)
def test_all_that_a_lazy_face_names_is_there(face: Any) -> None:
    for name in face.__all__:
        assert getattr(face, name) is getattr(face, name)
        assert name in dir(face)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        face.nonsense  # noqa: B018
