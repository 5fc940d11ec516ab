"""Values as text: in filters, and as Milvus stores parameters."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any

_HTML = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})
_OCTAL = re.compile(r"[+-]?0_?[0-7][0-7_]*")
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def literal(value: Any) -> str:
    r"""Return a value as the filter language writes it; of JSON's escapes it has no ``\u``, and needs none."""
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPES)}"'
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    return json.dumps(value, ensure_ascii=False)


def json_text(value: Any) -> str:
    """Return a JSON value as Milvus writes it: keys sorted, no spaces, and every number a float64 (``16.0`` is 16)."""
    text = json.dumps(_as_float64(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.translate(_HTML)


def _as_float64(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_float64(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_float64(item) for item in value]
    return float64(value) if type(value) in (int, float) else value


def float64(number: float) -> float:
    """Return a number as a float64, which is an ``int`` where Milvus writes no fraction: 2^53 + 1 becomes 2^53."""
    number = float(number)
    return int(number) if number.is_integer() and abs(number) < 1e21 else number


def go_integer(text: str) -> int | None:
    """Return the integer that Go parses from a text, which may have a base prefix; None if there is none."""
    if not text.isascii() or text != text.strip():
        return None
    try:
        number = int(text, 8 if _OCTAL.fullmatch(text) else 0)
    except ValueError:
        return None
    return number if -(2**63) <= number < 2**63 else None


def normalize(params: dict[str, Any]) -> dict[str, str]:
    """Return parameters as Milvus stores them: all values are strings.

    :param params: from a request body; ``"16"`` and ``16`` are the same.
    """
    return {
        key: value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        for key, value in params.items()
        if value is not None
    }


def go_text(value: Any) -> str:
    """Return a value of a request as Go's ``%v`` writes it, which Milvus's handler keeps properties as.

    Go reads all numbers of JSON as floats, and writes large ones with an exponent: 1000000 is ``1e+06``.
    """
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return _go_number(value)
    if isinstance(value, list):
        return f"[{' '.join(map(go_text, value))}]"
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{go_text(value[key])}' for key in sorted(value))}]"
    return str(value)


def _go_number(value: float) -> str:
    value = float(value)
    if not value or math.isinf(value):
        return f"{value:+}".replace("inf", "Inf") if value else "0"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    minus, text, power = "-" * sign, "".join(map(str, digits)), len(digits) - 1 + exponent
    if -4 <= power < 6:
        return f"{minus}{Decimal((0, digits, exponent)):f}"
    fraction = f".{text[1:]}" if text[1:] else ""
    return f"{minus}{text[0]}{fraction}e{power:+03}"
