"""Parameters as a text: JSON, what Python writes of a dict, or YAML; within bounds, and each key once."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from airflow_vectordb.rest.spelling import is_nothing, show
from airflow_vectordb.rest.text import BOM

#: Characters. A hundred indexes are a fifth of it.
LONGEST = 100_000
#: Values in a text, each alias of a YAML anchor counted as what it stands for.
MOST_VALUES = 2_000
#: Lists and mappings within each other.
DEEPEST = 20

_TOO_DEEP = f"is nested more than {DEEPEST} deep"

#: What Python writes of lists and dicts, and no more, so that it is safe to parse it. Each piece is a value or an end,
#: with a separator or another end after it; or a beginning.
_LITERAL = re.compile(
    r"""\s*(?=[\[({])(?:\s*(?:(?:None|True|False|[-+]?[0-9]{1,40}(?:\.[0-9]{0,40})?(?:e[-+]?[0-9]{1,4})?
    |'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|[\])}])(?=\s*(?:[,:\])}]|$))|[\[({,:]))*\s*""",
    re.VERBOSE,
)
#: Numbers within it of NumPy, and decimal ones.
_NUMBER = re.compile(r"""\b(?:np\.\w+|Decimal)\(['"]?([-+.0-9eE]{1,50})['"]?\)|\bnp\.(True|False)_(?!\w)""")


class UnreadableTextError(ValueError):
    """Says in one sentence why a text cannot be read."""


def read_given(raw: Any, argument: str) -> Any:
    """Return what an argument was given, read if it is a text, which must not be empty."""
    if not isinstance(raw, str):
        return raw
    value = read_text(raw, argument) if raw.strip() else None
    if value is None or (isinstance(value, str) and is_nothing(value)):
        raise UnreadableTextError(f"{argument} is empty: the template or file rendered to nothing")
    return value


def read_text(text: str, argument: str) -> Any:
    """
    Read a text as JSON, then as a dict or list in Python's notation, then as YAML.

    Python's notation is what Jinja renders a dict to: in YAML its ``None`` would be a name.
    """
    try:
        return _read(text.removeprefix(BOM))
    except RecursionError:
        reason = _TOO_DEEP
    except UnreadableTextError as error:
        reason = str(error)
    except ValueError as error:  # an integer with more digits than Python reads
        reason = f"holds a value that cannot be read: {str(error).partition(';')[0]}"
    raise UnreadableTextError(f"{argument} {reason}")


def _read(text: str) -> Any:
    if len(text) > LONGEST:
        raise UnreadableTextError(f"has {len(text):,} characters; at most {LONGEST:,} are read")
    try:
        value = json.loads(text, object_pairs_hook=_mapping)
    except json.JSONDecodeError as error:
        value = _read_python(text)
        if value is None:
            value = _read_yaml(text, error)
    _check_size(value)
    return value


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _check_keys(key for key, _ in pairs)
    return dict(pairs)


def _check_keys(keys: Iterable[Any]) -> None:
    twice = [key for key, times in Counter(keys).items() if times > 1]
    if twice:
        named = ", ".join(show(key) for key in twice[:5])
        raise UnreadableTextError(f"has {named} twice in one mapping: remove one of them")


def _read_python(text: str) -> Any:
    """Read what Python writes of a list or dict; None if it is something else."""
    if not _LITERAL.fullmatch(text):
        text = _NUMBER.sub(lambda found: found[1] or found[2], text)
        if not _LITERAL.fullmatch(text):
            return None
    try:
        tree = ast.parse(text.strip(), mode="eval")
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict):
                _check_keys(key.value for key in node.keys if isinstance(key, ast.Constant))
        return ast.literal_eval(tree)
    except (SyntaxError, TypeError, MemoryError):
        return None


def _read_yaml(text: str, json_error: json.JSONDecodeError) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Stops before a small text becomes a large value."""

        values = depth = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            self.values += 1
            self.depth += 1
            _check_bounds(self.values, self.depth)
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

        def flatten_mapping(self, node: Any) -> None:
            super().flatten_mapping(node)
            _check_bounds(len(node.value))  # merges of merges

        def compose_mapping_node(self, anchor: Any) -> Any:
            node = super().compose_mapping_node(anchor)
            _check_keys(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
            return node

        def construct_yaml_int(self, node: Any) -> int:
            if ":" in node.value or re.match(r"[-+]?0[0-9_]", node.value):
                shown = show(node.value)
                raise UnreadableTextError(f"has {shown}, which YAML reads as a number in base 60 or 8: quote it")
            number: int = super().construct_yaml_int(node)
            return number

    Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_yaml_int)
    try:
        return yaml.load(text, Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, TypeError, LookupError, AttributeError) as error:
        looks_like_json = text.lstrip()[:1] in ("{", "[")
        reason = json_error if looks_like_json else str(error).replace("\n", " ")
        raise UnreadableTextError(
            f"is neither JSON nor YAML: {str(reason)[:300]}; it begins {text.strip()[:40]!r}"
        ) from None


def _check_bounds(values: int, depth: int = 0) -> None:
    if depth > DEEPEST:
        raise UnreadableTextError(_TOO_DEEP)
    if values > MOST_VALUES:
        raise UnreadableTextError(f"holds more than {MOST_VALUES:,} values, counting what YAML aliases repeat")


def _check_size(value: Any) -> None:
    """Count the values, each alias of a YAML anchor as what it stands for, and how deep they are."""
    stack: list[tuple[Any, int]] = [(value, 1)]
    count = 0
    while stack:
        part, depth = stack.pop()
        count += 1
        _check_bounds(count, depth)
        if isinstance(part, dict | list | tuple):
            stack += [(inner, depth + 1) for inner in (part.values() if isinstance(part, dict) else part)]
