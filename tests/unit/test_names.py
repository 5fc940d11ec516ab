"""Names of collections, indexes and partitions: what Jinja makes of other values is none of them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_vectordb._compat import AirflowFailException
from airflow_vectordb.operators.alias import SwitchAliasOperator
from airflow_vectordb.operators.collection import (
    CreateCollectionOperator,
    DropCollectionOperator,
    LoadCollectionOperator,
    ReleaseCollectionOperator,
    VerifyCollectionOperator,
)
from airflow_vectordb.operators.index import CreateIndexOperator, DropIndexOperator
from airflow_vectordb.rest.errors import InvalidParametersError
from airflow_vectordb.sensors.milvus import CollectionLoadSensor, IndexSensor
from airflow_vectordb.validation import check_list_of_names, check_names, parse_names
from tests.support.harness import Operating
from tests.support.scripted import Serve, ok

#: What is no name -> a value that Jinja may have been given, where it was.
NO_NAMES: dict[str, tuple[Any, str]] = {
    "a list": ("['v', 's']", "list or mapping rendered to text.*render_template_as_native_obj=True"),
    "a list in JSON": ('["v"]', "list or mapping rendered to text"),
    "an empty list": ("[]", "list or mapping rendered to text"),
    "a mapping": ("{'index_name': 'v'}", "list or mapping rendered to text"),
    "an empty mapping": ("{}", "list or mapping rendered to text"),
    "a tuple": ("('v',)", "list or mapping rendered to text"),
    "a missing XCom": ("None", "missing value rendered to text.*render_template_as_native_obj=True"),
    "a null": ("null", "missing value"),
    "no number": ("nan", "missing value"),
    "a missing timestamp": ("NaT", "missing value"),
    "a boolean": ("True", "missing value"),
    "padded": (" None ", "missing value"),
    "nothing": ("", "did its template render to nothing"),
    "blanks": (" \n", "did its template render to nothing"),
}
#: Each argument that names something: an operator or sensor, given a value for it.
ARGUMENTS: dict[str, Callable[[str], Any]] = {
    "CreateIndexOperator.collection_name": lambda v: CreateIndexOperator(
        task_id="t", collection_name=v, index_params=[{"fieldName": "vector"}]
    ),
    "DropIndexOperator.collection_name": lambda v: DropIndexOperator(task_id="t", collection_name=v, index_name="i"),
    "DropIndexOperator.index_name": lambda v: DropIndexOperator(task_id="t", collection_name="docs", index_name=v),
    "CreateCollectionOperator.collection_name": lambda v: CreateCollectionOperator(
        task_id="t", collection_name=v, dimension=4
    ),
    "DropCollectionOperator.collection_name": lambda v: DropCollectionOperator(task_id="t", collection_name=v),
    "VerifyCollectionOperator.collection_name": lambda v: VerifyCollectionOperator(task_id="t", collection_name=v),
    "IndexSensor.collection_name": lambda v: IndexSensor(task_id="t", collection_name=v),
    "IndexSensor.index_name": lambda v: IndexSensor(task_id="t", collection_name="docs", index_name=v),
    "IndexSensor.index_name[1]": lambda v: IndexSensor(task_id="t", collection_name="docs", index_name=["a", v]),
    "CollectionLoadSensor.collection_name": lambda v: CollectionLoadSensor(task_id="t", collection_name=v),
    "CollectionLoadSensor.partition_names": lambda v: CollectionLoadSensor(
        task_id="t", collection_name="docs", partition_names=v
    ),
    "SwitchAliasOperator.alias": lambda v: SwitchAliasOperator(task_id="t", alias=v, collection_name="docs_1"),
    "SwitchAliasOperator.collection_name": lambda v: SwitchAliasOperator(task_id="t", alias="a", collection_name=v),
    "LoadCollectionOperator.collection_name": lambda v: LoadCollectionOperator(task_id="t", collection_name=v),
    "LoadCollectionOperator.partition_names": lambda v: LoadCollectionOperator(
        task_id="t", collection_name="docs", partition_names=v
    ),
    "ReleaseCollectionOperator.partition_names[0]": lambda v: ReleaseCollectionOperator(
        task_id="t", collection_name="docs", partition_names=[v]
    ),
}


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_what_jinja_makes_of_other_values_is_refused_unsent(
    serve: Serve, operating: Operating, argument: str, subtests: pytest.Subtests
) -> None:
    server = serve([])
    operating.connect(server)
    for case, (text, words) in NO_NAMES.items():
        task = ARGUMENTS[argument]("{{ value }}")
        task.render_template_fields({"value": text})
        with subtests.test(case):
            with pytest.raises(AirflowFailException, match=f"(?s){words}") as caught:
                operating.execute(task)
            assert argument.partition(".")[2] in str(caught.value)
            assert server.connections == 0


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (123, "collection_name is 123 (an int): names are strings"),
        (1.5, "collection_name is 1.5 (a float): names are strings"),
        (True, "collection_name is True (a bool): names are strings"),
        (b"docs", "collection_name is b'docs' (a bytes): names are strings"),
        (["docs"], "collection_name is ['docs'] (a list): names are strings"),
        pytest.param(10**5000, "collection_name is (too large to be shown) (an int): names are strings", id="long"),
        ("docs_{{ ds }}", "collection_name is 'docs_{{ ds }}': its template was not rendered"),
    ],
)
def test_what_is_no_text_is_no_name(value: Any, words: str) -> None:
    assert check_names(collection_name=value, rendered=True) == [words]


@pytest.mark.parametrize("name", ["docs", "_docs", "docs_20240101", "none", "Nonesuch", "my-key", "clips[vec]", "Ünde"])
def test_names_pass(name: str) -> None:
    assert check_names(index_name=name, rendered=True) == []
    assert check_names(index_name=name, rendered=False) == []


@pytest.mark.parametrize(
    ("given", "names"),
    [(None, ()), ("a", ("a",)), (["a", "b"], ("a", "b")), (("a",), ("a",)), (iter("ab"), ("a", "b"))],
)
def test_one_name_or_several(given: Any, names: tuple[str, ...]) -> None:
    assert parse_names("index_name", given) == names


@pytest.mark.parametrize("given", [[], (), 5, {"a": 1}, ["a", None], b"a"])
def test_what_is_neither_a_name_nor_several(given: Any) -> None:
    with pytest.raises(InvalidParametersError, match="index_name"):
        parse_names("index_name", given)


@pytest.mark.parametrize("literal", ["", " ", None, 123, "None", "['a']", [], ["a", ""], [None]])
def test_what_can_never_be_a_name_is_refused_when_the_dag_is_parsed(literal: Any) -> None:
    assert check_names(collection_name=literal, rendered=False)
    with pytest.raises(ValueError, match=r"task t: .*index_name"):
        DropIndexOperator(task_id="t", collection_name="docs", index_name=literal)


@pytest.mark.parametrize("later", ["{{ x }}", "{% if x %}a{% endif %}", SimpleNamespace(resolve=None)])
def test_what_is_known_later_passes_until_then(later: Any) -> None:
    assert check_names(index_name=later, rendered=False) == []
    assert check_list_of_names("index_name", later) == check_list_of_names("index_name", ["a", later]) == []
    assert check_names(index_name=["a", later], rendered=False)  # one name is no list


#: Names that Milvus never accepts -> what is said of them.
ILLEGAL = {
    "my-coll": "'my-coll': use letters, digits and underscores, .* and at most 255 characters, as in 'my_coll'",
    "2026-docs": "'2026-docs': .*, no leading digit, .*, as in '_2026_docs'",
    "dócs": "'dócs': use letters, .*, as in 'd_cs'",
    "d" * 256: "…: it has 256 characters; a name has 255 at most",
    " docs": "' docs': use letters, .*, as in 'docs'",
    "docs\n": r"'docs\\n': use letters, .*, as in 'docs'",
}
NEW_NAMES: dict[str, Callable[[str], Any]] = {
    "collection_name": ARGUMENTS["CreateCollectionOperator.collection_name"],
    "alias": lambda v: SwitchAliasOperator(task_id="t", alias=v, collection_name="docs_1"),
}


@pytest.mark.parametrize("name", ILLEGAL)
@pytest.mark.parametrize("argument", NEW_NAMES)
def test_what_milvus_never_accepts_is_refused_where_it_would_be_created(
    argument: str, name: str, serve: Serve, operating: Operating
) -> None:
    with pytest.raises(ValueError, match=f"{argument} .*{ILLEGAL[name]}"):
        NEW_NAMES[argument](name)
    server = serve(ok())
    operating.connect(server)
    task = NEW_NAMES[argument]("{{ params.name }}")
    setattr(task, argument, name)  # as rendered
    with pytest.raises(AirflowFailException, match=f"{argument} .*{ILLEGAL[name]}"):
        operating.execute(task)
    assert server.connections == 0


@pytest.mark.parametrize("name", ["docs", "_docs2", "D" * 255])
@pytest.mark.parametrize("argument", NEW_NAMES)
def test_what_milvus_accepts_is_not_refused(argument: str, name: str) -> None:
    assert getattr(NEW_NAMES[argument](name), argument) == name


def test_an_operator_that_only_reads_leaves_that_to_the_server() -> None:
    assert VerifyCollectionOperator(task_id="t", collection_name="my-coll").collection_name == "my-coll"
