"""Blue/green: its arguments, its tasks, and which collections are dropped."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_vectordb._compat import AirflowSkipException
from airflow_vectordb.operators.ingest import IngestOperator
from airflow_vectordb.rest.errors import ConflictError, MilvusError
from airflow_vectordb.task_groups.reindex import blue_green_reindex
from tests.support.harness import Operating
from tests.support.scripted import Behaviour, Request, Serve, error, ok

SCHEMA = {
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}},
    ]
}
GIVEN: dict[str, Any] = {"alias": "docs", "schema": SCHEMA, "index_params": {"fieldName": "vector"}}


def group(**arguments: Any) -> Any:
    with DAG("d", schedule=None) as dag:
        blue_green_reindex(**{**GIVEN, "source": "rows.jsonl", **arguments})
    return dag


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"source": None}, "pass either source or ingest"),
            ({"ingest": lambda name: None}, "pass either source or ingest"),
            ({"ingest": "rows.jsonl", "source": None}, "ingest must be a function of the collection's name"),
            ({"ingest": lambda name: None, "source": None}, "ingest must return a task, not None"),
            ({"keep": 0}, "keep must be an integer from 1"),
            ({"keep": True}, "keep must be an integer from 1"),
            ({"keep": "2", "source": None}, "pass either source or ingest; keep must be"),
            ({"checks": ["sample"]}, r"checks must be a mapping, not \['sample'\]"),
            ({"checks": {"k": 0}}, "k must be"),
            ({"schema": {"fields": []}}, "fields"),
            ({"alias": "my-docs"}, "alias 'my-docs': use letters, digits and underscores"),
            ({"index_params": {"fieldName": "vectr"}}, "no field 'vectr' in schema; did you mean 'vector'"),
            (
                {"index_params": [{"fieldName": "vector", "indexType": "HNSW", "params": {"M": "many"}}]},
                "M must be an integer",
            ),
        ],
    )
    def test_what_can_never_be_right_is_refused_when_parsed(self, arguments: dict[str, Any], words: str) -> None:
        with pytest.raises(ValueError, match=words):
            group(**arguments)

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"min_row": 3}, "unexpected keyword argument 'min_row'"),
            ({"checks": {"smaple": 5}}, "(?s)VerifyCollectionOperator.*smaple"),
            ({"checks": {"task_id": "check"}}, "multiple values for keyword argument 'task_id'"),
        ],
    )
    def test_an_argument_that_nothing_takes_is_refused(self, arguments: dict[str, Any], words: str) -> None:
        with pytest.raises(TypeError, match=words):
            group(**arguments)

    @pytest.mark.parametrize(
        "arguments",
        [
            {"index_params": [{"fieldName": "{{ params.field }}"}]},
            {"index_params": "index.json"},
            {"index_params": ["vectr.json"]},
            {"schema": "schema.yaml", "index_params": {"fieldName": "vectr"}},
            {"index_params": {"fieldName": "vector", "indexType": "HNWS"}, "default_args": {"allow_unknown": True}},
            {"checks": {"sample": 5, "retries": 3}},
            {"alias": "{{ params.alias }}"},
        ],
    )
    def test_what_may_be_right_is_not_refused_when_parsed(self, arguments: dict[str, Any]) -> None:
        assert len(group(**arguments).tasks) == 7

    def test_all_of_its_tasks_get_what_they_share(self) -> None:
        dag = group(milvus_conn_id="other", database="sales", deferrable=True, timeout=60)
        assert [task.task_id.removeprefix("reindex.") for task in dag.topological_sort()] == [
            *("create", "ingest", "index", "load", "verify", "switch", "drop_old")
        ]
        assert {(task.milvus_conn_id, task.database) for task in dag.tasks} == {("other", "sales")}
        waiting = [task for task in dag.tasks if hasattr(task, "timeout")]
        assert {(task.deferrable, task.timeout) for task in waiting} == {(True, 60)}
        assert len(waiting) == 4
        assert len({task.collection_name for task in dag.tasks}) == 1

    def test_the_number_of_rows_is_what_the_ingest_returns(self) -> None:
        dag = group()
        rows = dag.get_task("reindex.ingest").output
        assert [dag.get_task(f"reindex.{name}").min_rows for name in ("index", "verify")] == [rows, rows]

    def test_an_ingest_of_ones_own(self) -> None:
        def ingest(name: str) -> IngestOperator:
            return IngestOperator(task_id="write", collection_name=name, rows=[])

        dag = group(source=None, ingest=ingest, min_rows=5)
        assert dag.get_task("reindex.write").downstream_task_ids == {"reindex.index"}
        assert dag.get_task("reindex.index").min_rows == dag.get_task("reindex.verify").min_rows == 5


def run_hash(run_id: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_OID, run_id).hex[:8]


def named(day: int, run_id: str = "", alias: str = "docs") -> str:
    return f"{alias}_202611{day:02}T060000_{run_hash(run_id or str(day))}"


class Milvus:
    """
    Has collections, and aliases that lead to some.

    :param collections: their names
    :param aliases: collection -> aliases
    """

    def __init__(self, collections: list[str], aliases: dict[str, list[str]]) -> None:
        self.collections, self.aliases = collections, aliases

    def __call__(self, request: Request) -> Behaviour:
        name = request.body.get("collectionName")
        if request.path == "collections/list":
            return ok(list(self.collections))
        if request.path == "aliases/describe":
            led = [one for one, aliases in self.aliases.items() if request.body["aliasName"] in aliases]
            return ok({"collectionName": led[0]}) if led else error(1600, "alias not found[database=default]")
        if name not in self.collections:
            return error(100, f"collection not found[database=default][collection={name}]")
        if request.path == "aliases/list":
            return ok(self.aliases.get(name, []))
        assert request.path == "collections/drop"
        self.collections.remove(name)
        return ok({})


class TestDropping:
    @pytest.fixture
    def drop(self, serve: Serve, operating: Operating) -> Callable[..., Any]:
        def run(milvus: Milvus, states: dict[str, Any], day: int, previous: str = "", keep: int = 2) -> Any:
            operating.connect(serve(milvus))
            task = group(keep=keep).get_task("reindex.drop_old")
            task.alias, task.collection_name, task.previous = "docs", named(day), previous
            found = {run_id: {"reindex.switch": state} for run_id, state in states.items()}
            ti = SimpleNamespace(dag_id="d", try_number=1, get_task_states=lambda dag_id, task_ids: found)
            return task.execute({"ti": ti})

        return run

    def test_the_last_ones_remain(self, drop: Any) -> None:
        milvus = Milvus([named(day) for day in range(1, 6)], {named(5): ["docs"]})
        states = dict.fromkeys("12345", "success")
        found = drop(milvus, states, 5, named(4), keep=3)
        assert found == {"kept": [named(5), named(4), named(3)], "dropped": [named(2), named(1)]}
        assert sorted(milvus.collections) == [named(3), named(4), named(5)]
        assert drop(milvus, states, 5, named(4), keep=3)["dropped"] == []

    def test_of_runs_that_came_to_nothing_none_remains(self, drop: Any) -> None:
        milvus = Milvus([named(day) for day in range(1, 6)], {named(5): ["docs"]})
        states = {"1": "success", "2": "failed", "3": "upstream_failed", "4": "skipped", "5": "running"}
        assert drop(milvus, states, 5, named(1)) == {
            "kept": [named(5), named(1)],
            "dropped": [named(4), named(3), named(2)],
        }

    @pytest.mark.parametrize("state", [None, "scheduled", "running", "up_for_retry", "deferred"])
    def test_a_run_that_is_not_over_keeps_its_collection(self, drop: Any, state: str | None) -> None:
        milvus = Milvus([named(day) for day in range(1, 4)], {named(3): ["docs"]})
        states = {"1": state, "2": "success", "3": "running"}
        assert drop(milvus, states, 3, named(2))["dropped"] == []
        assert drop(milvus, states, 3, named(2), keep=1)["dropped"] == [named(2)]

    def test_what_an_alias_leads_to_remains(self, drop: Any) -> None:
        milvus = Milvus([named(day) for day in range(1, 5)], {named(1): ["golden"], named(4): ["docs"]})
        found = drop(milvus, dict.fromkeys("1234", "success"), 4, named(3))
        assert found == {"kept": [named(4), named(3), named(1)], "dropped": [named(2)]}

    def test_the_one_before_remains_even_if_it_is_older(self, drop: Any) -> None:
        """After a rollback, or if its run has not got as far as to succeed."""
        milvus = Milvus([named(day) for day in range(1, 4)], {named(3): ["docs"]})
        states = {"1": "failed", "2": "success", "3": "running"}
        assert drop(milvus, states, 3, named(1)) == {"kept": [named(3), named(1)], "dropped": [named(2)]}

    def test_nothing_else_is_touched(self, drop: Any) -> None:
        others = [
            named(1, alias="docs_en"),
            "docs",
            "docs_20261101T060000",
            f"{named(1)}_copy",
            named(9),
            "docsX20261101T060000_" + run_hash("1"),
        ]
        milvus = Milvus([*others, named(5)], {})
        assert drop(milvus, {}, 5, keep=1) == {"kept": [named(5)], "dropped": []}


def test_the_readers_of_a_later_run_stay_there(serve: Serve, operating: Operating) -> None:
    server = serve(Milvus([named(1), named(2)], {named(2): ["docs"]}))
    operating.connect(server)
    task = group().get_task("reindex.switch")
    task.collection_name = named(1)
    with pytest.raises(AirflowSkipException, match="of a run that was due later"):
        task.execute({})
    assert server.paths == ["aliases/describe"]


class TestAnAliasThatIsACollection:
    @pytest.fixture
    def create(self, serve: Serve, operating: Operating) -> Callable[..., Any]:
        def run(described: Behaviour, led_to: Behaviour) -> tuple[list[Request], Exception]:
            def milvus(request: Request) -> Behaviour:
                if request.path == "aliases/describe":
                    return led_to
                if request.path == "collections/describe" and request.body["collectionName"] == "docs":
                    return described
                return error(1100, "the work begins")

            server = serve(milvus)
            operating.connect(server)
            task = group().get_task("reindex.create")
            task.collection_name = named(1)
            with pytest.raises(MilvusError) as caught:
                operating.execute(task)
            return server.requests, caught.value

        return run

    @pytest.mark.parametrize("description", [{}, {"aliases": []}, {"aliases": ["live"]}])
    def test_it_is_refused_before_all_the_work(self, create: Any, description: dict[str, Any]) -> None:
        described = ok({"collectionName": "docs", "fields": [], **description})
        requests, found = create(described, error(1600, "alias not found[alias=docs]"))
        assert str(found).startswith("'docs' is the name of a collection, so it cannot be an alias. Choose another")
        assert isinstance(found, ConflictError)
        assert not [request for request in requests if request.body.get("collectionName") == named(1)]

    @pytest.mark.parametrize(
        "described",
        [
            ok({"collectionName": named(0), "fields": [], "aliases": ["docs"]}),
            ok({"collectionName": "docs", "fields": [], "aliases": ["docs"]}),  # as Milvus 2.6 has it
            ok({"collectionName": "docs", "fields": []}),
            error(100, "collection not found[collection=docs]"),
            error(1401, "permission deny", 403),
        ],
    )
    def test_others_pass(self, create: Any, described: Behaviour) -> None:
        requests, found = create(described, ok({"collectionName": named(0)}))
        assert "the work begins" in str(found)
        assert requests[-1].body["collectionName"] == named(1)
