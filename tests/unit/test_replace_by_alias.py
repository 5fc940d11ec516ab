"""Replacing an index by an alias that moves to another collection while the task is at work."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_vectordb._compat import AirflowException, AirflowFailException
from tests.support.harness import Clock, Operating
from tests.support.loading_milvus import LoadingMilvus, Make, m, maker, milvus
from tests.support.scripted import Behaviour, Request, Serve, ok


@pytest.fixture
def worker(operating: Operating, monkeypatch: pytest.MonkeyPatch) -> Make:
    return maker(operating, monkeypatch)


def collection(name: str, *, bare: bool = False) -> LoadingMilvus:
    made = milvus(collection=name, loaded={"_default"}, aliases=("now",), takes={"build": 10.0, "release": 2.0})
    if bare:
        made.indexes.clear()
        made.loaded.clear()
    return made


@pytest.mark.parametrize("deferrable", [False, True])
def test_an_alias_that_moves_during_the_build(deferrable: bool, serve: Serve, worker: Make, clock: Clock) -> None:
    """What is built is the index that the task has created, not one like it."""
    old, new = collection("docs", bare=True), collection("docs_2")
    new.indexes["vector"]["params"] |= {"M": "32"}

    def script(request: Request) -> Behaviour:
        named = request.body.get("collectionName") or request.body["aliasName"]
        to = new if "indexes/create" in old.changes and request.path != "indexes/create" else old
        if request.path == "aliases/describe":
            return ok({"collectionName": to.collection})
        return {"docs": old, "docs_2": new, "now": to}[named](request)

    (index,) = worker(serve(script), collection_name="now", if_exists="skip", deferrable=deferrable).run()
    assert index["collection_name"] == "now"
    assert clock.elapsed >= 10


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("bare", [False, True], ids=["an index is there, too", "no index is there"])
@pytest.mark.parametrize("number", range(2, 24))
def test_an_alias_that_moves_before_a_request(
    number: int, bare: bool, deferrable: bool, serve: Serve, worker: Make, clock: Clock
) -> None:
    old, new = collection("docs"), collection("docs_2", bare=bare)
    seen = 0

    def script(request: Request) -> Behaviour:
        nonlocal seen
        seen += 1
        named = request.body.get("collectionName") or request.body["aliasName"]
        if named == "now":
            found = old if seen < number else new
            return ok({"collectionName": found.collection}) if request.path == "aliases/describe" else found(request)
        return {"docs": old, "docs_2": new}[named](request)

    running = worker(serve(script), collection_name="now", deferrable=deferrable)
    result: Any = None
    for _ in range(3):
        try:
            result = running.run()
            break
        except AirflowException as error:
            assert not isinstance(error, AirflowFailException)
    assert seen >= number
    assert result[0]["params"]["M"] == 32
    # It is whole where readers are now, or where they were when the task began; and nothing else is broken.
    assert "32" in (m(old), m(new) if new.indexes else "")
    assert (m(old) in ("16", "32"), old.loaded) == (True, {"_default"})
    assert (new.loaded == {"_default"}) is not bare or m(new) == "32"
    assert running.store == {}
