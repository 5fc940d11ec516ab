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
    # orjson writes null for NaN and infinity: a vector would lose its values without a word. To look for them costs
    # something, so it is done only where a null shows up at all.
    if b"null" in encoded and (found := _non_finite(body)):
        raise InvalidParametersError([f"{found} is not a finite number"], "request body")
    return encoded


def _non_finite(value: Any, path: str = "") -> str | None:
    if isinstance(value, float) or type(value).__name__ in ("float16", "float32", "float64"):
        return None if math.isfinite(value) else f"{path or 'the value'} ({value})"
    if isinstance(value, Mapping):
        children = ((f"{path}.{key}" if path else str(key), child) for key, child in value.items())
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        children = ((f"{path}[{number}]", child) for number, child in enumerate(value))
    elif hasattr(value, "tolist"):  # a NumPy array, without importing NumPy
        return _non_finite(value.tolist(), path)
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
