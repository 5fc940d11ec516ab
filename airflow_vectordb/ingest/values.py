"""Checks values against their fields, and converts them for the request."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from airflow_vectordb.rest.http.json import is_finite
from airflow_vectordb.rest.http.response import misshapen
from airflow_vectordb.rest.spelling import article, show

#: Types of float vectors, which all accept float32.
FLOAT_VECTORS = ("FloatVector", "Float16Vector", "BFloat16Vector")
#: The largest 32-bit float.
_FLOAT32_MAX = 3.4028234663852886e38
_BYTES_EACH = {"Float16Vector": 2, "BFloat16Vector": 2}
_INT_BITS = {"Int8": 8, "Int16": 16, "Int32": 32, "Int64": 64}
_TRUE, _FALSE = ("true", "t", "1"), ("false", "f", "0")
_NOT_INT8 = "all elements must be integers from -128 to 127"
_NO_PARAMS: Mapping[str, Any] = {}
#: The maximum number of reported problems with a list of values.
_LISTED = 10

Convert = Callable[[Any], Any]


def converter(kind: str, params: Mapping[str, Any] = _NO_PARAMS, element: str = "") -> Convert:
    """
    Return a function that converts a value for the request; it raises ValueError with the problem.

    :param kind: type of the field
    :param params: of the field; those that are not there are not checked
    :param element: type of an array's elements
    """
    dim = int(params.get("dim") or 0)
    if kind == "Array":
        return _array(converter(element, params), int(params.get("max_capacity") or 0))
    if kind in (*FLOAT_VECTORS, "Int8Vector"):
        return _dense(dim, integers=kind == "Int8Vector", bytes_each=_BYTES_EACH.get(kind))
    if kind == "BinaryVector":
        return _binary(dim)
    if kind == "SparseFloatVector":
        return _sparse
    if kind in _INT_BITS:
        return _integer(kind)
    if kind in ("Float", "Double"):
        return _real(_FLOAT32_MAX if kind == "Float" else math.inf)
    if kind == "Bool":
        return _bool
    if kind in ("VarChar", "String"):
        return _text(int(params.get("max_length") or 0))
    return _json  # and types of newer servers


def convert_all(argument: str, values: Iterable[Any], field: str, kind: str) -> tuple[list[Any], list[str]]:
    """Convert a list of values of a field of a type; return it, and what is wrong."""
    convert = converter(kind)
    found: list[Any] = []
    problems: list[str] = []
    for at, value in enumerate(values):
        try:
            found.append(convert(value))
        except (ValueError, TypeError, OverflowError) as error:
            problems.append(f"{argument}[{at}]: {error}; {field} is of type {kind}")
    if more := problems[_LISTED:]:
        problems[_LISTED:] = [f"… and {len(more):,} more"]
    return found, problems


def text_converter(kind: str, convert: Convert) -> Convert:
    """Return a field's converter that also takes text, as CSV files have it."""
    read: Convert = _TEXT_READERS.get(kind, _json_from_text)
    # Values from a second file, such as vectors of a .npy, are not text.
    return lambda value: convert(read(value) if isinstance(value, str) else value)


def keys_of(rows: Iterable[Mapping[str, Any]], name: str, kind: str) -> list[Any]:
    """Return the values that rows of an answer have in a key's field; behind some proxies, integers are text."""
    convert = text_converter(kind, converter(kind)) if kind in _INT_BITS else converter(kind)
    try:
        return [convert(row[name]) for row in rows]
    except (KeyError, ValueError) as error:
        raise misshapen(f"{name}: {error}") from None


def _bool_from_text(text: str) -> bool:
    if text.lower() in _TRUE + _FALSE:
        return text.lower() in _TRUE
    raise ValueError(f"{text[:40]!r} is neither true nor false")


def _json_from_text(text: str) -> Any:
    import orjson

    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise ValueError(f"{text[:40]!r} is not JSON") from None


def _number(kind: type[int | float], text: str) -> int | float:
    try:  # in half the time of suppress()
        if "_" not in text and (text.isascii() or text.strip().isascii()):  # Python reads 2024_01 as 202401
            return kind(text)
    except ValueError:
        pass
    raise ValueError(f"{text[:40]!r} is not {'an integer' if kind is int else 'a number'}")


_TEXT_READERS: Mapping[str, Convert] = {
    **dict.fromkeys(_INT_BITS, partial(_number, int)),
    **dict.fromkeys(("Float", "Double"), partial(_number, float)),
    **dict.fromkeys(("VarChar", "String", "Geometry", "Timestamptz"), str),
    "Bool": _bool_from_text,
}


def _json(value: Any) -> Any:
    if not is_finite(value):
        raise ValueError("NaN and infinity are not JSON; None stands for no value")
    return value


def _integer(kind: str) -> Convert:
    bits = _INT_BITS[kind]
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1

    def convert(value: Any) -> int:
        if type(value) is not int:
            is_whole = hasattr(value, "__index__") or (hasattr(value, "is_integer") and value.is_integer())
            if _is_bool(value) or not is_whole:
                raise ValueError(_mismatch(value, article(kind)))
            if isinstance(value, float) and abs(value) >= 2**53:
                raise ValueError(f"{value:.0f} is a float, which may stand for several integers: keep it an integer")
            value = int(value)
        if not low <= value <= high:
            raise ValueError(f"{value} is out of the range of {kind}")
        return value  # type: ignore[no-any-return]

    return convert


def _real(most: float) -> Convert:
    def convert(value: Any) -> float:
        if _is_bool(value) or not hasattr(value, "__float__"):
            raise ValueError(_mismatch(value, "a number"))
        number = float(value)
        if not math.isfinite(number):
            raise ValueError(f"{number} is not a finite number")
        if abs(number) > most:
            raise ValueError(f"{number} is out of the range of a 32-bit float")
        return number

    return convert


