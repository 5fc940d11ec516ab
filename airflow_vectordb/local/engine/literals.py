"""Values as texts: in filters, and as Milvus keeps parameters."""

from __future__ import annotations

import json
from typing import Any

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def literal(value: Any) -> str:
    r"""Return a value as the filter language writes it; of JSON's escapes it has no ``\u``, and needs none."""
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPES)}"'
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    return json.dumps(value, ensure_ascii=False)


def normalize(params: dict[str, Any]) -> dict[str, str]:
    """Return parameters as Milvus keeps them: all values strings, however they were spelled.

    :param params: from a request body; ``"16"`` and ``16`` are the same.
    """
    return {
        key: value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        for key, value in params.items()
        if value is not None
    }
