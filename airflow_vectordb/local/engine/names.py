"""What names may be, in Milvus's words; the same for every engine, since Milvus looks at them first."""

from __future__ import annotations

from airflow_vectordb.local.errors import ApiError

_LONGEST = 255
_FIRST = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")
_REST = _FIRST | frozenset("0123456789")


def check_name(what: str, name: str, *, code: int = 1100) -> None:
    """Refuse a name that Milvus would refuse.

    :param what: what it names, ``collection name`` or ``collection alias`` for instance.
    :param code: what is answered.
    :raises ApiError: for one that is empty or long, or has other characters than letters, digits and underscores.
    """
    why = _problem(what, name)
    if why:
        shown = f"Invalid {what}: {name[:_LONGEST]}. " if name else ""
        raise ApiError(code, f"{shown}{why}: invalid parameter")


def check_field_name(name: str) -> None:
    """Refuse the name of a field that Milvus would refuse.

    :raises ApiError: 1701.
    """
    name = name.strip()
    why = _problem("field name", name)
    if why:
        shown = f"Invalid field name: {name[:_LONGEST]}. {why[0].upper()}{why[1:]}." if name else why
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
