"""Verifying a collection: own functions, known answers in each form, and servers that leave something out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from airflow_vectordb._compat import AirflowFailException
from airflow_vectordb.operators.collection import VerifyCollectionOperator
from tests.support.harness import Operating
from tests.support.scripted import Behaviour, Request, Serve, ok

VECTOR = [1.0, 0.0]
Verify = Callable[..., Any]


@pytest.fixture
def requests() -> list[Request]:
    """Return what the server was asked."""
    return []


@pytest.fixture
def verify(serve: Serve, operating: Operating, requests: list[Request]) -> Verify:
    """Verify a collection of three rows; arguments are the operator's, and answers in place of the server's."""

    def run(key: str | None = "Int64", rows: Any = None, hits: Any = None, **arguments: Any) -> Any:
        fields = [{"name": "id", "type": key or "Int64"}, {"name": "vector", "type": "FloatVector"}]
        fields[0]["primaryKey"] = key is not None  # type: ignore[assignment]
        described = {"collectionName": "docs", "fields": fields, "load": "LoadStateLoaded", "aliases": []}
        found = [{"id": n if key != "VarChar" else str(n), "distance": 0.5} for n in range(3)]

        def answer(request: Request) -> Behaviour:
            requests.append(request)
            if request.path == "collections/describe":
                return ok(described)
            if request.path == "entities/search":
                return ok(found if hits is None else hits)
            if request.body["outputFields"] == ["count(*)"]:
                return ok([{"count(*)": 3}])
            return ok([{"id": 0, "vector": VECTOR}] if rows is None else rows)

        operating.connect(serve(answer))
        return operating.execute(VerifyCollectionOperator(task_id="t", collection_name="docs", **arguments))

    return run


@pytest.mark.parametrize("value", [False, np.False_, np.array(False)], ids=repr)
def test_a_check_that_returns_false(verify: Verify, value: Any) -> None:
    with pytest.raises(AirflowFailException, match="returned False"):
        verify(check=lambda hook, name: value)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_a_check_that_would_have_to_be_awaited(verify: Verify) -> None:
    async def check(hook: Any, name: str) -> bool:
        return True

    with pytest.raises(AirflowFailException, match="check is asynchronous, so it was not run"):
        verify(check=check)


@pytest.mark.parametrize("value", [0, 0.5, np.float32(0.5), np.True_], ids=repr)
def test_a_figure_of_a_check(verify: Verify, value: Any) -> None:
    figures = verify(check=lambda hook, name: value)
    assert json.loads(json.dumps(figures))["check"] == value


@pytest.mark.parametrize(
    "queries",
    [
        [{"vector": VECTOR, "ids": [0, 2]}],
        [{"vector": np.array(VECTOR), "ids": np.array([0, 2])}],
        [{"vector": {"0": 0.5}, "ids": (0, 2)}],
        f'\ufeff[{{"vector": {VECTOR}, "ids": [0, 2]}}]',
    ],
    ids=["lists", "NumPy's", "sparse", "a file with a byte order mark"],
)
def test_known_answers(verify: Verify, queries: Any) -> None:
    assert verify(queries=queries)["recall"] == 1


@pytest.mark.parametrize(
    "query", [{}, [], {"vector": VECTOR}, {"vector": [], "ids": [1]}, {"vector": "1, 0", "ids": [1]}], ids=repr
)
def test_known_answers_that_lack_something(verify: Verify, query: Any) -> None:
    with pytest.raises(AirflowFailException, match=r"queries\[0\] needs a vector and ids"):
        verify(queries=[query])


@pytest.mark.parametrize(("key", "ids"), [("Int64", ["0", "2"]), ("VarChar", [0, 2])])
def test_known_answers_whose_keys_are_of_another_type(verify: Verify, key: str, ids: Any) -> None:
    with pytest.raises(AirflowFailException, match=rf"queries\[0\]\.ids\[0\]: .*id is of type {key}"):
        verify(key, queries=[{"vector": VECTOR, "ids": ids}])


def test_search_params_that_are_no_mapping(verify: Verify) -> None:
    with pytest.raises(ValueError, match="task t: search_params must be a mapping, not 'ef=64'"):
        verify(sample=1, search_params="ef=64")


@pytest.mark.parametrize("given", [{"ef": 64}, {"params": {"ef": 64}}], ids=str)
def test_search_params(verify: Verify, requests: list[Request], given: Any) -> None:
    verify(sample=1, search_params=given)
    (search,) = [request.body for request in requests if request.path == "entities/search"]
    assert search["searchParams"] == {"params": {"ef": 64}}


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"rows": [{"vector": VECTOR}]}, "no row could be sampled"),
        ({"hits": [{"distance": 0.5}]}, "0 of 1 sampled rows are found"),
        ({"key": None}, "collection 'docs' has no primary key"),
    ],
    ids=["a row without its key", "a hit without its key", "a description without a primary key"],
)
def test_answers_that_lack_something(verify: Verify, answers: dict[str, Any], words: str) -> None:
    with pytest.raises(AirflowFailException, match=words):
        verify(sample=1, **answers)
