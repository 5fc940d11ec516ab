"""The recipes of docs/retries.md decide as the page says, by themselves and in real runs (Airflow 3.3 and later)."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.airflow_process import AirflowProcess
from tests.support.docs_pages import ROOT, Block, blocks_of
from tests.support.fake_milvus import BUILT, NO_COLLECTION, FakeMilvus, rows
from tests.support.scripted import Behaviour, CutOff, Request, ScriptedServer, error, page

pytest.importorskip("airflow.sdk.definitions.retry_policy", reason="Airflow has retry policies from 3.3 on")

from airflow_vectordb.exceptions import as_airflow_exception
from airflow_vectordb.rest import errors
from airflow_vectordb.rest.codes import CODES

RECIPES = ("pauses_by_error", "no_retries_in_vain", "as_the_server_asks")
BLOCKS: dict[str, Block] = {
    name: block
    for block in blocks_of(ROOT / "docs" / "retries.md")
    for name in RECIPES
    if f'DAG("{name}"' in block.code
}
#: All that can be raised: bases that only group others are not.
RAISED = [
    kind
    for kind in (getattr(errors, name) for name in vars(errors) if name.endswith("Error"))
    if not kind.__subclasses__() or kind in CODES.values() or kind is errors.NotMilvusError
]


def decide(recipe: str, exception: BaseException) -> tuple[str, float | None]:
    """Ask the policy of a recipe: what to do, and after how many seconds."""
    space: dict[str, Any] = {}
    exec(BLOCKS[recipe].code, space)
    policy = space["POLICY"] if "POLICY" in space else space["AsTheServerAsks"]()
    decision = policy.evaluate(exception, try_number=1, max_tries=5)
    return decision.action.value, None if decision.retry_delay is None else decision.retry_delay.total_seconds()


def raised(kind: type[errors.MilvusError], *, by_operator: bool, **facts: Any) -> BaseException:
    """Make what an operator raises, or what the client does."""
    said: Any = ["no luck"] if kind is errors.InvalidParametersError else "no luck"
    found = kind(said)
    found.__dict__.update(facts)
    if by_operator:
        return as_airflow_exception(found, task_id="index")
    return found


def test_every_recipe_is_there() -> None:
    assert sorted(BLOCKS) == sorted(RECIPES)


@pytest.mark.parametrize("by_operator", [True, False])
@pytest.mark.parametrize("kind", RAISED, ids=lambda kind: kind.__name__)
def test_what_does_not_pass_fails_and_nothing_else(kind: type[errors.MilvusError], by_operator: bool) -> None:
    expected = ("default" if kind.transient else "fail", None)
    assert decide("no_retries_in_vain", raised(kind, by_operator=by_operator)) == expected


def test_what_is_not_of_milvus_is_left_to_airflow() -> None:
    for recipe in RECIPES:
        assert decide(recipe, ZeroDivisionError()) == ("default", None)


@pytest.mark.parametrize("by_operator", [True, False])
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (errors.RateLimitError, ("retry", 600)),
        (errors.WaitTimeoutError, ("retry", 0)),
        (errors.ConnectError, ("retry", 30)),
        (errors.AnswerTimeoutError, ("retry", 30)),
        (errors.GatewayError, ("default", None)),
    ],
)
def test_pauses_by_error(kind: type[errors.MilvusError], expected: tuple[str, float], by_operator: bool) -> None:
    assert decide("pauses_by_error", raised(kind, by_operator=by_operator)) == expected


@pytest.mark.parametrize("by_operator", [True, False])
def test_as_the_server_asks(by_operator: bool) -> None:
    asked = raised(errors.RateLimitError, by_operator=by_operator, retry_after=900.0)
    assert decide("as_the_server_asks", asked) == ("retry", 900)
    not_asked = raised(errors.RateLimitError, by_operator=by_operator)
    assert decide("as_the_server_asks", not_asked) == ("default", None)


@dataclass
class Case:
    """
    A run of a recipe's DAG.

    :param recipe: its name
    :param path: the call that goes wrong
    :param fault: what happens to its first attempt
    :param state: how the task ends
    :param tries: how many it takes
    :param pauses: what is between them: seconds and the policy's reason
    :param slow: whether the first try waits in vain, with a short time-out, in place of the fault
    """

    recipe: str
    path: str
    fault: Behaviour | None
    state: str = "success"
    tries: int = 2
    pauses: tuple[tuple[float, str | None], ...] = ()
    slow: bool = False


LIMITER = error(8, "rate limit exceeded")
CASES = {
    "a limiter": Case("pauses_by_error", "collections/describe", LIMITER, pauses=((600, "a limiter"),)),
    "no answer": Case("pauses_by_error", "indexes/list", CutOff(sent=b""), pauses=((30, "no answer"),)),
    "a gateway": Case("pauses_by_error", "indexes/list", page(503), pauses=((120, None),)),
    "too slow": Case("pauses_by_error", "", None, pauses=((0, "the build continues"),), slow=True),
    "no collection": Case("pauses_by_error", "collections/describe", NO_COLLECTION, "failed", 1),
    "in vain": Case("no_retries_in_vain", "collections/get_stats", NO_COLLECTION, "failed", 1),
    "not in vain": Case("no_retries_in_vain", "collections/get_stats", LIMITER, pauses=((300, None),)),
    "asked": Case(
        "as_the_server_asks",
        "collections/describe",
        page(429, Retry_After="900"),
        pauses=((900, "the server asks for 900 s"),),
    ),
    "not asked": Case("as_the_server_asks", "collections/describe", page(503), pauses=((120, None),)),
}


class Watched:
    """A Milvus, and how often each call was made."""

    def __init__(self, case: Case) -> None:
        self.made: list[str] = []
        self._milvus = FakeMilvus(faults={case.path: [case.fault]} if case.fault else {})
        if case.slow:  # until the second try looks what is there
            self._milvus.progress = lambda name: BUILT if self.made.count("indexes/list") > 1 else rows(50)

    def __call__(self, request: Request) -> Behaviour:
        self.made.append(request.path)
        return self._milvus(request)


@pytest.fixture(scope="module")
def runs(
    airflow: AirflowProcess, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], dict[str, Watched], str]:
    top = tmp_path_factory.mktemp("recipes")
    jobs = []
    watched = {name: Watched(case) for name, case in CASES.items()}
    with ExitStack() as stack:
        for number, (name, case) in enumerate(CASES.items()):
            server = stack.enter_context(ScriptedServer(watched[name]))
            code = BLOCKS[case.recipe].code
            if case.slow:
                code = code.replace("retries=5", "retries=5, timeout=0.2")
            path = top / f"recipe_{number}.py"
            path.write_text(code)
            connection = {"conn_type": "milvus", "host": server.url, "extra": {"retries": 0}}
            jobs.append((str(path), json.dumps(connection)))
        outcomes, printed = airflow.call("recipe_runs.run", jobs)
    return dict(zip(CASES, outcomes, strict=True)), watched, printed


@pytest.mark.parametrize("name", CASES)
def test_a_recipe_runs(runs: tuple[dict[str, Any], dict[str, Watched], str], name: str) -> None:
    case, outcome, watched = CASES[name], runs[0][name], runs[1][name]
    assert (outcome["state"], outcome["tries"]) == (case.state, case.tries)
    assert [tuple(pause) for pause in outcome["pauses"]] == list(case.pauses)
    if case.path:
        assert watched.made.count(case.path) == case.tries


def test_no_class_is_misspelt_and_reasons_are_logged(runs: tuple[dict[str, Any], dict[str, Watched], str]) -> None:
    log = runs[2]
    assert "could not be imported" not in log
    assert "Retry policy decision" in log
    assert "Retry policy evaluation failed" not in log
