"""Values as Milvus's filter language writes them."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["literal"]

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def literal(value: Any) -> str:
    """A value as the filter language writes it; of JSON's escapes it has no ``\\u``, and needs none."""
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPES)}"'
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    return json.dumps(value, ensure_ascii=False)
