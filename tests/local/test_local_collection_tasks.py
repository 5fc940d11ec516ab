"""Tasks that create, check and drop collections, over a local server."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from airflow_vectordb._compat import AirflowException, AirflowFailException
from airflow_vectordb.deferral import ResumeState
from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.operators import _create_collection
from airflow_vectordb.operators.collection import (
    CreateCollectionOperator,
    DropCollectionOperator,
    VerifyCollectionOperator,
)
from airflow_vectordb.rest.errors import CollectionNotFoundError, ConflictError, InvalidParametersError, NoAnswerError
from airflow_vectordb.rest.http.call import Call
from tests.support.local_api import Api, connection_to

SCHEMA: dict[str, Any] = {
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "title", "dataType": "VarChar", "elementTypeParams": {"max_length": 256}},
        {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 4}},
    ]
}
HNSW = {"fieldName": "v", "indexType": "HNSW", "params": {"M": 8}}
NOTHING_DONE = {"created": False, "replaced": False, "altered": []}


def changed(field: int, **params: Any) -> dict[str, Any]:
    schema = copy.deepcopy(SCHEMA)
    schema["fields"][field]["elementTypeParams"] |= params
    return schema


@pytest.fixture(autouse=True)
def connection(server: LocalMilvus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", connection_to(server.uri, server.token, extra={"retries": 0}))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def execute(operator: Any, try_number: int = 1) -> Any:
    return operator.execute({"ti": SimpleNamespace(try_number=try_number)})


Create = Callable[..., Any]


@pytest.fixture
def create(name: str) -> Create:
    def run(schema: Any = SCHEMA, *, try_number: int = 1, **arguments: Any) -> Any:
        operator = CreateCollectionOperator(task_id="t", collection_name=name, schema=schema, **arguments)
        result = execute(operator, try_number)
        assert result.pop("collection_name") == name
        return result

    return run


def fields_of(api: Api, name: str) -> dict[str, str]:
    described = api.ok("collections/describe", collectionName=name)["fields"]
    return {field["name"]: ", ".join(str(pair["value"]) for pair in field.get("params", [])) for field in described}


class TestCreate:
    def test_created_and_then_left_alone(self, create: Create, api: Api, name: str) -> None:
        assert create() == {**NOTHING_DONE, "created": True}
        assert create(json.dumps(SCHEMA)) == NOTHING_DONE
        assert fields_of(api, name) == {"id": "", "title": "256", "v": "4"}

    def test_another_one_is_an_error_that_says_how_it_differs(self, create: Create) -> None:
        create()
        with pytest.raises(AirflowFailException, match=r"title: VarChar\(256\) -> VarChar\(512\)") as caught:
            create(changed(1, max_length=512))
        assert isinstance(caught.value, ConflictError)
        assert "alter=True alters it in place" in str(caught.value)
        assert len(str(caught.value).partition(" task t")[0]) <= 100

    def test_altering(self, create: Create, api: Api, name: str) -> None:
        create()
        schema = changed(1, max_length=512)
        schema["fields"].append({"fieldName": "year", "dataType": "Int32", "nullable": True})
        done = create(schema, alter=True, properties={"collection.ttl.seconds": 1000})
        assert done["altered"] == [
            "title: VarChar(256) -> VarChar(512)",
            "year: none -> Int32, nullable",
            "collection.ttl.seconds: not set -> 1000",
        ]
        assert fields_of(api, name) == {"id": "", "title": "512", "v": "4", "year": ""}
        assert create(schema, alter=True, properties='{"ttlSeconds": "1000"}') == NOTHING_DONE

    def test_what_cannot_be_altered_is_an_error_and_nothing_is(self, create: Create, api: Api, name: str) -> None:
        create()
        schema = changed(2, dim=8)
        schema["fields"][1]["elementTypeParams"] = {"max_length": 512}
        with pytest.raises(
            ConflictError, match=r"^another schema: title: VarChar\(256\) -> VarChar\(512\).*and 1 more"
        ):
            create(schema, alter=True)
        assert fields_of(api, name) == {"id": "", "title": "256", "v": "4"}

    def test_fail_if_it_exists_unless_an_earlier_try_may_have_made_it(self, create: Create, name: str) -> None:
        create(if_exists="fail")
        with pytest.raises(ConflictError, match="exists already"):
            create(if_exists="fail")
        assert create(if_exists="fail", try_number=2) == NOTHING_DONE
        # Nor does a resumed task that starts over, since its arguments are others, take its own for another's.
        operator = CreateCollectionOperator(task_id="t", collection_name=name, schema=SCHEMA, if_exists="fail")
        resumed = operator.execute_complete({}, {}, asdict(ResumeState(subject="others")), "built")
        assert resumed == {**NOTHING_DONE, "collection_name": name}

    def test_an_answer_that_is_lost_after_the_creation(self, create: Create, monkeypatch: pytest.MonkeyPatch) -> None:
        send = MilvusHook.send

        def lose(hook: MilvusHook, call: Call[Any], **options: Any) -> Any:
            answer = send(hook, call, **options)
            if call.path == "collections/create":
                raise NoAnswerError("the connection broke")
            return answer

        with monkeypatch.context() as patch:
            patch.setattr(MilvusHook, "send", lose)
            with pytest.raises(AirflowException) as caught:
                create(if_exists="fail", properties={"mmap.enabled": True})
        assert not isinstance(caught.value, AirflowFailException)
        assert create(if_exists="fail", properties={"mmap.enabled": True}, try_number=2) == NOTHING_DONE

    def test_properties_that_came_too_late_before_a_kill(self, create: Create) -> None:
        create()  # as far as the killed try got
        done = create(properties={"mmap.enabled": True}, try_number=2)
        assert done["altered"] == ["mmap.enabled: not set -> true"]

    def test_properties_and_settings(self, create: Create, api: Api, name: str) -> None:
        create(properties={"ttlSeconds": 1000, "mmap.enabled": True, "consistency_level": "strong"})
        described = api.ok("collections/describe", collectionName=name)
        properties = {pair["key"]: pair["value"] for pair in described["properties"]}
        assert properties == {"collection.ttl.seconds": "1000", "mmap.enabled": "true"}
        assert described["consistencyLevel"] == "Strong"


class TestReplace:
    def test_another_one_is_dropped_with_its_rows_and_the_same_is_kept(
        self, create: Create, api: Api, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        create(index_params=HNSW)
        api.ok("entities/insert", collectionName=name, data=[{"id": 1, "title": "a", "v": [1, 2, 3, 4]}])
        assert create(if_exists="replace") == NOTHING_DONE
        assert create(changed(2, dim=8), if_exists="replace") == {**NOTHING_DONE, "created": True, "replaced": True}
        assert fields_of(api, name) == {"id": "", "title": "256", "v": "8"}
        assert api.ok("collections/get_stats", collectionName=name)["rowCount"] == 0

    def test_not_if_an_alias_leads_there(self, create: Create, api: Api, name: str) -> None:
        create()
        api.ok("aliases/create", aliasName=f"{name}_live", collectionName=name)
        with pytest.raises(ConflictError, match=f"alias '{name}_live' points to this collection"):
            create(changed(2, dim=8), if_exists="replace")
        assert fields_of(api, name) == {"id": "", "title": "256", "v": "4"}

    def test_nothing_is_dropped_for_a_schema_that_the_server_refuses(self, create: Create, api: Api, name: str) -> None:
        create()
        api.ok("collections/create", collectionName=f"{name}__rehearsal", dimension=4)  # somebody's own
        refused = copy.deepcopy(SCHEMA)
        refused["fields"][2]["dataType"] = "Float16Vector"  # Milvus Lite has none
        with pytest.raises(AirflowFailException, match="Float16Vector"):
            create(refused, if_exists="replace")
        assert fields_of(api, name) == {"id": "", "title": "256", "v": "4"}
        found = [found for found in api.ok("collections/list") if found.startswith(f"{name}_")]
        assert found == [f"{name}__rehearsal"]

    def test_another_task_that_replaces_it_at_the_same_time(
        self, create: Create, api: Api, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What that one has made is left alone, with the rows that may be in it by now."""
        create()
        rehearse = _create_collection.CollectionCreation._rehearse

        def rehearsing(creation: Any) -> None:
            rehearse(creation)
            monkeypatch.setattr(_create_collection.CollectionCreation, "_rehearse", rehearse)
            create(changed(2, dim=8), if_exists="replace")
            api.ok("entities/insert", collectionName=name, data=[{"id": 1, "title": "a", "v": [0.5] * 8}])
            api.ok("collections/flush", collectionName=name)

        monkeypatch.setattr(_create_collection.CollectionCreation, "_rehearse", rehearsing)
        assert create(changed(2, dim=8), if_exists="replace") == NOTHING_DONE
        assert api.ok("collections/get_stats", collectionName=name) == {"rowCount": 1}

    def test_what_another_task_has_dropped_is_left_to_a_retry(
        self, create: Create, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Or to one when the proxy that did not know it yet has caught up."""
        gone = CollectionNotFoundError("can't find collection[database=default][collection=docs]", code=100)
        for name, instead in (("_describe", Mock(return_value=None)), ("_index_and_load", Mock(side_effect=gone))):
            with monkeypatch.context() as patch:
                patch.setattr(_create_collection.CollectionCreation, name, instead)
                with pytest.raises(AirflowException, match=r"^Another client has dropped what was just cre") as found:
                    create(index_params=HNSW)
                assert not isinstance(found.value, AirflowFailException)

    def test_killed_between_drop_and_creation(
        self, create: Create, api: Api, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        create()
        send = MilvusHook.send

        def die(hook: MilvusHook, call: Call[Any], **options: Any) -> Any:
            if call.path == "collections/create" and call.body["collectionName"] == name:
                raise KeyboardInterrupt
            return send(hook, call, **options)

        with monkeypatch.context() as patch:
            patch.setattr(MilvusHook, "send", die)
            with pytest.raises(KeyboardInterrupt):
                create(changed(2, dim=8), if_exists="replace")
        assert not api.ok("collections/has", collectionName=name)["has"]
        assert create(changed(2, dim=8), if_exists="replace", try_number=2)["created"]


class TestIndexes:
    @pytest.mark.parametrize("deferrable", [False, True])
    def test_built_and_loaded(self, create: Create, deferrable: bool) -> None:
        done = create(index_params=[HNSW], deferrable=deferrable)
        assert [(one["index_type"], one["state"]) for one in done["indexes"]] == [("HNSW", "Finished")]
        assert done["load_state"] == "LoadStateLoaded"
        assert create(index_params=[HNSW])["created"] is False

    def test_another_index_is_in_the_way(self, create: Create) -> None:
        create(index_params=HNSW)
        with pytest.raises(ConflictError, match="M: 8 -> 16") as caught:
            create(index_params={**HNSW, "params": {"M": 16}})
        # "replace" of this operator would drop the rows.
        assert 'CreateIndexOperator(if_exists="replace")' in str(caught.value)

    def test_quick_setup(self, name: str) -> None:
        done = execute(CreateCollectionOperator(task_id="t", collection_name=name, dimension="8"))
        assert done["indexes"][0]["metric_type"] == "COSINE"
        assert done["load_state"] == "LoadStateLoaded"

    def test_all_that_is_wrong_is_reported_before_the_first_request(self, api: Api, name: str) -> None:
        operator = CreateCollectionOperator(
            task_id="t",
            collection_name=name,
            schema="{{ later }}",
            index_params={"fieldName": "vector", "metricType": "COSINE"},
            properties="{{ later }}",
        )
        operator.schema = json.dumps(SCHEMA)
        operator.properties = '{"consistencyLevel": "Storng"}'
        with pytest.raises(InvalidParametersError) as caught:
            execute(operator)
        assert "no field 'vector'" in str(caught.value)
        assert "did you mean 'Strong'?" in str(caught.value)
        assert not api.ok("collections/has", collectionName=name)["has"]


class TestDrop:
    def test_dropped_once(self, create: Create, api: Api, name: str) -> None:
        create()
        drop = {"task_id": "t", "collection_name": name}
        assert execute(DropCollectionOperator(**drop)) is True
        assert not api.ok("collections/has", collectionName=name)["has"]
        assert execute(DropCollectionOperator(**drop)) is False
        with pytest.raises(AirflowFailException, match="if_missing"):
            execute(DropCollectionOperator(**drop, if_missing="fail"))
        # An earlier try may have dropped it.
        assert execute(DropCollectionOperator(**drop, if_missing="fail"), 2) is False

    def test_aliases(self, create: Create, api: Api, name: str) -> None:
        create()
        alias = f"{name}_live"
        api.ok("aliases/create", aliasName=alias, collectionName=name)
        with pytest.raises(ConflictError, match=f"alias '{alias}' points to this collection"):
            execute(DropCollectionOperator(task_id="t", collection_name=name))
        with pytest.raises(ConflictError, match=r"is an alias\. Name the collection itself"):
            execute(DropCollectionOperator(task_id="t", collection_name=alias, drop_aliases=True))
        assert api.ok("collections/has", collectionName=name)["has"]
        assert execute(DropCollectionOperator(task_id="t", collection_name=name, drop_aliases=True)) is True
        assert alias not in api.ok("aliases/list")


class TestVerify:
    @pytest.fixture
    def filled(self, create: Create, api: Api, name: str) -> str:
        create(index_params={**HNSW, "metricType": "L2"})
        rows = [{"id": i, "title": "a", "v": [i, i * i % 7, 1, 0]} for i in range(60)]
        api.ok("entities/insert", collectionName=name, data=rows)
        return name

    def test_figures_of_what_passes(self, filled: str) -> None:
        checked: list[str] = []

        def check(hook: MilvusHook, collection_name: str) -> dict[str, int]:
            checked.append(collection_name)
            return {"languages": 3}

        verify = VerifyCollectionOperator(
            task_id="t",
            collection_name=filled,
            min_rows="60",
            max_rows=60,
            sample=30,
            k=3,
            min_recall=0.8,
            queries=[{"vector": [5, 4, 1, 0], "ids": [5, 4, 6]}, {"vector": [9, 4, 1, 0], "ids": [9]}],
            check=check,
        )
        assert execute(verify) == {
            "collection_name": filled,
            "rows": 60,
            "sampled": 30,
            "found": 30,
            "queries": 2,
            "recall": 0.8333,
            "check": {"languages": 3},
        }
        assert checked == [filled]

    def test_what_fails_is_reported_together_with_figures(self, filled: str) -> None:
        verify = VerifyCollectionOperator(
            task_id="t",
            collection_name=filled,
            max_rows=50,
            k=1,
            queries=json.dumps([{"vector": [5, 4, 1, 0], "ids": [40]}]),
            check=lambda hook, name: False,
        )
        with pytest.raises(AirflowFailException) as caught:
            execute(verify)
        text = str(caught.value)
        assert text.startswith("60 rows, more than max_rows=50, and 2 more.")
        for words in ("recall@1 is 0.000 over 1 queries", "returned False", '"rows": 60'):
            assert words in text

    def test_rows_that_do_not_find_themselves(self, create: Create, api: Api, name: str) -> None:
        create(index_params={**HNSW, "metricType": "IP"})  # the longest vector is the best hit of each
        rows = [{"id": i, "title": "a", "v": [i + 1, 0, 0, 0]} for i in range(20)]
        api.ok("entities/insert", collectionName=name, data=rows)
        with pytest.raises(AirflowFailException, match="1 of 20 sampled rows are found among the first 1"):
            execute(VerifyCollectionOperator(task_id="t", collection_name=name, sample=20, k=1))

    def test_errors_of_the_check_are_its_own(self, filled: str) -> None:
        def check(hook: MilvusHook, collection_name: str) -> None:
            raise LookupError("no German rows")

        with pytest.raises(LookupError, match="no German rows"):
            execute(VerifyCollectionOperator(task_id="t", collection_name=filled, check=check))

    def test_an_empty_collection_has_no_sample(self, create: Create, name: str) -> None:
        create(index_params=HNSW)
        with pytest.raises(AirflowFailException, match="no row could be sampled"):
            execute(VerifyCollectionOperator(task_id="t", collection_name=name, sample=5))

    def test_fields(self, filled: str) -> None:
        with pytest.raises(InvalidParametersError, match="anns_field must be a FloatVector or a SparseFloatVector"):
            execute(VerifyCollectionOperator(task_id="t", collection_name=filled, sample=5, anns_field="title"))

    @pytest.mark.parametrize(
        ("queries", "words"),
        [
            ("[", "queries is not JSON"),
            ("{}", "queries must be a list of mappings"),
            ([{"vector": [1]}], r"queries\[0\] needs a vector and ids"),
            ([{"vector": [1], "ids": []}], r"queries\[0\] needs a vector and ids"),
        ],
    )
    def test_queries(self, queries: Any, words: str) -> None:
        with pytest.raises(InvalidParametersError, match=words):
            execute(VerifyCollectionOperator(task_id="t", collection_name="docs", queries=queries))