def _bool(value: Any) -> bool:
    if _is_bool(value):
        return bool(value)
    raise ValueError(f"{_shown(value)} is neither true nor false")


def _is_bool(value: Any) -> bool:
    return type(value).__name__ in ("bool", "bool_")  # Python's or NumPy's, which is not imported here


def _text(most: int) -> Convert:
    def convert(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(_mismatch(value, "a string"))
        if most and len(value) * 4 > most and (length := len(value.encode())) > most:
            raise ValueError(f"{length} bytes, but max_length is {most}")
        return value

    return convert


def _array(convert_element: Convert, most: int) -> Convert:
    def convert(value: Any) -> list[Any]:
        _check_list(value, "a list")
        if most and len(value) > most:
            raise ValueError(f"{len(value)} elements, but max_capacity is {most}")
        return [convert_element(element) for element in value]

    return convert


def _dense(dim: int, *, integers: bool, bytes_each: int | None) -> Convert:
    def convert(value: Any) -> Any:
        if isinstance(value, bytes) and bytes_each:
            _check_length(len(value), dim * bytes_each, "bytes")
            return base64.b64encode(value).decode()
        _check_list(value, "a list of numbers")
        _check_length(len(value), dim, "numbers")
        if hasattr(value, "dtype"):
            return _checked_array(value, integers=integers)
        try:
            is_finite = math.isfinite(sum(value))
        except TypeError:
            is_finite = False
        if not is_finite:
            _check_numbers(value)
        if integers and any(not isinstance(number, int) or not -128 <= number <= 127 for number in value):
            raise ValueError(_NOT_INT8)
        return value

    return convert


def _checked_array(value: Any, *, integers: bool) -> Any:
    import numpy

    value = numpy.asarray(value)  # of a tensor or a series
    if value.ndim != 1 or value.dtype.kind not in "fiu":
        raise ValueError(f"an array of shape {value.shape} and type {value.dtype} is not a vector")
    if integers and (value.dtype.kind == "f" or not -128 <= value.min() <= value.max() <= 127):
        raise ValueError(_NOT_INT8)
    if value.dtype.kind == "f":
        # The squared length is finite only if all numbers are; faster than a sum, and without warnings.
        if not math.isfinite(value.dot(value)):
            _check_numbers(value.tolist())
        if value.dtype.itemsize > 4:
            if value.size and max(value.max(), -value.min()) > _FLOAT32_MAX:
                raise ValueError("has a number out of the range of a 32-bit float")
            # Milvus stores 32 bits; 64 would double the length of the text.
            value = value.astype("float32")
    if not value.flags.c_contiguous or value.dtype.byteorder == ">":
        value = value.astype(value.dtype.newbyteorder("="), order="C")
    return value


def _check_numbers(values: Sequence[Any]) -> None:
    """Look for what is not a finite number."""
    for at, number in enumerate(values):
        if isinstance(number, bool) or not hasattr(number, "__float__"):
            raise ValueError(f"[{at}] is {_shown(number)}, not a number")
        if not math.isfinite(number):
            raise ValueError(f"[{at}] is {number}, not a finite number")


def _binary(dim: int) -> Convert:
    def convert(value: Any) -> list[int]:
        if isinstance(value, str | Mapping) or not hasattr(value, "__len__"):
            raise ValueError(_mismatch(value, "a binary vector"))
        numbers = [int(number) for number in value]
        _check_length(len(numbers), dim // 8, "bytes")
        if numbers != list(value) or any(not 0 <= number <= 255 for number in numbers):
            raise ValueError("all elements must be bytes (0 to 255) of eight dimensions each")
        return numbers

    return convert


def _check_list(value: Any, wanted: str) -> None:
    if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__len__"):
        raise ValueError(_mismatch(value, wanted))


def _check_length(length: int, wanted: int, unit: str) -> None:
    if wanted and length != wanted:
        raise ValueError(f"{length} {unit} instead of {wanted}")


def _sparse(value: Any) -> dict[str, float]:
    if isinstance(value, Mapping) and set(value) == {"indices", "values"}:
        if len(value["indices"]) != len(value["values"]):
            raise ValueError("its indices and values differ in number")
        value = list(zip(value["indices"], value["values"], strict=True))
    if isinstance(value, Mapping):
        value = list(value.items())
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise ValueError(_mismatch(value, "a sparse vector (index -> weight)"))
    out: dict[str, float] = {}
    for pair in value:  # Arrow's maps are pairs
        try:
            index, weight = pair
            number, position, weight = int(index), float(index), float(weight)
        except (ValueError, TypeError, OverflowError):
            raise ValueError(f"{show(pair, 40)} in it is not an index with its weight, such as 7: 0.5") from None
        if not 0 <= number < 2**32 - 1 or number != position:
            raise ValueError(f"index {index} is not an integer from 0 to 4,294,967,294")
        if not math.isfinite(weight) or weight < 0:
            raise ValueError(f"the weight of {index} is {weight}, and must be 0 or more")
        if (key := str(number)) in out:
            raise ValueError(f"index {number} occurs twice")
        out[key] = weight
    return out


def _mismatch(value: Any, wanted: str) -> str:
    """Say what a value should be, and for dates and times how to convert it."""
    if hasattr(value, "isoformat"):
        method = "isoformat" if wanted == "a string" else "timestamp"
        return f"{article(type(value).__name__)} is not {wanted}; convert it, for example with {method}()"
    return f"{_shown(value)} is not {wanted}"


def _shown(value: Any) -> str:
    return f"{show(value, 40)} ({type(value).__name__})"
