"""Request bodies as bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_vectordb.rest.errors import InvalidParametersError


def encode(body: Mapping[str, Any]) -> bytes:
    """
    Encode a request body as JSON; NumPy arrays and numbers in it are taken as they are.

    :param body: the JSON object
    :return: UTF-8
    :raises InvalidParametersError: for NaN or infinity, which JSON does not have, and for values of other types
    """
    import orjson

    try:
        encoded = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
    except orjson.JSONEncodeError as error:
        raise InvalidParametersError([f"{error} (in {_first_bad(body) or 'the request'})"], "request body") from None
    # orjson writes null for NaN and infinity: a vector would lose its values without a word.
    if not _finite(body):
        raise InvalidParametersError([f"{_non_finite(body)} is not a finite number"], "request body")
    return encoded


def _finite(value: Any) -> bool:
    # Sums decide for all numbers of a vector at once, which costs a tenth of encoding it. They only ever err on the
    # side of a closer look: large numbers may sum up to infinity.
    if isinstance(value, list | tuple):
        try:
            return math.isfinite(sum(value)) or all(map(_finite, value))
        except (TypeError, OverflowError):
            return all(map(_finite, value))
    if isinstance(value, str):  # most values of a small request
        return True
    if isinstance(value, Mapping):
        return all(map(_finite, value.values()))
    if isinstance(value, float):
        return math.isfinite(value)
    if hasattr(value, "dtype") and value.dtype.kind == "f":  # NumPy's, without importing it
        return math.isfinite(value.sum()) or (math.isfinite(value.min()) and math.isfinite(value.max()))
    return True


def _non_finite(value: Any, path: str = "") -> str | None:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{path or 'the value'} ({value})"
    if isinstance(value, Mapping):
        children = ((f"{path}.{key}" if path else str(key), child) for key, child in value.items())
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        children = ((f"{path}[{number}]", child) for number, child in enumerate(value))
    else:
        return None
    return next((found for path_, child in children if (found := _non_finite(child, path_))), None)


def _first_bad(value: Any, path: str = "") -> str | None:
    if isinstance(value, Mapping):
        children = ((f"{path}.{key}" if path else str(key), child) for key, child in value.items())
    elif isinstance(value, list | tuple):
        children = ((f"{path}[{number}]", child) for number, child in enumerate(value))
    elif value is None or isinstance(value, str | int | float) or hasattr(value, "tolist"):
        return None
    else:
        return f"{path}, a {type(value).__name__}"
    return next((found for path_, child in children if (found := _first_bad(child, path_))), None)


__all__ = ["encode"]
