"""Rules for names, with Milvus's messages; the same for every engine, since Milvus checks them first."""

from __future__ import annotations

from airflow_vectordb.local.errors import ApiError, invalid, unexpected

_LONGEST = 255
_FIRST = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")
_KEYWORDS = frozenset(
    {"like", "exists", "EXISTS", "and", "or", "not", "in", "true", "True", "TRUE", "false", "False", "FALSE"}
    | {
        spelled
        for word in (
            *("json_contains", "json_contains_all", "json_contains_any"),
            *("array_contains", "array_contains_all", "array_contains_any", "array_length"),
            *("text_match", "phrase_match", "random_sample"),
        )
        for spelled in (word, word.upper())
    }
)
"""What has a meaning in filters, and so names no field."""
_REST = _FIRST | frozenset("0123456789")


def check_name(what: str, name: str) -> None:
    """Refuse a name that Milvus would refuse.

    :param what: what it names, ``collection name`` or ``collection alias`` for instance.
    :raises ApiError: 1100 for one that is empty or long, or has other characters than letters, digits and underscores.
    """
    why = _problem(what, name)
    if why:
        shown = f"Invalid {what}: {name[:_LONGEST]}. " if name else ""
        raise invalid(f"{shown}{why}")


def check_database_name(name: str) -> None:
    """Refuse the name of a database that Milvus would refuse.

    :raises ApiError: 802.
    """
    if why := _problem("database name", name):
        raise ApiError(802, f"{why}: invalid database name[database={name[:_LONGEST]}]")


def check_partition_name(name: str) -> None:
    """Refuse the name of a partition that Milvus would refuse; it may begin with a digit, and have hyphens in it.

    :raises ApiError: 65535.
    """
    name = name.strip()
    plain = name.replace("-", "_")
    if why := _problem("partition name", f"_{plain[1:]}" if plain[:1] in _REST - _FIRST else plain):
        raise unexpected(f"Invalid partition name: {name[:_LONGEST]}. {why[0].upper()}{why[1:]}.")


def check_index_name(name: str) -> None:
    """Refuse the name of an index that Milvus would refuse; without one, an index gets the name of its field.

    :raises ApiError: 65535.
    """
    name = name.strip()
    if name and (why := _problem("index name", name)):
        raise unexpected(f"Invalid index name: {name[:_LONGEST]}. {why[0].upper()}{why[1:]}.")


def check_field_name(name: str) -> None:
    """Refuse the name of a field that Milvus would refuse.

    :raises ApiError: 1701.
    """
    name = name.strip()
    why = _problem("field name", name)
    if name in _KEYWORDS:
        shown = f"Invalid field name: {name}. {name} is keyword in milvus."
    else:
        shown = f"Invalid field name: {name[:_LONGEST]}. {why[0].upper()}{why[1:]}." if name and why else why
    if shown:
        raise ApiError(1701, f"{shown}: field name invalid[field={name[:_LONGEST]}]")


def _problem(what: str, name: str) -> str:
    if not name:
        return f"{what} should not be empty"
    if len(name.encode()) > _LONGEST:
        return f"the length of a {what} must be less than {_LONGEST} characters"
    if name[0] not in _FIRST:
        return f"the first character of a {what} must be an underscore or letter"
    if not _REST.issuperset(name):
        return f"{what} can only contain numbers, letters and underscores"
    return ""
