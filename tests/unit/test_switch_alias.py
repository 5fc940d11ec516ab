"""Moving readers to another collection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset

from airflow_vectordb._compat import AirflowException, AirflowFailException
from airflow_vectordb.operators.alias import SwitchAliasOperator
from airflow_vectordb.rest import errors
from tests.support.harness import Clock, Operating, airflows
from tests.support.loading_milvus import Worker, let_the_loop_sleep_by
from tests.support.scripted import Behaviour, CutOff, Request, ScriptedServer, Serve, error, ok

LOADED, LOADING, NOT_LOADED = "LoadStateLoaded", "LoadStateLoading", "LoadStateNotLoad"


@dataclass
class Milvus:
    """
    Collections and aliases, answered as Milvus 2.6 does.

    :param states: collection -> load state
    :param aliases: alias -> collection
    :param loaded_at: time at which what is loading is loaded
    :param partitions: partition -> load state, of each collection that is loaded
    :param faults: path -> what to do in place of the next answer
    """

    clock: Clock
    states: dict[str, str] = field(default_factory=lambda: {"docs_1": LOADED, "docs_2": LOADED})
    aliases: dict[str, str] = field(default_factory=lambda: {"docs": "docs_1"})
    rows: int = 100
    loaded_at: float = 0.0
    partitions: dict[str, str] = field(default_factory=lambda: {"_default": LOADED})
    faults: dict[str, Behaviour] = field(default_factory=dict)

    def __call__(self, request: Request) -> Behaviour:
        if request.path in self.faults:
            return self.faults.pop(request.path)
        path, body = request.path, request.body
        return self._alias(path, body) if path.startswith("aliases/") else self._collection(path, body)

    def _alias(self, path: str, body: Mapping[str, Any]) -> Behaviour:
        alias, collection = body["aliasName"], body.get("collectionName")
        if collection is not None and collection not in self.states:  # an alias of an alias is refused, too
            return error(100, f"collection not found[database=default][collection={collection}]")
        if alias in self.states and path != "aliases/describe":
            return error(1601, f"alias and collection name conflict[database=default][alias={alias}]")
        if path == "aliases/create":
            if self.aliases.setdefault(alias, collection or "") != collection:
                return error(1602, f"{alias} is alias to another collection")
            return ok({})
        if alias not in self.aliases:
            return error(1600, f"alias not found[database=default][alias={alias}]")
        if path == "aliases/alter":
            self.aliases[alias] = collection or ""
            return ok({})
        return ok({"dbName": "default", "collectionName": self.aliases[alias], "aliasName": alias})

    def _collection(self, path: str, body: Mapping[str, Any]) -> Behaviour:
        asked = body["collectionName"]
        name = self.aliases.get(asked, asked)
        if name not in self.states:
            return error(100, f"can't find collection[database=default][collection={name}]")
        state = self.states[name]
        if state == LOADING and self.clock.time() >= self.loaded_at:
            state = LOADED
        progress = {LOADED: {"loadProgress": 100}, LOADING: {"loadProgress": 40}}.get(state, {})
        if path == "collections/get_load_state":
            lacking = [one for one in body.get("partitionNames", ()) if self.partitions[one] != LOADED]
            if lacking:
                message = f"partition not loaded[partition={lacking[0]}]"
                return ok({"loadProgress": -1, "loadState": LOADING}, message=message)
            return ok({"loadState": state, **progress}, message="")
        answers = {
            "partitions/list": list(self.partitions),
            "entities/query": [{"count(*)": self.rows}],
            "collections/get_stats": {"rowCount": self.rows},
            "collections/describe": {
                "collectionName": asked,
                "aliases": [alias for alias, led in self.aliases.items() if led == name],
                "fields": [{"name": "id", "type": "Int64", "primaryKey": True}],
                "load": state,
            },
        }
        return ok(answers[path])


@pytest.fixture
def milvus(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Milvus:
    let_the_loop_sleep_by(clock, monkeypatch)
    return Milvus(clock)


@pytest.fixture
def server(serve: Serve, operating: Operating, milvus: Milvus) -> ScriptedServer:
    started = serve(milvus)
    operating.connect(started)
    return started


Make = Callable[..., Worker]


@pytest.fixture
def worker(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> Make:
    def make(**arguments: Any) -> Worker:
        given = {"task_id": "switch", "alias": "docs", "collection_name": "docs_2", **arguments}
        return Worker(lambda: SwitchAliasOperator(**given), monkeypatch)

    return make


def result(previous: str | None, collection: str = "docs_2") -> dict[str, Any]:
    return {"alias": "docs", "collection_name": collection, "previous": previous}


class TestSwitching:
    def test_an_alias_is_moved_in_one_step(self, worker: Make, server: ScriptedServer, milvus: Milvus) -> None:
        assert worker().run() == result("docs_1")
        assert milvus.aliases == {"docs": "docs_2"}
        assert [path for path in server.paths if path.startswith("aliases/")] == ["aliases/describe", "aliases/alter"]

    def test_an_alias_is_created(self, worker: Make, server: ScriptedServer, milvus: Milvus) -> None:
        milvus.aliases = {}
        assert worker().run() == result(None)
        assert milvus.aliases == {"docs": "docs_2"}
        assert "aliases/alter" not in server.paths

    def test_one_that_another_client_created_meanwhile_is_moved(self, worker: Make, milvus: Milvus) -> None:
        milvus.faults["aliases/describe"] = error(1600, "alias not found[database=default][alias=docs]")
        assert worker().run() == result("docs_1")
        assert milvus.aliases == {"docs": "docs_2"}

    def test_one_that_another_client_dropped_meanwhile_is_created_by_a_retry(
        self, worker: Make, milvus: Milvus
    ) -> None:
        milvus.faults["aliases/alter"] = error(1600, "alias not found[database=default][alias=docs]")
        one = worker()
        with pytest.raises(AirflowException, match=r"Another client has dropped alias 'docs'\. A retry"):
            one.run()
        milvus.aliases = {}
        assert one.run() == result(None)
        assert milvus.aliases == {"docs": "docs_2"}

    def test_one_that_leads_there_already_is_left_alone(
        self, worker: Make, server: ScriptedServer, milvus: Milvus
    ) -> None:
        milvus.aliases = {"docs": "docs_2"}
        assert worker().run() == result("docs_2")
        assert not {"aliases/alter", "aliases/create"} & set(server.paths)

    def test_of_an_alias_the_collection_that_it_leads_to_is_taken(self, worker: Make, milvus: Milvus) -> None:
        milvus.aliases["tried"] = "docs_2"
        assert worker(collection_name="tried").run() == result("docs_1")
        assert milvus.aliases == {"docs": "docs_2", "tried": "docs_2"}

    def test_what_it_returns_rolls_it_back(self, worker: Make, milvus: Milvus) -> None:
        switched = worker().run()
        assert worker(collection_name=switched["previous"]).run() == result("docs_2", "docs_1")
        assert milvus.aliases == {"docs": "docs_1"}

    def test_the_event_is_of_the_alias(self, server: ScriptedServer) -> None:
        asset = Asset(server.url.replace("http", "milvus") + "/default/docs")
        operator = SwitchAliasOperator(task_id="switch", alias="docs", collection_name="docs_2", outlets=[asset])
        event = SimpleNamespace(extra={})

        class Events:  # an asset is no key of a dict in Airflow 3.1
            def __getitem__(self, outlet: Asset) -> SimpleNamespace:
                return {asset.uri: event}[outlet.uri]

        operator.execute({"outlet_events": Events()})  # type: ignore[typeddict-item]
        assert event.extra == {"switch": result("docs_1")}


class TestChecks:
    def refused(self, worker: Worker, milvus: Milvus) -> errors.MilvusError:
        before = dict(milvus.aliases)
        with pytest.raises(errors.MilvusError) as caught:
            worker.run()
        assert airflows(caught.value) is AirflowFailException
        assert milvus.aliases == before
        return caught.value

    def test_a_collection_that_is_not_loaded_is_refused(self, worker: Make, milvus: Milvus) -> None:
        milvus.states["docs_2"] = NOT_LOADED
        found = self.refused(worker(), milvus)
        assert isinstance(found, errors.NotLoadedError)
        assert str(found).startswith("Collection 'docs_2' is not loaded. Load it first (LoadCollectionOperator).")

    def test_unless_that_does_not_matter(self, worker: Make, milvus: Milvus) -> None:
        milvus.states["docs_2"] = NOT_LOADED
        assert worker(check_loaded=False, min_rows=100).run() == result("docs_1")

    def test_partitions_that_are_not_loaded_are_refused(self, worker: Make, milvus: Milvus) -> None:
        milvus.partitions["late"] = NOT_LOADED
        assert "is not loaded completely" in str(self.refused(worker(), milvus))

    @pytest.mark.parametrize("deferrable", [False, True])
    def test_loading_is_waited_for(self, worker: Make, milvus: Milvus, clock: Clock, deferrable: bool) -> None:
        milvus.states["docs_2"], milvus.loaded_at = LOADING, clock.time() + 90
        running = worker(deferrable=deferrable, min_rows=1)
        assert running.run() == result("docs_1")
        assert clock.elapsed >= 90
        assert running.deferrals == (["CollectionLoaded"] if deferrable else [])

    def test_unless_it_is_not_to_wait(self, worker: Make, milvus: Milvus, clock: Clock) -> None:
        milvus.states["docs_2"], milvus.loaded_at = LOADING, clock.time() + 90
        found = self.refused(worker(wait_for_completion=False), milvus)
        assert isinstance(found, errors.NotLoadedError)
        assert clock.elapsed == 0

    @pytest.mark.parametrize("check_loaded", [True, False])
    @pytest.mark.parametrize("state", [LOADED, NOT_LOADED])
    def test_too_few_rows_are_refused(self, worker: Make, milvus: Milvus, state: str, check_loaded: bool) -> None:
        if not check_loaded:
            milvus.states["docs_2"] = state
        found = str(self.refused(worker(min_rows="101", check_loaded=check_loaded), milvus))
        assert found.startswith(
            "Collection 'docs_2' has 100 rows, fewer than min_rows=101. The alias stays where it is."
        )

    def test_a_missing_collection(self, worker: Make, milvus: Milvus) -> None:
        found = self.refused(worker(collection_name="nope"), milvus)
        assert isinstance(found, errors.CollectionNotFoundError)

    def test_an_alias_that_is_a_collection(self, worker: Make, milvus: Milvus) -> None:
        found = self.refused(worker(alias="docs_1"), milvus)
        assert found.code == 1601
        assert str(found).startswith("'docs_1' is the name of a collection, so it cannot be an alias. Choose another")

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ({"alias": "docs_2"}, "alias and collection_name are both 'docs_2'"),
            ({"alias": ""}, "alias is ''"),
            ({"min_rows": -1}, "min_rows must be"),
            ({"check_loaded": "no"}, "check_loaded must be True or False"),
        ],
    )
    def test_what_can_never_be_right_is_refused_when_parsed(self, given: dict[str, Any], words: str) -> None:
        with pytest.raises(ValueError, match=words):
            SwitchAliasOperator(**{"task_id": "t", "alias": "docs", "collection_name": "docs_2", **given})

    def test_what_templates_make_is_refused_before_the_first_request(self, server: ScriptedServer) -> None:
        task = SwitchAliasOperator(task_id="t", alias="{{ a }}", collection_name="{{ c }}", min_rows="{{ r }}")
        task.render_template_fields({"a": "docs", "c": None, "r": None})
        with pytest.raises(AirflowFailException) as caught:
            task.execute({})
        assert "2 problems" in str(caught.value)
        assert server.paths == []


class TestRetries:
    @pytest.mark.parametrize("created", [True, False], ids=["created", "moved"])
    @pytest.mark.parametrize("store", [True, False], ids=["store", "no store"])
    def test_killed_after_each_request_it_returns_the_first_previous(
        self, worker: Make, server: ScriptedServer, milvus: Milvus, created: bool, store: bool
    ) -> None:
        """Without a store and without Airflow there is nothing to remember by, but the alias is moved all the same."""
        first = {} if created else {"docs": "docs_1"}
        milvus.aliases = dict(first)
        worker(min_rows=1).run()
        requests = len(server.paths)
        assert requests >= 5
        for count in range(1, requests + 1):
            milvus.aliases = dict(first)
            running = worker(min_rows=1)
            if not store:
                running.store = None
            with running.killed_after(count):
                running.run()
            found = running.run()
            assert milvus.aliases == {"docs": "docs_2"}
            if store or count < requests:
                assert found == result(None if created else "docs_1"), f"killed after request {count}"

    def test_killed_before_airflow_had_the_result(self, worker: Make) -> None:
        running = worker()
        assert running.run() == running.run() == result("docs_1")
        assert running.store is not None
        assert not running.store.lasting

    def test_when_the_alias_has_moved_since_that_is_what_it_returns(self, worker: Make, milvus: Milvus) -> None:
        milvus.states["docs_3"] = LOADED
        running = worker()
        running.run()
        milvus.aliases["docs"] = "docs_3"
        assert running.run() == result("docs_3")

    def test_a_lost_answer(self, worker: Make, milvus: Milvus) -> None:
        milvus.aliases = {}
        running = worker()
        milvus.faults["aliases/create"] = CutOff()
        with pytest.raises(errors.NoAnswerError) as caught:
            running.run()
        assert airflows(caught.value) is AirflowException
        milvus.aliases = {"docs": "docs_2"}  # it was done
        assert running.run() == result(None)
