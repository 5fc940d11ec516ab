"""Properties of a collection, and the settings that are given among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_vectordb.rest.notation import UnreadableTextError, read_text
from airflow_vectordb.rest.spelling import describe_value, is_nothing, normalize_key, suggest

#: No properties: arguments of the creation, which cannot be altered. As requests and descriptions spell them.
SETTINGS = ("shardsNum", "partitionsNum", "consistencyLevel")
_LEVELS = ("Strong", "Session", "Bounded", "Eventually", "Customized")
#: Properties that requests of creation call otherwise.
_IN_REQUESTS = {"collection.ttl.seconds": "ttlSeconds", "partitionkey.isolation": "partitionKeyIsolation"}
_NAMES = {
    **{normalize_key(name): name for name in SETTINGS},
    "numshards": "shardsNum",
    "numpartitions": "partitionsNum",
    **{normalize_key(short): name for name, short in _IN_REQUESTS.items()},
}


def read_properties(raw: Any) -> tuple[dict[str, Any], list[str]]:
    """
    Read properties and settings, and check the settings.

    :param raw: a mapping, or a text with one in JSON or YAML; None: there are none
    :return: them by the names that descriptions have; and everything that is wrong, one sentence each
    """
    if isinstance(raw, str):
        try:
            raw = read_text(raw, "properties") if raw.strip() else {}
        except UnreadableTextError as error:
            return {}, [str(error)]
    if raw is None or (isinstance(raw, str) and is_nothing(raw)):
        return {}, []
    if not isinstance(raw, Mapping):
        return {}, [f"properties must be a mapping, not {describe_value(raw)}"]
    properties = {_NAMES.get(normalize_key(str(key)), str(key)): value for key, value in raw.items()}
    problems = [f"properties: {key} has no value" for key, value in properties.items() if value in (None, "")]
    level = properties.get("consistencyLevel")
    if isinstance(level, str) and level:
        alike = {name.lower(): name for name in _LEVELS}
        if level.lower() not in alike:
            problems.append(f"properties: no consistencyLevel {level!r}{suggest(level, _LEVELS)}")
        properties["consistencyLevel"] = alike.get(level.lower(), level)
    for key in ("shardsNum", "partitionsNum"):
        value = properties.get(key)
        if isinstance(value, str) and value.isdecimal():
            value = properties[key] = int(value)
        if value not in (None, "") and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            problems.append(f"properties: {key} must be an integer of at least 1, not {describe_value(value)}")
    return properties, problems


def creation_params(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return properties and settings as ``params`` of ``collections/create`` names them."""
    return {_IN_REQUESTS.get(key, key): value for key, value in properties.items()}
