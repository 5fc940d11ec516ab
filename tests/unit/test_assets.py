"""Collections as assets: one spelling for each, and OpenLineage's name for it."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import Asset, AssetAlias

from airflow_vectordb.assets import asset_uri, convert_asset_to_openlineage, milvus_asset
from airflow_vectordb.get_provider_info import get_provider_info
from airflow_vectordb.operators.collection import LoadCollectionOperator

LOCAL = "milvus://localhost:19530/default/docs"


@pytest.mark.parametrize(
    ("arguments", "uri"),
    [
        ({}, LOCAL),
        ({"host": "LOCALHOST"}, LOCAL),
        ({"host": "localhost:19530", "database": "default"}, LOCAL),
        ({"host": "http://localhost:19530"}, LOCAL),
        ({"host": "localhost", "port": 9091}, "milvus://localhost:9091/default/docs"),
        ({"host": "::1", "port": 1}, None),
        ({"host": "http://[::1]:1"}, "milvus://[::1]:1/default/docs"),
        ({"host": "https://milvus.example.com"}, "milvus://milvus.example.com:443/default/docs"),
        ({"host": "http://milvus.example.com/prefix"}, "milvus://milvus.example.com:80/default/docs"),
        ({"host": "in01.gcp.zillizcloud.com"}, "milvus://in01.gcp.zillizcloud.com:443/default/docs"),
        ({"host": "in01.ali.zillizcloud.com.cn"}, "milvus://in01.ali.zillizcloud.com.cn:443/default/docs"),
        ({"host": "https://in01.zillizcloud.com:19537"}, "milvus://in01.zillizcloud.com:19537/default/docs"),
        ({"database": "sales"}, "milvus://localhost:19530/sales/docs"),
        ({"database": "a/b"}, "milvus://localhost:19530/a%2Fb/docs"),
        ({"host": ""}, None),
        ({"host": "  "}, None),
    ],
)
def test_the_uri_of_a_collection(arguments: dict[str, Any], uri: str | None) -> None:
    if uri is None:
        with pytest.raises(ValueError, match=r"host|port"):
            milvus_asset("docs", **arguments)
    else:
        assert milvus_asset("docs", **arguments).uri == uri


def test_a_collection_has_a_name() -> None:
    with pytest.raises(ValueError, match="collection"):
        milvus_asset("")


@pytest.mark.parametrize(
    "spelling",
    [
        LOCAL,
        "milvus://localhost/default/docs",
        "milvus://LocalHost:19530/default/docs/",
        "milvus://localhost:19530//default//docs",
        "MILVUS://localhost/default/docs#part",
        "milvus://root:secret-word@localhost/default/docs",
    ],
)
@pytest.mark.filterwarnings("ignore:An Asset URI should not contain a password")
def test_airflow_brings_all_spellings_into_one(spelling: str) -> None:
    assert Asset(spelling).uri == LOCAL
    assert Asset(spelling) == milvus_asset("docs", name=spelling)


@pytest.mark.parametrize(
    "uri",
    [
        "milvus://localhost:19530",
        "milvus://localhost:19530/docs",
        "milvus://localhost:19530/default/docs/vector",
        "milvus:///default/docs",
        "milvus://localhost:port/default/docs",
        "milvus://localhost/default/docs?x=1",
    ],
)
def test_airflow_refuses_what_names_no_collection(uri: str) -> None:
    with pytest.raises(ValueError, match=r"is not milvus://host:port/database/collection|no query|[Pp]ort"):
        Asset(uri)


@pytest.mark.parametrize(
    "host", ["ada:s3cret@milvus", "http://ada:s3cret@milvus:1", "http://ada:s3/cret@m", "key-s3cret@m"]
)
def test_no_password_gets_into_an_asset(host: str) -> None:
    with pytest.raises(ValueError, match="must not contain user and password") as caught:
        milvus_asset("docs", host=host)
    assert "s3" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:An Asset URI should not contain a password")
def test_outlets_whose_names_have_a_password_are_refused() -> None:
    with pytest.raises(ValueError, match="must not contain user and password"):
        Asset("milvus://s3cret@milvus/default/docs")  # one with a password Airflow takes, and makes it the name
    for uri in ("milvus://ada:s3/cret@milvus/docs", "milvus://ada%3As3%40milvus/default/docs"):
        with pytest.raises(ValueError, match=r"^a Milvus asset must not contain user and password"):
            Asset(uri)
    for given in (
        {"outlets": [Asset("milvus://a:s3cret@milvus/default/docs")]},
        {"inlets": [Asset(name="milvus://a:s3/@h/d/c", uri="milvus://h/d/c")]},
        {"inlets": [Asset(name=" milvus://a:s3@h/d/c", uri="milvus://h/d/c")]},
        {"inlets": [Asset.ref(uri="milvus://a:s3@h/d/c")]},
        {"outlets": AssetAlias("MILVUS://a%3As3%40h/d/c")},
    ):
        with pytest.raises(ValueError, match="task t: a Milvus asset must not contain user and password") as caught:
            LoadCollectionOperator(task_id="t", collection_name="docs", **given)
        assert "s3" not in str(caught.value)
        with pytest.raises(ValueError, match="task t: a Milvus asset must not contain user and password"):
            LoadCollectionOperator.partial(task_id="t", **given)
    LoadCollectionOperator(task_id="t", collection_name="docs", outlets=[milvus_asset("docs"), Asset("a@b")])


def test_name_group_and_extra() -> None:
    asset = milvus_asset("docs", name="documents", group="search", extra={"owner": "ada"})
    assert (asset.name, asset.group, asset.extra) == ("documents", "search", {"owner": "ada"})
    plain = milvus_asset("docs")
    assert (plain.name, plain.group, plain.extra) == (LOCAL, "asset", {})


def test_the_dataset_of_openlineage() -> None:
    dataset = convert_asset_to_openlineage(milvus_asset("docs", host="milvus.example.com", database="a/b"), None)
    assert (dataset.namespace, dataset.name) == ("milvus://milvus.example.com:19530", "a/b.docs")


def test_airflow_finds_them_by_the_scheme() -> None:
    try:
        from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime as Manager
    except ImportError:  # Airflow 3.1
        from airflow.providers_manager import ProvidersManager as Manager

    manager = Manager()
    assert manager.asset_factories["milvus"](collection="docs", host="localhost", extra={"a": 1}).extra == {"a": 1}
    assert manager.asset_to_openlineage_converters["milvus"] is convert_asset_to_openlineage or (
        manager.asset_to_openlineage_converters["milvus"](milvus_asset("docs"), None).name == "default.docs"
    )
    (entry,) = get_provider_info()["asset-uris"]
    assert entry["schemes"] == ["milvus"]


def test_the_uri_of_an_endpoint_is_that_of_its_asset() -> None:
    assert asset_uri("https://milvus.example.com:8443/prefix", None, None, "docs") == (
        "milvus://milvus.example.com:8443/default/docs"
    )
