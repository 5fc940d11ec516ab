"""What indexes are on and how they are told: struct fields, dynamic keys, paths, names that no index can have."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_vectordb._compat import AirflowFailException
from airflow_vectordb.rest import indexes
from airflow_vectordb.rest.collections import Collection, Field
from airflow_vectordb.rest.errors import InvalidParametersError
from airflow_vectordb.rest.http.call import Answer
from airflow_vectordb.rest.index.spec import IndexSpec, index_place
from airflow_vectordb.rest.indexes import IndexDescription
from tests.support.fake_milvus import FakeMilvus, Lost
from tests.support.harness import HNSW, Operating
from tests.support.scripted import CutOff, Request, Serve

#: The description of an HNSW index by Milvus 2.6.3's own handler.
TOLD: dict[str, Any] = {
    "failReason": "",
    "fieldName": "v",
    "indexName": "v",
    "indexState": "Finished",
    "indexType": "HNSW",
    "indexedRows": 10,
    "indexoffsetcache.enabled": "",
    "maxIndexVersion": 0,
    "metricType": "L2",
    "minIndexVersion": 0,
    "mmap.enabled": "",
    "pendingRows": 0,
    "totalRows": 10,
}
TYPE, METRIC = {"key": "index_type", "value": "HNSW"}, {"key": "metric_type", "value": "L2"}


def described(pairs: Any, **changes: Any) -> IndexDescription:
    answer = Answer([{**TOLD, "indexParams": pairs, **changes}], {})
    (found,) = indexes.describe("c", "v").read(answer)
    return found


def params(text: str) -> list[dict[str, Any]]:
    return [TYPE, METRIC, {"key": "params", "value": text}]


# How they are told --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        (params('{"M":16,"efConstruction":64}'), {"M": 16, "efConstruction": 64}),
        (params('{"M":"16","efConstruction":"64"}'), {"M": 16, "efConstruction": 64}),
        (params('{"M":16,"index_type":"HNSW","metric_type":"L2"}'), {"M": 16}),
        (params('{"M":16,"nope":1}'), {"M": 16, "nope": 1}),
        (params('{"M":16,"mmap.enabled":true}'), {"M": 16, "mmap.enabled": True}),
        (params('{"M":16,"mmap.enabled":"true"}'), {"M": 16, "mmap.enabled": True}),
        (params('{"json_path":"16","json_cast_type":"varchar"}'), {"json_path": "16", "json_cast_type": "varchar"}),
        (params('{"drop_ratio_build":"0.2","refine_type":"SQ8"}'), {"drop_ratio_build": 0.2, "refine_type": "SQ8"}),
        (params(""), {}),
        (params("null"), {}),
        ([TYPE, METRIC, {"key": "params", "value": None}], {}),
        ([TYPE, METRIC, {"key": "params"}], {}),
        ([TYPE, METRIC, {"key": "M", "value": "16"}], {"M": 16}),
        ([TYPE, METRIC], {}),
        (None, {}),
    ],
)
def test_build_parameters_are_told_as_numbers_and_without_the_type(pairs: Any, told: dict[str, Any]) -> None:
    found = described(pairs)
    assert dict(found.params) == told
    assert [type(value) for value in found.params.values()] == [type(value) for value in told.values()]
    assert json.loads(json.dumps(found.as_json()))["params"] == told
    assert (found.index_type, found.metric_type) == ("HNSW", "L2")
    assert "index_type" not in str(found)


@pytest.mark.parametrize(
    ("pairs", "changes", "index_type", "metric"),
    [
        # What is said within params is what is built.
        (params('{"metric_type":"IP"}'), {}, "HNSW", "IP"),
        ([TYPE, {"key": "params", "value": '{"metric_type":"IP"}'}], {"metricType": ""}, "HNSW", "IP"),
        (params('{"index_type":"IVF_FLAT","nlist":4}'), {}, "IVF_FLAT", "L2"),
        # But for Zilliz Cloud's AUTOINDEX.
        (params('{"index_type":"HNSW","M":4}'), {"indexType": "AUTOINDEX"}, "AUTOINDEX", "L2"),
        ([{"key": "index_type", "value": "STL_SORT"}], {"indexType": "STL_SORT", "metricType": ""}, "STL_SORT", ""),
        ([], {"indexType": "INVERTED", "metricType": "NONE"}, "INVERTED", ""),
        ([TYPE, METRIC], {"indexType": "", "metricType": ""}, "HNSW", "L2"),
    ],
)
def test_type_and_metric_are_those_that_were_built(
    pairs: Any, changes: dict[str, Any], index_type: str, metric: str
) -> None:
    found = described(pairs, **changes)
    assert (found.index_type, found.metric_type) == (index_type, metric)


def test_properties_that_were_altered_later_count() -> None:
    assert described(params('{"mmap.enabled":false}'), **{"mmap.enabled": "true"}).params == {"mmap.enabled": True}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"refine_type": "SQ8"}, {"refine_type": "sq8"}),
        ({"json_cast_type": "VARCHAR"}, {"json_cast_type": "varchar"}),
        ({"inverted_index_algo": "DAAT_MAXSCORE"}, {"inverted_index_algo": "daat_maxscore"}),
        ({"refine": True}, {"refine": "True"}),
        ({"M": 16}, {"M": "16.0"}),
    ],
)
def test_case_and_spelling_of_values_are_no_difference(asked: dict[str, Any], told: dict[str, Any]) -> None:
    spec = IndexSpec("v", None, "HNSW", "L2", asked)
    assert spec.compare(IndexDescription("v", "v", "hnsw", "l2", "Finished", params=told)).same


# What they are on ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "one",
    [
        ("color", "color"),
        ("color", '$meta["color"]'),
        ("$meta", "color"),
        ("$meta", "/color"),
        ("$meta", '$meta["color"]'),
        ("$meta", "$meta['color']"),
        ("$meta", '["color"]'),
    ],
)
def test_a_dynamic_key_is_one_place(one: tuple[str, str]) -> None:
    field, path = one
    assert index_place(field, {"json_path": path}) == ("color",)


@pytest.mark.parametrize(
    ("field", "path", "place"),
    [
        ("meta", None, ("meta",)),
        ("meta", "", ("meta",)),
        ("meta", "meta", ("meta",)),
        ("meta", 'meta["a"]', ("meta", "a")),
        ("meta", "meta['a']", ("meta", "a")),
        ("meta", "/a", ("meta", "a")),
        ("meta", "a", ("meta", "a")),
        ("meta", 'meta["a"]["b"]', ("meta", "a", "b")),
        ("meta", "/a/b", ("meta", "a", "b")),
        ("meta", "/a~1b", ("meta", "a/b")),
        ("meta", 'meta["A"]', ("meta", "A")),
        ("meta", 'meta["a"][0]', ("meta", "a", "0")),
        ("$meta", None, ("$meta",)),
        ("clips[vec]", None, ("clips[vec]",)),
    ],
)
def test_a_path_has_one_spelling(field: str, path: str | None, place: tuple[str, ...]) -> None:
    assert index_place(field, {} if path is None else {"json_path": path}) == place


@pytest.mark.parametrize("field", ["color", "$meta"])
@pytest.mark.parametrize("name", ["by_color", None])
def test_an_index_on_a_dynamic_key(serve: Serve, operating: Operating, field: str, name: str | None) -> None:
    milvus = FakeMilvus(dynamic=True)
    server = serve(milvus)
    index = {
        "fieldName": field,
        **({"indexName": name} if name else {}),
        "indexType": "INVERTED",
        "params": {"json_path": "color", "json_cast_type": "varchar"},
    }

    (first,) = operating.create(server, [index])
    (again,) = operating.create(server, [index])

    assert first == again
    assert first["field_name"] == "$meta"
    assert first["index_name"] == (name or ("color" if field == "color" else "_default_idx_101"))
    assert server.paths.count("indexes/create") == 1
    # Another key is another place.
    on = "$meta" if field == "$meta" else "size"
    path = {"json_path": "size", "json_cast_type": "double"}
    other = {**index, "fieldName": on, "indexName": "by_size", "params": path}
    operating.create(server, [index, other])
    assert len(milvus.indexes) == 2


def test_without_a_path_a_field_must_be_there(serve: Serve, operating: Operating) -> None:
    server = serve(FakeMilvus(dynamic=True))
    with pytest.raises(AirflowFailException, match=r"no field 'colour' in docs"):
        operating.create(server, [{"fieldName": "colour"}])
    assert server.paths == ["collections/describe"]


@pytest.mark.parametrize("field", ["clips[vec]", "my-key", "1st", "größe"])
def test_a_field_whose_name_is_no_name_of_an_index(serve: Serve, operating: Operating, field: str) -> None:
    described_fields = {"id": "Int64", "vector": "FloatVector"}
    if "[" not in field:  # Milvus 2.6 lists no fields of arrays of structs
        described_fields[field] = "FloatVector"
    milvus = FakeMilvus(fields=described_fields)
    server = serve(milvus)
    more = {"metricType": "MAX_SIM_COSINE"} if "[" in field else {}

    found = operating.create(server, [{"fieldName": field, "indexType": "HNSW", **more}, HNSW])
    again = operating.create(server, [{"fieldName": field, "indexType": "HNSW", **more}, HNSW])

    assert found == again
    assert [(index["field_name"], index["index_name"]) for index in found] == [
        (field, "_default_idx_101"),
        ("vector", "vector"),
    ]
    ((first, second),) = (body["indexParams"] for body in server.bodies("indexes/create"))
    assert "indexName" not in first
    assert second["indexName"] == "vector"


def test_a_name_that_was_given_is_sent_whatever_it_is(serve: Serve, operating: Operating) -> None:
    with pytest.raises(AirflowFailException, match="Invalid index name: my-key"):
        operating.create(serve(FakeMilvus()), [{"fieldName": "vector", "indexName": "my-key"}])


def test_a_struct_whose_fields_are_described_is_checked() -> None:
    docs = Collection("docs", (Field("clips[vec]", "ArrayOfVector"),))
    assert IndexSpec("clips[vec]").resolve(docs).metric_type is None
    assert IndexSpec("others[vec]").resolve(docs).field_name == "others[vec]"
    with pytest.raises(InvalidParametersError, match=r"did you mean 'clips\[vec\]'"):
        IndexSpec("clips[vce]").resolve(docs)


# When others are faster ---------------------------------------------------------------------------------------------


class Rival:
    """Has made an index just before it is asked for."""

    def __init__(self, milvus: FakeMilvus, **params: Any) -> None:
        self.milvus, self.params = milvus, params

    def __call__(self, request: Request) -> Any:
        if request.path == "indexes/create" and not self.milvus.indexes:
            self.milvus.add("vector", **self.params)
        return self.milvus(request)


def test_the_same_index_of_another_client_that_was_faster(serve: Serve, operating: Operating) -> None:
    milvus = FakeMilvus()
    (index,) = operating.create(serve(Rival(milvus, M=16, efConstruction=200)))
    assert index["params"] == {"M": 16, "efConstruction": 200}


def test_another_index_of_another_client_that_was_faster(serve: Serve, operating: Operating) -> None:
    milvus = FakeMilvus()
    server = serve(Rival(milvus, M=32, efConstruction=200))
    with pytest.raises(AirflowFailException, match="M: 32 -> 16"):
        operating.create(server)
    with pytest.raises(AirflowFailException, match=r"another index exists|exists already"):
        operating.create(server, if_exists="fail")


def test_an_answer_that_got_lost_makes_no_conflict(serve: Serve, operating: Operating) -> None:
    milvus = FakeMilvus(faults={"indexes/create": [Lost(CutOff())]})
    (index,) = operating.create(serve(milvus), [{"fieldName": "vector", "indexType": "HNSW", "params": {"warp": 9}}])
    assert index["params"] == {"warp": 9}
