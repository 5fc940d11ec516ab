"""Properties of a collection, and settings given with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_vectordb.rest.reading import Parsed, Reader
from airflow_vectordb.rest.spelling import is_nothing, near_miss, normalize_key, show, suggest
from airflow_vectordb.rest.values import SIZE

#: Arguments of the creation, which are not properties and cannot be altered, as spelt in requests and descriptions.
SETTINGS = ("shardsNum", "partitionsNum", "consistencyLevel")
_LEVELS = ("Strong", "Session", "Bounded", "Eventually", "Customized")
#: Properties with other names in requests for a creation.
_IN_REQUESTS = {
    "collection.ttl.seconds": "ttlSeconds",
    "partitionkey.isolation": "partitionKeyIsolation",
    "ttl_field": "ttlField",
}
#: Settings of the quick setup, of which otherwise the schema decides.
_QUICK = ("enableDynamicField", "max_length")
#: All that the request for a creation takes; it ignores other properties.
AT_CREATION = {*SETTINGS, *_IN_REQUESTS, *_QUICK, "mmap.enabled"}
#: Those of Milvus that users set. It also stores all others, without effect.
_KNOWN = (
    *AT_CREATION,
    *("lazyload.enabled", "dynamicfield.enabled", "allow_insert_auto_id", "timezone"),
    *("collection.autocompaction.enabled", "collection.replica.number", "collection.resource_groups"),
    *(f"collection.{written}Rate.max.mb" for written in ("insert", "upsert", "delete", "bulkLoad")),
    *("collection.searchRate.max.vps", "collection.queryRate.max.qps"),
    "collection.diskProtection.diskQuota.mb",
)
_NAMES = {
    "ttl": "collection.ttl.seconds",
    **{normalize_key(name): name for name in (*SETTINGS, *_QUICK)},
    "numshards": "shardsNum",
    "numpartitions": "partitionsNum",
    **{normalize_key(short): name for name, short in _IN_REQUESTS.items()},
}


def read_properties(
    raw: Any, *, quick: bool = False, allow_unknown: bool = False
) -> tuple[dict[str, Any], list[str], list[str]]:
    """
    Return properties and settings by the names that descriptions have, what is wrong with them, and warnings.

    :param quick: whether they are for the server's quick setup
    :param allow_unknown: whether to accept what looks like a misspelt property
    """
    if isinstance(raw, str) and (not raw.strip() or is_nothing(raw)):
        return {}, ["properties is empty: the template or file rendered to nothing"], []
    parsed = Parsed()
    given = Reader(parsed).mapping(raw, "properties")
    properties = {_NAMES.get(normalize_key(key), key): value for key, value in given.items()}
    reader = Reader(parsed, "properties: ", allow_unknown)
    for key, value in properties.items():
        if value in (None, ""):
            reader.refuse(f"{key} has no value")
        elif key in _QUICK and not quick:
            reader.refuse(f"{key} belongs in the schema")
        elif key == "consistencyLevel" and isinstance(value, str):
            properties[key] = next((level for level in _LEVELS if level.lower() == value.lower()), value)
            if properties[key] not in _LEVELS:
                reader.refuse(f"no consistencyLevel {value!r}{suggest(value, _LEVELS)}")
        elif key in ("shardsNum", "partitionsNum"):
            properties[key] = reader.value(value, key, SIZE)
        elif key not in _KNOWN:
            reader.unknown(f"unknown property {show(key)}", near_miss(key, _KNOWN))
    return properties, parsed.problems, reader.warnings


def creation_params(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return properties and settings as ``params`` of ``collections/create`` names them."""
    return {_IN_REQUESTS.get(key, key): value for key, value in properties.items()}
