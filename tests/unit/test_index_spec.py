"""What depends on the collection, on the server's age, and on what exists."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_vectordb.rest.collections import Collection, Field, Function
from airflow_vectordb.rest.errors import (
    BadRequestError,
    IndexMismatchError,
    InvalidParametersError,
    MilvusError,
    PermissionDeniedError,
    UnexpectedError,
)
from airflow_vectordb.rest.index.plan import plan_indexes, resolve_all
from airflow_vectordb.rest.index.spec import IndexSpec
from airflow_vectordb.rest.indexes import IndexDescription

DOCS = Collection(
    "docs",
    (
        Field("id", "Int64", is_primary=True),
        Field("vector", "FloatVector", params={"dim": "8"}),
        Field("half", "Float16Vector"),
        Field("bits", "BinaryVector"),
        Field("hashes", "BinaryVector"),
        Field("sparse", "SparseFloatVector"),
        Field("words", "SparseFloatVector"),
        Field("text", "VarChar"),
        Field("meta", "JSON"),
        Field("clips[vector]", "ArrayOfVector"),
    ),
    (Function("bm25", "BM25", ("words",)), Function("mh", "MinHash", ("hashes",))),
)
HNSW = IndexSpec("vector", None, "HNSW", "COSINE", {"M": 16, "efConstruction": 200})


def described(**changes: Any) -> IndexDescription:
    fields: dict[str, Any] = {
        "index_name": "vector",
        "field_name": "vector",
        "index_type": "HNSW",
        "metric_type": "COSINE",
        "state": "Finished",
        "params": {"M": "16", "efConstruction": "200"},
    }
    return IndexDescription(**{**fields, **changes})


@pytest.mark.parametrize(
    ("field", "metric"),
    [
        ("vector", "COSINE"),
        ("half", "COSINE"),
        ("bits", "HAMMING"),
        ("hashes", "MHJACCARD"),
        ("sparse", "IP"),
        ("words", "BM25"),
        ("id", None),
        ("text", None),
        ("clips[vector]", None),
    ],
)
def test_the_metric_defaults_by_field(field: str, metric: str | None) -> None:
    assert IndexSpec(field).resolve(DOCS).metric_type == metric


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (IndexSpec("vectr"), ["no field 'vectr' in docs", "did you mean 'vector'?"]),
        (IndexSpec("zzz"), ["no field 'zzz' in docs", "known: id, vector"]),
        (IndexSpec("vector", metric_type="HAMMING"), ["HAMMING does not fit", "'vector' is a FloatVector", "COSINE"]),
        (IndexSpec("bits", metric_type="COSINE"), ["COSINE does not fit", "HAMMING"]),
        (IndexSpec("sparse", metric_type="L2"), ["L2 does not fit", "IP"]),
        (IndexSpec("sparse", metric_type="BM25"), ["BM25 function"]),
        (IndexSpec("words", metric_type="IP"), ["its metric is BM25"]),
        (IndexSpec("id", metric_type="L2"), ["scalar index has no metric", "'id' is an Int64"]),
        (IndexSpec("text", index_type="HNSW"), ["HNSW is for", "'text' is a VarChar"]),
        (IndexSpec("vector", index_type="BITMAP"), ["BITMAP is for scalar"]),
    ],
)
def test_what_does_not_fit_the_field_is_refused(spec: IndexSpec, words: list[str]) -> None:
    with pytest.raises(InvalidParametersError) as caught:
        spec.resolve(DOCS)
    for word in words:
        assert word in str(caught.value)


def test_misfits_of_all_indexes_are_told_at_once() -> None:
    with pytest.raises(InvalidParametersError) as caught:
        resolve_all([IndexSpec("vectr"), HNSW, IndexSpec("id", metric_type="L2")], DOCS)
    assert len(caught.value.problems) == 2


def test_a_key_of_the_dynamic_field_needs_no_field() -> None:
    spec = IndexSpec("color", None, "INVERTED", None, {"json_path": "color", "json_cast_type": "varchar"})
    dynamic = Collection("docs", DOCS.fields, enable_dynamic_field=True)
    assert spec.resolve(dynamic) == spec
    with pytest.raises(InvalidParametersError):
        spec.resolve(DOCS)


def test_the_body_is_understood_by_servers_of_every_age() -> None:
    assert HNSW.body() == {
        "fieldName": "vector",
        "indexName": "vector",
        "metricType": "COSINE",
        "indexType": "HNSW",
        "params": {"index_type": "HNSW", "M": 16, "efConstruction": 200},
        "indexConfig": {"index_type": "HNSW", "M": "16", "efConstruction": "200"},
    }
    assert "metricType" not in IndexSpec("id", index_type="INVERTED").body()


@pytest.mark.parametrize(
    ("changes", "differences"),
    [
        ({}, []),
        ({"params": {"M": 16, "efConstruction": 200.0}}, []),
        ({"params": {"M": "16", "efConstruction": "200", "mmap.enabled": "true"}}, []),
        ({"index_name": "other"}, []),
        ({"params": {"M": "32", "efConstruction": "200"}}, ["M: 32 -> 16"]),
        ({"metric_type": "L2"}, ["metric_type: L2 -> COSINE"]),
        ({"index_type": "IVF_FLAT", "params": {"nlist": "9"}}, ["index_type: IVF_FLAT -> HNSW"]),
        (
            {"index_type": "IVF_FLAT", "metric_type": "L2"},
            ["index_type: IVF_FLAT -> HNSW", "metric_type: L2 -> COSINE"],
        ),
        ({"index_type": ""}, ["index_type: -> HNSW"]),
    ],
)
def test_differences_are_told_from_there_to_asked(changes: dict[str, Any], differences: list[str]) -> None:
    comparison = HNSW.compare(described(**changes))
    assert list(comparison.differences) == differences
    assert not (differences and comparison.unverifiable)  # such as parameters of another type


def test_a_name_that_was_asked_for_counts() -> None:
    named = IndexSpec("vector", "mine", "HNSW", "COSINE")
    assert named.compare(described()).differences == ("index_name: vector -> mine",)


@pytest.mark.parametrize(
    ("changes", "unverifiable"), [({"params": {}}, 2), ({"index_type": "AUTOINDEX", "params": {}}, 1)]
)
def test_what_only_the_server_knows_is_a_doubt(changes: dict[str, Any], unverifiable: int) -> None:
    comparison = HNSW.compare(described(**changes))
    assert not comparison.differences
    assert len(comparison.unverifiable) == unverifiable
    assert not comparison.same


def test_a_plan_creates_what_is_missing_in_one_call_and_nothing_else() -> None:
    plan = plan_indexes("docs", [HNSW, IndexSpec("label", None, "INVERTED")], [described()])
    assert [spec.field_name for spec in plan.to_create] == ["label"]
    assert not plan_indexes("docs", [HNSW], [described()]).to_create


def test_a_plan_keeps_the_name_of_an_index_that_will_do() -> None:
    plan = plan_indexes("docs", [HNSW], [described(index_name="other")])
    assert [spec.name for spec in plan.specs] == ["other"]
    assert not plan.to_create


def test_a_plan_tells_all_that_is_in_the_way() -> None:
    asked = [HNSW, IndexSpec("label", "taken", "INVERTED")]
    there = [described(params={"M": "32"}), described(index_name="taken", field_name="text", index_type="INVERTED")]
    with pytest.raises(IndexMismatchError) as caught:
        plan_indexes("docs", asked, there)
    assert "M: 32 -> 16" in str(caught.value)
    assert "'taken' is taken by the index on field 'text'" in str(caught.value)


def test_a_plan_swaps_names() -> None:
    asked = [IndexSpec("vector", "b", "HNSW", "COSINE"), IndexSpec("label", "a", "INVERTED")]
    there = [described(index_name="a"), described(index_name="b", field_name="label", index_type="INVERTED")]
    assert set(plan_indexes("docs", asked, there, drop_others=True).to_drop) == {"a", "b"}
    with pytest.raises(IndexMismatchError, match="'b' is taken by the index on field 'label'"):
        plan_indexes("docs", asked, there)


def test_the_same_index_is_in_the_way_if_it_shall_be() -> None:
    with pytest.raises(IndexMismatchError) as caught:
        plan_indexes("docs", [HNSW], [described()], fail_on_same=True)
    assert str(caught.value) == 'docs/vector exists already. Set if_exists="skip" to keep it, or drop it first.'


@pytest.mark.parametrize("fail_on_same", [True, False])
def test_another_index_may_be_replaced(fail_on_same: bool) -> None:
    with pytest.raises(IndexMismatchError) as caught:
        plan_indexes(
            "docs", [HNSW], [described(params={"M": "32", "efConstruction": "200"})], fail_on_same=fail_on_same
        )
    assert str(caught.value) == (
        'another index exists: docs/vector: M: 32 -> 16. Set if_exists="replace", or drop it first. '
        "(existing -> requested)"
    )


def test_a_name_that_is_taken_is_to_be_changed() -> None:
    there = [described(index_name="taken", field_name="text", index_type="INVERTED")]
    with pytest.raises(IndexMismatchError, match="Choose another indexName, or drop it first"):
        plan_indexes("docs", [IndexSpec("label", "taken", "INVERTED")], there, drop_others=True)


@pytest.mark.parametrize(
    "error",
    [
        UnexpectedError("M out of range: [1, 2048]", code=65535),
        PermissionDeniedError("permission deny", code=65535, http_status=403),
        BadRequestError("index type not match", code=1100),
        UnexpectedError("service not ready", code=65535, transient=True),
    ],
)
def test_what_is_not_about_another_index(error: MilvusError) -> None:
    plan = plan_indexes("docs", [HNSW], [described(index_type="AUTOINDEX", params={})])
    assert plan.unverified
    assert plan.explain(error) is error
    assert "replace" not in str(error)


def test_an_index_that_somebody_made_meanwhile() -> None:
    refused = UnexpectedError("CreateIndex failed: at most one distinct index is allowed per field", code=65535)
    explained = plan_indexes("docs", [HNSW], []).explain(refused)
    assert isinstance(explained, IndexMismatchError)
    assert str(explained).startswith('another index exists. Set if_exists="replace", or drop it first. (code 65535)')


def test_doubts_are_left_to_the_server() -> None:
    plan = plan_indexes("docs", [HNSW], [described(index_type="AUTOINDEX", params={})])
    assert [spec.index_type for spec in plan.to_create] == ["HNSW"]
    explained = plan.explain(UnexpectedError("at most one distinct index is allowed per field", code=65535))
    assert isinstance(explained, IndexMismatchError)
    assert explained.code == 65535
    assert "index_type: AUTOINDEX -> HNSW" in str(explained)


def test_read_back_warns_of_autoindex_and_is_strict_on_request() -> None:
    plan = plan_indexes("docs", [HNSW], [])
    auto = [described(index_type="AUTOINDEX", params={})]
    (warning,) = plan.read_back(auto, strict=False)
    assert "AUTOINDEX in place of HNSW" in warning
    with pytest.raises(IndexMismatchError, match="AUTOINDEX in place of HNSW"):
        plan.read_back(auto, strict=True)
    assert plan.read_back([described()], strict=True) == []


def test_read_back_refuses_what_was_not_asked_for() -> None:
    plan = plan_indexes("docs", [HNSW], [])
    with pytest.raises(IndexMismatchError, match=r"M: 8 -> 16"):
        plan.read_back([described(params={"M": "8", "efConstruction": "200"})], strict=False)
    chosen = plan_indexes("docs", [IndexSpec("vector", metric_type="COSINE")], [])
    assert chosen.read_back([described()], strict=True) == []
