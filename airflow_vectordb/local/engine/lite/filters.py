"""What Milvus's filter language has and Milvus Lite's has not."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\s+|[\w$]+|<<|>>|<=|>=|&&|\|\||.""", re.DOTALL)
_BOUNDARIES = frozenset({"and", "or", "not", "&&", "||", "!", ","})
_DIRECTIONS = ({"<", "<="}, {">", ">="})


@dataclass
class _Stretch:
    """Tokens between two boundaries at one depth of brackets, and where comparisons stand in it."""

    start: int
    comparisons: list[int] = field(default_factory=list)


def count_keys(text: str, key: str) -> int | None:
    """Return how many keys a filter lists; None for one that does anything else.

    :param text: a filter, ``id == 1`` or ``id in [1, 2]`` for instance.
    :param key: the primary key, ``id`` here.
    """
    tokens = [token for token in _TOKEN.findall(text) if not token.isspace()]
    if tokens[:3] == [key, "=", "="]:
        return 1 if len(tokens[3:]) - (tokens[3:4] == ["-"]) == 1 else None
    if tokens[:1] != [key] or [token.lower() for token in tokens[1:3]] != ["in", "["] or tokens[-1] != "]":
        return None
    listed = tokens[3:-1]
    if _BOUNDARIES.intersection(listed) - {","} or {"(", "[", "]"}.intersection(listed):
        return None
    return listed.count(",") + 1 if listed else 0


def unchain(text: str) -> str:
    """Write ``a <= x < b`` as ``(a <= x and x < b)``, which the engine has not, wherever it stands in a filter.

    :param text: a filter; what is none comes back as it is, for the engine to refuse.
    """
    if text.count("<") < 2 and text.count(">") < 2:
        return text
    tokens = _TOKEN.findall(text)
    open_stretches = [_Stretch(0)]
    for position, token in enumerate(list(tokens)):
        if token in ("(", "["):
            open_stretches.append(_Stretch(position + 1))
        elif token in (")", "]"):
            if len(open_stretches) == 1:
                return text
            _rewrite(tokens, open_stretches.pop(), position)
        elif token.lower() in _BOUNDARIES:
            _rewrite(tokens, open_stretches.pop(), position)
            open_stretches.append(_Stretch(position + 1))
        elif token in ("<", "<=", ">", ">="):
            open_stretches[-1].comparisons.append(position)
    _rewrite(tokens, open_stretches.pop(), len(tokens))
    return text if open_stretches else "".join(tokens)


def _rewrite(tokens: list[str], stretch: _Stretch, end: int) -> None:
    if len(stretch.comparisons) != 2:
        return
    first, second = stretch.comparisons
    if not any({tokens[first], tokens[second]} <= direction for direction in _DIRECTIONS):
        return
    middle = "".join(tokens[first + 1 : second]).strip()
    if (
        not middle
        or not "".join(tokens[stretch.start : first]).strip()
        or not "".join(tokens[second + 1 : end]).strip()
    ):
        return
    tokens[second] = f" and {middle} {tokens[second]}"
    tokens[stretch.start] = f"({tokens[stretch.start]}"
    tokens[end - 1] += ")"
