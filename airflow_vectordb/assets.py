"""Collections as Airflow assets: ``milvus://host:port/database/collection``.

A DAG that is scheduled on such an asset starts when the task that has it as an outlet has succeeded; for
``CreateIndexOperator`` that is when the index is built::

    docs = milvus_asset("docs", host="milvus.example.com")

    CreateIndexOperator(task_id="index", collection_name="docs", index_params=…, outlets=[docs])

    with DAG("ingest", schedule=[docs]): …
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

from airflow import sdk

from airflow_vectordb.hooks.connection_fields import CLOUD_CONSOLES
from airflow_vectordb.rest import DEFAULT_DATABASE, DEFAULT_PORT

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset
    from airflow.sdk import Asset

SCHEME = "milvus"
#: Names and URIs of assets are stored, and visible to everyone.
NO_SECRETS = "a Milvus asset must not contain user and password: remove everything before the @ of its host"
#: Hosts whose default port is that of https.
_CLOUD = tuple(CLOUD_CONSOLES)


def milvus_asset(
    collection: str,
    *,
    host: str = "localhost",
    port: int | None = None,
    database: str | None = None,
    name: str | None = None,
    group: str | None = None,
    extra: dict[str, Any] | None = None,
) -> Asset:
    """
    Return the asset of a collection.

    :param collection: name of the collection
    :param host: host name of the server, or its URL, as in the Airflow connection
    :param port: None: that of the URL, else 19530 (Zilliz Cloud: 443)
    :param database: None: ``default``
    :param name: name of the asset; None: its URI
    :param group: group of the asset; None: Airflow's default
    :param extra: JSON-ready; kept with the asset
    :raises ValueError: if host or collection is empty, or host is not a server's name
    """
    given: dict[str, Any] = {"name": name, "group": group, "extra": extra}
    given = {key: value for key, value in given.items() if value is not None}
    return sdk.Asset(uri=asset_uri(host, port, database, collection), **given)


def asset_uri(host: str, port: int | None, database: str | None, collection: str) -> str:
    """Return the URI of a collection's asset; arguments and errors are those of :func:`milvus_asset`."""
    given = host.strip()
    if "@" in given:
        raise ValueError(NO_SECRETS)
    parts = urlsplit(given if "://" in given else f"//{given}")
    if not parts.hostname or not collection:
        raise ValueError(f"a Milvus asset needs a host and a collection, not {host!r} and {collection!r}")
    # In the hook's order: the URL's port, the scheme's, Milvus's.
    port = port or parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    names = "/".join(quote(part, safe="") for part in (database or DEFAULT_DATABASE, collection))
    authority = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return sanitize_uri(urlsplit(f"{SCHEME}://{authority}:{port or ''}/{names}")).geturl()


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """
    Normalize a collection's URI; Airflow calls this for each asset of this scheme.

    :param uri: ``milvus://host:port/database/collection``; without a port, 19530 (Zilliz Cloud: 443)
    :raises ValueError: if a part is missing
    """
    if "@" in unquote(uri.netloc) or "@" in uri.geturl():
        raise ValueError(NO_SECRETS)
    path = [part for part in uri.path.split("/") if part]
    try:
        port = uri.port
    except ValueError as error:
        raise ValueError(f"{uri.geturl()!r}: {error}") from error
    if not uri.hostname or len(path) != 2:
        raise ValueError(f"{uri.geturl()!r} is not milvus://host:port/database/collection")
    if uri.query:
        raise ValueError(f"{uri.geturl()!r}: the asset of a collection has no query")
    port = port or (443 if uri.hostname.endswith(_CLOUD) else DEFAULT_PORT)
    host = f"[{uri.hostname}]" if ":" in uri.hostname else uri.hostname
    return uri._replace(netloc=f"{host}:{port}", path="/" + "/".join(path), fragment="")


def check_assets(assets: Iterable[Any]) -> list[str]:
    """Check outlets and inlets when a DAG is parsed: Airflow would show a URI's password in the asset's name."""
    # A reference to an asset has a name or a URI.
    names = (str(getattr(asset, what, "")).strip().lower() for asset in assets for what in ("name", "uri"))
    has_secret = any(name.startswith(f"{SCHEME}://") and "@" in unquote(name) for name in names)
    return [NO_SECRETS] if has_secret else []


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> Dataset:
    """Return OpenLineage's dataset of an asset: namespace ``milvus://host:port``, name ``database.collection``."""
    from airflow.providers.common.compat.openlineage.facet import Dataset

    del lineage_context
    parts = sanitize_uri(urlsplit(asset.uri))
    database, collection = (unquote(part) for part in parts.path.strip("/").split("/"))
    return Dataset(namespace=f"{SCHEME}://{parts.netloc}", name=f"{database}.{collection}")


__all__ = ["asset_uri", "check_assets", "convert_asset_to_openlineage", "milvus_asset", "sanitize_uri"]
