"""Index parameters as a text: JSON, what Python writes of a dict, or YAML; within bounds, and each key once."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from airflow_vectordb.rest.spelling import show

#: Characters. A hundred indexes are a fifth of it.
LONGEST = 100_000
#: Values in a text, each alias of a YAML anchor counted as what it stands for.
MOST_VALUES = 2_000
#: Lists and mappings within each other.
DEEPEST = 20

_TOO_LARGE = f"index_params holds more than {MOST_VALUES:,} values, aliases of YAML anchors counted as what they repeat"
_TOO_DEEP = f"index_params is nested more than {DEEPEST} deep"


#: A piece of what Python writes of lists and dicts: a value or an end, with a separator or another end after it; or a
#: beginning.
_TOKEN = re.compile(
    r"""\s*(?:(?:None|True|False|[-+]?[0-9]{1,40}(?:\.[0-9]{0,40})?(?:e[-+]?[0-9]{1,4})?
    |'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|[\])}])(?=\s*(?:[,:\])}]|$))|[\[({,:])""",
    re.VERBOSE,
)


#: Numbers within it of NumPy, and decimal ones.
_NUMBER = re.compile(r"""\b(?:np\.\w+|Decimal)\(['"]?([-+.0-9eE]{1,50})['"]?\)|\bnp\.(True|False)_(?!\w)""")


class Unreadable(ValueError):  # noqa: N818 - it does not leave this package
    """Says in one sentence why a text is not read."""


def read_text(text: str) -> Any:
    """
    Read a text. JSON comes first, then Python's way to write a dict or a list (which is what Jinja renders one to: in
    YAML its ``None`` would be a name), then YAML.

    :param text: as it is once it is rendered
    :raises Unreadable: saying why, in one sentence
    """
    if len(text) > LONGEST:
        raise Unreadable(f"index_params is a text of {len(text):,} characters; at most {LONGEST:,} are read")
    try:
        try:
            value = json.loads(text, object_pairs_hook=_mapping)
        except json.JSONDecodeError as error:
            literal = text if _is_literal(text) else _NUMBER.sub(lambda found: found[1] or found[2], text)
            value = _literal(literal) if _is_literal(literal) else None
            if value is None:
                value = _yaml(text, error)
        _check_size(value)
    except RecursionError:
        raise Unreadable(_TOO_DEEP) from None
    except Unreadable:
        raise
    except ValueError as error:  # an integer with more digits than Python reads
        raise Unreadable(f"index_params holds a value that cannot be read: {str(error).partition(';')[0]}") from None
    return value


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _check_keys(key for key, _ in pairs)
    return dict(pairs)


def _check_keys(keys: Iterable[Any]) -> None:
    twice = [key for key, times in Counter(keys).items() if times > 1]
    if twice:
        named = ", ".join(show(key) for key in twice[:5])
        raise Unreadable(f"index_params has {named} twice in one mapping: only one of the two can be meant")


def _is_literal(text: str) -> bool:
    """Tell whether a text is what Python writes of lists and dicts, and no more: then it is safe to be parsed so."""
    position = len(text) - len(text.lstrip())
    if text[position : position + 1] not in ("{", "[", "("):
        return False
    end = len(text.rstrip())
    while position < end:
        token = _TOKEN.match(text, position)
        if token is None:
            return False
        position = token.end()
    return True


def _literal(text: str) -> Any:
    try:
        tree = ast.parse(text.strip(), mode="eval")
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict):
                _check_keys(key.value for key in node.keys if isinstance(key, ast.Constant))
        return ast.literal_eval(tree)
    except (SyntaxError, TypeError, MemoryError):
        return None


def _yaml(text: str, json_error: json.JSONDecodeError) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Stops before a small text becomes a large value."""

        values = depth = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            self.values += 1
            self.depth += 1
            if self.values > MOST_VALUES:
                raise Unreadable(_TOO_LARGE)
            if self.depth > DEEPEST:
                raise Unreadable(_TOO_DEEP)
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

        def get_single_node(self) -> Any:
            root = super().get_single_node()
            if root is not None:
                _count(root, {}, frozenset())
            return root

        def compose_mapping_node(self, anchor: Any) -> Any:
            node = super().compose_mapping_node(anchor)
            _check_keys(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
            return node

    def _integer(loader: Any, node: Any) -> int:
        if ":" in node.value or re.match(r"[-+]?0[0-9_]", node.value):
            raise Unreadable(f"index_params has {show(node.value)}, to YAML a number to the base of 60 or 8: quote it")
        number: int = loader.construct_yaml_int(node)
        return number

    Loader.add_constructor("tag:yaml.org,2002:int", _integer)

    def _count(node: Any, known: dict[int, int], above: frozenset[int]) -> int:
        """Count the values of a node, aliases as what they stand for."""
        if id(node) in above:
            raise Unreadable("index_params has a YAML alias within what its anchor stands for")
        if id(node) not in known:
            parts = [] if isinstance(node, yaml.ScalarNode) else node.value
            inner = [part for pair in parts for part in (pair if isinstance(pair, tuple) else (pair,))]
            known[id(node)] = 1 + sum(_count(part, known, above | {id(node)}) for part in inner)
            if known[id(node)] > MOST_VALUES:
                raise Unreadable(_TOO_LARGE)
        return known[id(node)]

    try:
        return yaml.load(text, Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, TypeError, LookupError, AttributeError) as error:
        looks_like_json = text.lstrip()[:1] in ("{", "[")
        reason = json_error if looks_like_json else str(error).replace("\n", " ")
        raise Unreadable(
            f"index_params is neither JSON nor YAML: {str(reason)[:300]}; it begins {text.strip()[:40]!r}"
        ) from None


def _check_size(value: Any) -> None:
    """Count the values, and how deep they are."""
    stack: list[tuple[Any, int]] = [(value, 1)]
    count = 0
    while stack:
        part, depth = stack.pop()
        count += 1
        if depth > DEEPEST:
            raise Unreadable(_TOO_DEEP)
        if count > MOST_VALUES:
            raise Unreadable(_TOO_LARGE)
        stack += [(inner, depth + 1) for inner in _parts(part)]


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        return iter(value.values())
    return iter(value) if isinstance(value, list | tuple) else iter(())


__all__ = ["LONGEST", "Unreadable", "read_text"]
