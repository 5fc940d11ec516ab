"""``docs/operators/``: a page for each operator and sensor, whose arguments are those of the signature."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from pymilvus.grpc_gen import common_pb2, milvus_pb2

from airflow_vectordb.operators import alias, collection, import_job, index, ingest
from airflow_vectordb.sensors import milvus
from airflow_vectordb.sensors.base import MilvusSensor
from tests.support.docs_pages import ROOT, blocks_of, prose, table

FOLDER = ROOT / "docs" / "operators"
MODULES = (index, collection, alias, ingest, import_job, milvus)
CLASSES = [getattr(module, name) for module in MODULES for name in module.__all__]
SECTIONS = [
    "Arguments",
    "What it does, in this order",
    "What it returns",
    "What can go wrong",
    "Requests and privileges",
    "See also",
]
#: The requests of Milvus's own protocol that its RESTful calls become.
REQUESTS = {
    "aliases/alter": ["AlterAliasRequest"],
    "aliases/create": ["CreateAliasRequest"],
    "aliases/describe": ["DescribeAliasRequest"],
    "aliases/drop": ["DropAliasRequest"],
    "aliases/list": ["ListAliasesRequest"],
    "collections/alter_properties": ["AlterCollectionRequest"],
    "collections/create": ["CreateCollectionRequest"],
    "collections/describe": ["DescribeCollectionRequest"],
    "collections/drop": ["DropCollectionRequest"],
    "collections/fields/add": ["AddCollectionFieldRequest"],
    "collections/fields/alter_properties": ["AlterCollectionFieldRequest"],
    "collections/flush": ["FlushRequest"],
    "collections/get_load_state": ["GetLoadStateRequest", "GetLoadingProgressRequest"],
    "collections/get_stats": ["GetCollectionStatisticsRequest"],
    "collections/load": ["LoadCollectionRequest"],
    "collections/release": ["ReleaseCollectionRequest"],
    "entities/delete": ["DeleteRequest"],
    "entities/insert": ["InsertRequest"],
    "entities/query": ["QueryRequest"],
    "entities/search": ["SearchRequest"],
    "entities/upsert": ["UpsertRequest"],
    "indexes/create": ["CreateIndexRequest"],
    "indexes/describe": ["DescribeIndexRequest"],
    "indexes/drop": ["DropIndexRequest"],
    "indexes/list": ["DescribeIndexRequest"],
    "jobs/import/create": ["ImportAuthPlaceholder"],
    "jobs/import/describe": ["GetImportProgressAuthPlaceholder"],
    "jobs/import/list": ["ListImportsAuthPlaceholder"],
    "partitions/list": ["ShowPartitionsRequest"],
    "partitions/load": ["LoadPartitionsRequest"],
    "partitions/release": ["ReleasePartitionsRequest"],
}


def privileges_of(path: str) -> set[str]:
    """Read from the protocol which privileges a call needs."""
    found = set()
    for name in REQUESTS[path]:
        options = getattr(milvus_pb2, name).DESCRIPTOR.GetOptions()
        privilege = options.Extensions[common_pb2.privilege_ext_obj].object_privilege
        found.add(common_pb2.ObjectPrivilege.Name(privilege).removeprefix("Privilege"))
    return found


def page_of(cls: type) -> Path:
    """Find the page of an operator by its title."""
    (found,) = [page for page in FOLDER.glob("*.md") if page.read_text().startswith(f"# {cls.__name__}\n")]
    return found


@pytest.mark.parametrize("cls", CLASSES)
def test_the_site_shows_its_arguments_and_each_is_documented(cls: Any) -> None:
    name = f"{cls.__module__}.{cls.__name__}"
    assert f"`python -m pydoc {name}`\n\n::: {name}\n" in page_of(cls).read_text()
    given: set[str] = set()
    documented: dict[str, str] = {}
    for base in cls.__mro__:  # the site shows what the bases document, see docs/rst_docstrings.py
        if base.__module__.startswith("airflow_vectordb."):
            given |= {
                name
                for name, one in inspect.signature(base.__init__).parameters.items()
                if name not in ("self", "args") and one.kind is not one.VAR_KEYWORD
            }
            own = re.findall(r"^:param (\w+):(.*(?:\n {4}.*)*)", inspect.cleandoc(base.__doc__ or ""), re.MULTILINE)
            documented = {**dict(own), **documented}
    of_airflow = {"timeout"} if issubclass(cls, MilvusSensor) else set()
    assert documented.keys() == given | of_airflow
    for name, text in documented.items():
        assert ("Templated." in text) == (name in cls.template_fields), name
    # One home for what all of them take: the base, which the docstring names.
    base = cls.__mro__[2] if cls.__mro__[1].__name__.startswith("_") else cls.__mro__[1]
    assert f"the arguments of :class:`~{base.__module__}.{base.__name__}`" in cls.__doc__


@pytest.mark.parametrize("cls", CLASSES)
def test_a_page_has_its_sections_and_a_dag(cls: Any) -> None:
    page = page_of(cls)
    titles = re.findall(r"^## (.*)$", prose(page), re.MULTILINE)
    assert [title for title in titles if title in SECTIONS] == SECTIONS
    assert any(block.is_dag and cls.__name__ in block.code and not block.marked("not run") for block in blocks_of(page))
    assert any(block.marked("returned by") for block in blocks_of(page))
    assert f"({page.name})" in (FOLDER / "README.md").read_text()


@pytest.mark.parametrize("cls", CLASSES)
def test_each_request_has_its_privileges(cls: Any) -> None:
    rows = table(page_of(cls), "Requests and privileges")
    told: list[str] = []
    for requests, when, privileges in rows:
        paths = re.findall(r"`([a-z_/]+)`", requests)
        told += paths
        assert when
        assert set(re.findall(r"`(\w+)`", privileges)) == set().union(*map(privileges_of, paths))
    assert told
    assert len(told) == len(set(told))


def test_airflows_default_for_sensors_is_a_week() -> None:
    from airflow.configuration import conf

    assert conf.getfloat("sensors", "default_timeout") == 7 * 24 * 3600
