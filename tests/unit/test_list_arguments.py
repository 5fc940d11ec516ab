"""Arguments that are lists: Python would iterate over the letters of a text, and delete the rows of each."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from airflow_vectordb import rest
from airflow_vectordb._compat import AirflowFailException
from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.operators.ingest import DeleteOperator
from airflow_vectordb.rest.errors import InvalidParametersError
from tests.support.scripted import ScriptedServer, Serve, ok

Use = Callable[[MilvusHook], Any]


def described(kind: str) -> Any:
    return ok({"collectionName": "docs", "aliases": [], "fields": [{"name": "id", "type": kind, "primaryKey": True}]})


@pytest.fixture(params=["VarChar"])
def server(request: pytest.FixtureRequest, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> ScriptedServer:
    found = {f"entities/{path}": ok([]) for path in ("get", "hybrid_search")}
    answers = {"collections/describe": described(request.param), "entities/delete": ok({}), **found}
    running = serve(answers)
    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", f"milvus://127.0.0.1:{running.port}")
    return running


@pytest.fixture
def hook(server: ScriptedServer) -> Iterator[MilvusHook]:
    with MilvusHook() as opened:
        yield opened


def filters_sent(server: ScriptedServer) -> list[str]:
    return [body["filter"] for body in server.bodies("entities/delete")]


class Frame(list[Any]):
    columns = ("id",)


@pytest.mark.parametrize("ids", ["ab", "id == 'ab'", "", b"ab", {"a": 1}, True, 1.5, Frame(["id"])], ids=repr)
@pytest.mark.parametrize("dry_run", [False, True])
def test_keys_that_are_no_list_delete_nothing(
    hook: MilvusHook, server: ScriptedServer, ids: Any, dry_run: bool
) -> None:
    with pytest.raises(
        InvalidParametersError, match=r"ids must be a list of keys, not .*; a filter goes into filter="
    ) as refused:
        hook.delete("docs", ids, dry_run=dry_run)
    assert isinstance(refused.value, AirflowFailException)
    assert not server.requests


@pytest.mark.parametrize(
    ("server", "ids", "problems"),
    [
        ("Int64", ["a", 1, None, True, 2**63, 1.5, np.True_], [0, 2, 3, 4, 5, 6]),
        ("VarChar", ["a", 5, None, b"b"], [1, 2, 3]),
        ("VarChar", 5, [0]),
        ("VarChar", range(12), [*range(10)]),
    ],
    indirect=["server"],
)
def test_keys_of_another_type_are_all_named(
    hook: MilvusHook, server: ScriptedServer, ids: Any, problems: list[int]
) -> None:
    with pytest.raises(InvalidParametersError) as refused:
        hook.delete("docs", ids)
    named = [text for text in refused.value.problems if text.startswith("ids[")]
    assert [text.partition(":")[0] for text in named] == [f"ids[{at}]" for at in problems]
    assert filters_sent(server) == []


@pytest.mark.parametrize(
    ("server", "ids", "sent"),
    [
        ("Int64", 5, "id in [5]"),
        ("Int64", np.int64(5), "id in [5]"),
        ("Int64", np.array([1, 2]), "id in [1, 2]"),
        ("Int64", (n for n in (1, 2)), "id in [1, 2]"),
        ("Int64", range(2), "id in [0, 1]"),
        ("VarChar", ["ab", np.str_("ä")], 'id in ["ab", "ä"]'),
        ("VarChar", {"ab"}, 'id in ["ab"]'),
    ],
    indirect=["server"],
)
def test_keys_that_fit(hook: MilvusHook, server: ScriptedServer, ids: Any, sent: str) -> None:
    hook.delete("docs", ids)
    assert filters_sent(server) == [sent]


def test_no_keys_are_no_request(hook: MilvusHook, server: ScriptedServer) -> None:
    assert hook.delete("docs", [])["rows"] == 0
    assert filters_sent(server) == []


@pytest.mark.parametrize("ids", ["ab", b"ab", {"a": 1}])
def test_the_operator_refuses_them_when_the_dag_is_parsed(ids: Any) -> None:
    with pytest.raises(ValueError, match="must be a list"):
        DeleteOperator(task_id="t", collection_name="docs", ids=ids)
    DeleteOperator(task_id="t", collection_name="docs", ids="{{ ti.xcom_pull('keys') }}")


@pytest.mark.parametrize("documents", ["ab", b"ab", {"a": 1}, 5])
def test_documents_that_are_no_list(serve: Serve, monkeypatch: pytest.MonkeyPatch, documents: Any) -> None:
    server = serve({"collections/describe": described("VarChar")})
    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", f"milvus://127.0.0.1:{server.port}")
    with MilvusHook() as hook, pytest.raises(InvalidParametersError, match="documents must be a list"):
        hook.ingest("docs", [], replace_documents="id", documents=documents)


@pytest.mark.parametrize(
    ("server", "documents", "problem"),
    [
        ("VarChar", ["a", 5], r"documents\[1\]: 5 \(int\) is not a string; id is of type VarChar"),
        ("Int64", ["a"], r"documents\[0\]: 'a' \(str\) is not an Int64; id is of type Int64"),
    ],
    indirect=["server"],
)
def test_documents_of_another_type(hook: MilvusHook, documents: Any, problem: str) -> None:
    with pytest.raises(InvalidParametersError, match=problem):
        hook.ingest("docs", [], replace_documents="id", documents=documents)


@pytest.mark.parametrize("source", [b"rows.csv", {"rows.csv": 1}, 5, ["rows.csv", 5], Frame(["id"])], ids=repr)
def test_sources_that_are_no_paths(hook: MilvusHook, source: Any) -> None:
    with pytest.raises(InvalidParametersError, match="source must be a path or a list of paths"):
        hook.ingest("docs", source=source)


def test_documents_of_a_dynamic_field(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = [{"name": "id", "type": "Int64", "primaryKey": True}]
    server = serve(
        {
            "collections/describe": ok(
                {"collectionName": "docs", "aliases": [], "fields": fields, "enableDynamicField": True}
            )
        }
    )
    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", f"milvus://127.0.0.1:{server.port}")
    with MilvusHook() as hook, pytest.raises(InvalidParametersError) as refused:
        hook.ingest("docs", [], replace_documents="doc", documents=["a", 5, None, True, 0.5])
    assert all(text.endswith("is neither a string nor an integer") for text in refused.value.problems)
    assert len(refused.value.problems) == 3


NAMES: dict[str, list[Use]] = {
    "output_fields": [
        lambda hook: hook.get("docs", [1], output_fields="ab"),
        lambda hook: hook.query("docs", output_fields="ab"),
        lambda hook: list(hook.query_iterator("docs", output_fields="ab")),
        lambda hook: hook.search("docs", [[0.5]], output_fields="ab"),
        lambda hook: hook.hybrid_search("docs", [{"data": [[0.5]]}], output_fields="ab"),
    ],
    "partition_names": [
        lambda hook: hook.get("docs", [1], partition_names="ab"),
        lambda hook: hook.query("docs", partition_names="ab"),
        lambda hook: hook.count("docs", partition_names="ab"),
        lambda hook: hook.search("docs", [[0.5]], partition_names="ab"),
        lambda hook: hook.hybrid_search("docs", [{"data": [[0.5]]}], partition_names="ab"),
        lambda hook: hook.load("docs", "ab"),
        lambda hook: hook.release("docs", "ab"),
        lambda hook: hook.get_load_state("docs", "ab"),
    ],
    "property_keys": [
        lambda hook: hook.drop_collection_properties("docs", "ab"),
        lambda hook: hook.drop_database_properties("docs", "ab"),
        lambda hook: hook.drop_index_properties("docs", "index", "ab"),
    ],
}


@pytest.mark.parametrize(("name", "use"), [(name, use) for name, uses in NAMES.items() for use in uses])
def test_names_that_are_no_list(hook: MilvusHook, server: ScriptedServer, name: str, use: Use) -> None:
    with pytest.raises(InvalidParametersError, match=rf"{name} must be a list of names, .*: pass \['ab'\]"):
        use(hook)
    assert not server.requests


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("properties", lambda hook: hook.alter_collection_properties("docs", "ab")),
        ("properties", lambda hook: hook.alter_index_properties("docs", "index", None)),
        ("properties", lambda hook: hook.alter_database_properties("docs", ["ab"])),
        ("properties", lambda hook: hook.create_database("docs", ["ab"])),
        ("field", lambda hook: hook.add_collection_field("docs", "ab")),
        ("params", lambda hook: hook.alter_collection_field("docs", "field", 5)),
    ],
)
def test_what_is_no_mapping(hook: MilvusHook, server: ScriptedServer, name: str, use: Use) -> None:
    with pytest.raises(InvalidParametersError, match=f"{name} must be a mapping such as {{") as refused:
        use(hook)
    assert isinstance(refused.value, AirflowFailException)
    assert not server.requests


@pytest.mark.parametrize(
    "use",
    [
        lambda hook: hook.load("docs", []),
        lambda hook: hook.release("docs", ()),
        lambda hook: hook.get_load_state("docs", []),
        lambda hook: hook.query("docs", partition_names=[]),
        lambda hook: list(hook.query_iterator("docs", partition_names=[])),
        lambda hook: hook.count("docs", partition_names=()),
        lambda hook: hook.get("docs", [1], partition_names=[]),
        lambda hook: hook.search("docs", [[0.5]], partition_names=[]),
        lambda hook: hook.hybrid_search("docs", [{"data": [[0.5]]}], partition_names=[]),
    ],
)
def test_no_partition_is_not_the_whole_collection(hook: MilvusHook, server: ScriptedServer, use: Use) -> None:
    with pytest.raises(InvalidParametersError, match="partition_names is an empty list"):
        use(hook)
    assert not server.requests


@pytest.mark.parametrize(
    "data", [[0.1] * 16, np.array([0.1, 0.2]), [1, 2], {3: 0.5}, "text", b"x", [[0.1], None], 0.5], ids=repr
)
def test_one_vector_is_no_list_of_them(hook: MilvusHook, server: ScriptedServer, data: Any) -> None:
    with pytest.raises(InvalidParametersError, match=r"pass a list of vectors, \[vector\]") as refused:
        hook.search("docs", data)
    assert "pass a list" in str(refused.value)[:100]
    with pytest.raises(InvalidParametersError, match=r"reqs\[1\].*pass a list of vectors"):
        hook.hybrid_search("docs", [{"data": [[0.5]]}, {"data": data}])
    assert not server.requests


def test_generators_are_lists(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = ok({"loadState": "LoadStateLoaded", "loadProgress": 100})
    answers: dict[str, Any] = {"entities/search": ok([]), "partitions/load": ok({})}
    answers |= {"collections/get_load_state": loaded, "collections/describe": described("Int64")}
    server = serve({**answers, "entities/query": [ok([{"id": 1}]), ok([])]})
    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", f"milvus://127.0.0.1:{server.port}")
    with MilvusHook() as hook:
        assert hook.search("docs", ([0.5, n] for n in range(2))) == [[], []]  # type: ignore[arg-type]
        hook.load("docs", (name for name in ("p1", "p2")))  # type: ignore[arg-type]
        assert list(hook.query_iterator("docs", partition_names=iter(["p1"]))) == [[{"id": 1}]]  # type: ignore[arg-type]
    assert [body["partitionNames"] for body in server.bodies("entities/query")] == [["p1"]] * 2
    assert server.bodies("entities/search")[0]["data"] == [[0.5, 0], [0.5, 1]]
    assert server.bodies("partitions/load")[0]["partitionNames"] == ["p1", "p2"]
    assert server.bodies("collections/get_load_state")[0]["partitionNames"] == ["p1", "p2"]


@pytest.mark.parametrize("reqs", [{"data": [[0.5]]}, "data", ["data"], None, 5], ids=repr)
def test_searches_that_are_no_list(hook: MilvusHook, reqs: Any) -> None:
    with pytest.raises(InvalidParametersError, match="reqs must be a list of mappings"):
        hook.hybrid_search("docs", reqs)


def test_searches_in_the_spelling_of_pymilvus(hook: MilvusHook, server: ScriptedServer) -> None:
    params = {"metric_type": "L2", "params": {"ef": 64}}
    one = {"data": ([n] for n in (0.5, 1.0)), "anns_field": "v", "param": params, "limit": 3, "expr": "year > 2020"}
    hook.hybrid_search("docs", [one, {"data": [[0.5], [1.0]], "annsField": "w", "roundDecimal": 2}])
    (body,) = server.bodies("entities/hybrid_search")
    assert body["search"] == [
        {"data": [[0.5], [1.0]], "annsField": "v", "params": params, "limit": 3, "filter": "year > 2020"},
        {"data": [[0.5], [1.0]], "annsField": "w", "roundDecimal": 2},
    ]
    assert body["rerank"] == {"strategy": "rrf", "params": {"k": 60}}


def test_searches_and_rankers_may_be_frozen(hook: MilvusHook, server: ScriptedServer) -> None:
    search, ranker = {"data": [[0.5]], "annsField": "v"}, {"strategy": "weighted", "params": {"weights": [1]}}
    hook.hybrid_search("docs", [MappingProxyType(search)], MappingProxyType(ranker))
    (body,) = server.bodies("entities/hybrid_search")
    assert (body["search"], body["rerank"]) == ([search], ranker)


@pytest.mark.parametrize(
    ("more", "ranker", "problem"),
    [
        ({"fliter": "year > 2020"}, None, r"reqs\[0\] has an unknown key 'fliter'; did you mean 'filter'\?"),
        ({"filter": "a > 1", "expr": "b > 1"}, None, r"reqs\[0\] has filter twice, as 'expr' too"),
        ({None: 1, "roundDecimal": 2}, None, "key must be str"),
        ({}, "rrf", 'ranker must be a mapping such as {"strategy": "rrf"}, not a str'),
    ],
)
def test_hybrid_searches_that_milvus_would_read_otherwise(
    hook: MilvusHook, server: ScriptedServer, more: dict[Any, Any], ranker: Any, problem: str
) -> None:
    with pytest.raises(InvalidParametersError, match=problem):
        hook.hybrid_search("docs", [{"data": [[0.5]], **more}], ranker)
    assert not server.requests


def test_one_key_is_read_as_one(hook: MilvusHook, server: ScriptedServer) -> None:
    for ids in ("ab", 5, ["ab"], ("a", "b")):
        hook.get("docs", ids)
    assert [body["id"] for body in server.bodies("entities/get")] == [["ab"], [5], ["ab"], ["a", "b"]]
    for wrong in (b"ab", {"a": 1}, None):
        with pytest.raises(InvalidParametersError, match="ids must be a list of keys"):
            hook.get("docs", wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [True, False, None, 1.5, np.True_, b"a"], ids=repr)
def test_what_is_no_key_is_not_read(hook: MilvusHook, server: ScriptedServer, wrong: Any) -> None:
    for ids in ([1, wrong], np.array([1, wrong], object), *([wrong] if isinstance(wrong, bool) else [])):
        with pytest.raises(InvalidParametersError, match=r"ids\[[01]\] is .*: a key is an integer or a string"):
            hook.get("docs", ids)
    assert not server.requests


NUMBERS: dict[str, list[Callable[[MilvusHook, Any], Any]]] = {
    "limit": [
        lambda hook, number: hook.query("docs", limit=number),
        lambda hook, number: hook.search("docs", [[0.5]], limit=number),
        lambda hook, number: hook.hybrid_search("docs", [{"data": [[0.5]]}], limit=number),
        lambda hook, number: list(hook.query_iterator("docs", limit=number)),
    ],
    "offset": [
        lambda hook, number: hook.query("docs", offset=number),
        lambda hook, number: hook.search("docs", [[0.5]], offset=number),
        lambda hook, number: hook.hybrid_search("docs", [{"data": [[0.5]]}], offset=number),
    ],
    "batch_size": [lambda hook, number: list(hook.query_iterator("docs", batch_size=number))],
    "job_id": [lambda hook, number: hook.get_compaction_state(number)],
    r"reqs\[0\]\['limit'\]": [lambda hook, number: hook.hybrid_search("docs", [{"data": [[0.5]], "limit": number}])],
}


@pytest.mark.parametrize(("name", "use"), [(name, use) for name, uses in NUMBERS.items() for use in uses])
@pytest.mark.parametrize("number", [True, np.False_, 1.5], ids=repr)
def test_numbers_that_are_no_integer(
    hook: MilvusHook, server: ScriptedServer, name: str, use: Any, number: Any
) -> None:
    with pytest.raises(InvalidParametersError, match=f"{name} must be an integer, not an? "):
        use(hook, number)
    assert not server.requests


@pytest.mark.parametrize("batch_rows", [0, -1, True])
def test_deletions_in_no_rows_at_a_time(hook: MilvusHook, server: ScriptedServer, batch_rows: Any) -> None:
    with pytest.raises(InvalidParametersError, match="batch_rows must be an integer from 1 to"):
        hook.delete("docs", ["a"], batch_rows=batch_rows)
    assert not server.requests


@pytest.mark.parametrize(("name", "value"), [("mode", "append"), ("on_bad_row", "fial"), ("on_bad_row", ["skip"])])
def test_misspelt_choices_of_an_ingest(hook: MilvusHook, server: ScriptedServer, name: str, value: Any) -> None:
    with pytest.raises(InvalidParametersError, match=f"{name} must be '.*' or '.*', not "):
        hook.ingest("docs", [], **{name: value})
    assert not server.requests


def is_a_list(parameter: inspect.Parameter) -> bool:
    return "Sequence[" in parameter.annotation or "Iterable[" in parameter.annotation


def lists_of_functions() -> Iterator[Any]:
    """Return each list that a function of ``rest`` takes, with a use of the function."""
    for module in vars(rest)["__all__"]:
        functions = inspect.getmembers(getattr(rest, module), inspect.isfunction)
        for name, function in functions:
            if name.startswith("_") or not function.__module__.endswith(f"rest.{module}"):
                continue
            parameters = inspect.signature(function).parameters.values()
            needed: dict[str, Any] = {
                one.name: [] if is_a_list(one) else {} if "Mapping" in one.annotation else "x"
                for one in parameters
                if one.default is one.empty
            }
            for one in parameters:
                if is_a_list(one):
                    yield pytest.param(function, needed, one.name, id=f"{module}.{name}-{one.name}")


@pytest.mark.parametrize(("function", "needed", "name"), [*lists_of_functions()])
def test_every_function_refuses_what_is_no_list(
    function: Callable[..., Any], needed: dict[str, Any], name: str, subtests: pytest.Subtests
) -> None:
    for value in ("ab", b"ab", {"a": 1}, 5, Frame(["id"])):
        with (
            subtests.test(value=value),
            pytest.raises(InvalidParametersError, match=rf"{name} (must be|is).* list of"),
        ):
            function(**{**needed, name: value})


def test_a_group_of_files_is_a_list() -> None:
    with pytest.raises(InvalidParametersError, match=r"files\[1\] must be a list of paths, .*: pass \['b.json'\]"):
        rest.import_jobs.create("docs", [["a.json"], "b.json"])
