"""Every code of Milvus's has a class, and every class says whether to try again."""

from __future__ import annotations

import inspect
import pickle

import pytest

from airflow_vectordb.rest import codes, errors

# Milvus's codes, as its servers use them.
TRANSIENT = [1, 2, 4, 8, 12, 103, 106, 202, 1002, 1807, 2200, 2307, 2308, 2309, 2311, 2312, 2313, 10001]
PERMANENT = [
    *(3, 7, 9, 10, 100, 101, 102, 105, 200, 700, 701, 702, 800, 801, 802, 1100, 1101, 1102, 1400, 1401),
    *(1600, 1601, 1602, 1700, 1701, 1800, 1801, 1802, 1804, 1806, 2100, 3000, 21119, 65535),
    *(80000, 80001, 80002, 96001),
]


@pytest.mark.parametrize("code", TRANSIENT)
def test_a_passing_error_is_transient(code: int) -> None:
    assert codes.class_of(code, 200).transient
    assert code in codes.CODES


@pytest.mark.parametrize("code", PERMANENT)
def test_a_lasting_error_is_permanent(code: int) -> None:
    cls = codes.class_of(code, 200)
    assert not cls.transient
    assert code in codes.CODES or cls is errors.PermissionDeniedError


def test_no_code_is_left_out_of_these_lists() -> None:
    assert set(codes.CODES) <= {*TRANSIENT, *PERMANENT}


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_an_unknown_code_goes_by_its_status(status: int) -> None:
    assert codes.class_of(777777, status).transient
    assert codes.class_of(777777, 200) is errors.UnexpectedError


@pytest.mark.parametrize(
    ("code", "cls"),
    [
        (100, errors.CollectionNotFoundError),
        (700, errors.IndexNotFoundError),
        (702, errors.ConflictError),
        (800, errors.DatabaseNotFoundError),
        (1401, errors.PermissionDeniedError),
        (1700, errors.FieldNotFoundError),
        (1800, errors.AuthenticationError),
        (1807, errors.RateLimitError),
        (80001, errors.AuthenticationError),
    ],
)
def test_what_users_tell_apart_has_a_class_of_its_own(code: int, cls: type[errors.MilvusError]) -> None:
    assert codes.class_of(code, 200) is cls


def classes() -> list[type[errors.MilvusError]]:
    found = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, errors.MilvusError)]
    assert len(found) > 25
    return found


def test_the_tree_at_the_top_names_every_class() -> None:
    assert errors.__doc__ is not None
    missing = [cls.__name__ for cls in classes() if cls.__name__ not in errors.__doc__]
    assert missing == []


@pytest.mark.parametrize("cls", classes())
def test_every_error_survives_pickling(cls: type[errors.MilvusError]) -> None:
    # Airflow hands errors from one process to another.
    error = (
        cls(["a", "b"], "request")
        if issubclass(cls, errors.InvalidParametersError)
        else cls("words", code=7, http_status=503, where=errors.Where("indexes/create", "x", "http://h"))
    )
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls
    assert str(again) == str(error)
    assert (again.code, again.http_status, again.transient) == (error.code, error.http_status, error.transient)


def test_a_message_has_what_what_to_do_and_where() -> None:
    error = errors.CollectionNotFoundError(
        "can't find collection[docs]",
        code=100,
        http_status=200,
        where=errors.Where("indexes/create", "collection 'docs' (database 'default')", "http://h:1"),
    )
    assert str(error) == (
        "The collection does not exist. Create it first, or check its name and the database. "
        "indexes/create for collection 'docs' (database 'default') at http://h:1 (code 100): "
        '"can\'t find collection[docs]"'
    )


def test_a_message_tells_the_status_and_the_attempts() -> None:
    error = errors.GatewayError("bad gateway", http_status=502, where=errors.Where("indexes/list", "", "http://h"))
    error.attempts = 5
    assert str(error) == (
        "HTTP 502 from http://h. A retry may help; is Milvus up behind it? "
        "indexes/list at http://h after 5 attempts (HTTP 502): bad gateway"
    )


def test_all_problems_are_told_at_once() -> None:
    error = errors.InvalidParametersError(["this", "that"], "request")
    assert str(error) == "invalid request, 2 problems:\n  1. this\n  2. that"
    assert isinstance(error, ValueError)
    assert str(errors.InvalidParametersError(["this"], "request")) == "invalid request: this"
