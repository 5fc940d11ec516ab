"""
Makes ``docs/reference/``: a Markdown page for each group of modules, from signatures and docstrings.

Run it where the provider is installed: ``python docs/generate_reference.py``. With ``--check`` it writes nothing, and
says whether the pages are what it would make. Each module's ``__all__`` says what is public; arguments that a class
inherits from Airflow's own are left out.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from docstrings import body, docstring

HERE = Path(__file__).resolve().parent
REFERENCE = HERE / "reference"
PACKAGE = "airflow_vectordb"
WIDTH = 100
INDEX = """# Reference

Signatures and docstrings of all that is public. `python docs/generate_reference.py` makes these pages from the code."""


@dataclass(frozen=True)
class Page:
    """
    A page of the reference.

    :param name: of its file, without ``.md``
    :param title: what it is headed
    :param intro: a sentence or two
    :param modules: what is on it; where a colon follows, no more than the name after it, and if none does, no more than
        what the module says of itself
    """

    name: str
    title: str
    intro: str
    modules: tuple[str, ...]


PAGES = (
    Page(
        "operators",
        "Operators",
        "How to use them: [operators](../operators/README.md).",
        ("operators.index", "operators.collection", "operators.base"),
    ),
    Page(
        "sensors", "Sensors", "How to use them: [operators and sensors](../operators/README.md).", ("sensors.milvus",)
    ),
    Page(
        "hook",
        "Hook and assets",
        "The Airflow connection in your own tasks, and collections as Airflow's assets.",
        ("hooks.milvus", "assets", "links"),
    ),
    Page(
        "waiting",
        "Waits and the trigger",
        "What can be waited for, for operators and triggers of your own. How waiting goes: [waiting](../waiting.md).",
        ("waits", "watching:Deadline", "triggers.milvus:MilvusTrigger"),
    ),
    Page(
        "client",
        "Clients",
        "Milvus's RESTful API without Airflow. What can be called: [calls](calls.md), [entities](entities.md).",
        (
            "rest.client",
            "rest.aclient:AsyncClient",
            "rest.endpoint",
            "rest.retry",
            "rest.call:Call",
            "rest.index_spec:IndexSpec",
        ),
    ),
    Page(
        "calls",
        "Calls on collections and indexes",
        'Each function makes a `Call`; a client or the hook sends it: `hook.send(indexes.list_("docs"))`.',
        ("rest.collections", "rest.indexes", "rest.partitions"),
    ),
    Page(
        "entities",
        "Calls on entities, aliases, databases and import jobs",
        "Each function makes a `Call`; a client or the hook sends it: `hook.send(databases.list_())`.",
        ("rest.entities", "rest.aliases", "rest.databases", "rest.import_jobs"),
    ),
    Page(
        "errors",
        "Errors",
        "What each code becomes, and what to do: [errors](../errors.md).",
        ("rest.errors", "exceptions"),
    ),
    Page(
        "local",
        "The local server",
        "How to use it: [the local server](../local-server.md).",
        ("local", "local.pytest_plugin:"),
    ),
)


def parameters(of: Any) -> dict[str, inspect.Parameter]:
    """
    Find the parameters of a function, or of a class: its own, and those that it hands on to bases in this package.

    :param of: a class or function
    """
    if isinstance(of, property) or (inspect.isclass(of) and issubclass(of, Exception) and "__init__" not in vars(of)):
        return {}  # nothing, or what the base has
    if not inspect.isclass(of):
        return {name: p for name, p in inspect.signature(of).parameters.items() if name not in ("self", "cls")}
    found: dict[str, inspect.Parameter] = {}
    for base in of.__mro__:
        if not base.__module__.startswith(PACKAGE) or "__init__" not in vars(base):
            continue
        own = {name: p for name, p in inspect.signature(vars(base)["__init__"]).parameters.items() if name != "self"}
        found |= {name: p for name, p in own.items() if name not in found}
        if not any(p.kind is p.VAR_KEYWORD for p in own.values()):
            break
    # As Python wants them.
    return dict(sorted(found.items(), key=lambda item: item[1].kind))


def signature(name: str, of: Any, *, prefix: str = "") -> str:
    """
    Write a signature as Python that can be parsed.

    :param name: of the function
    :param of: a class or function
    :param prefix: what stands before ``def``
    """
    parts = []
    star = False
    for parameter in parameters(of).values():
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            parts.append("*")
            star = True
        star = star or parameter.kind is parameter.VAR_POSITIONAL
        parts.append(str(parameter.replace(annotation=annotation(parameter), default=default(parameter))))
    if inspect.isclass(of):
        parts.insert(0, "self")
    returns = "None" if inspect.isclass(of) else annotation_text(inspect.signature(of).return_annotation)
    end = f") -> {returns}: ..." if returns else "): ..."
    line = f"{prefix}def {name}({', '.join(parts)}{end}"
    if len(line) <= WIDTH:
        return line
    return f"{prefix}def {name}(\n" + "".join(f"    {part},\n" for part in parts) + end


class _Verbatim:
    """Something whose repr is given."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def annotation_text(given: Any) -> str:
    """
    Write an annotation, which is text already in modules that import annotations from the future.

    :param given: an annotation
    """
    if given is inspect.Signature.empty:
        return ""
    return given if isinstance(given, str) else inspect.formatannotation(given)


def annotation(parameter: inspect.Parameter) -> Any:
    """
    Make an annotation that is written without quotes.

    :param parameter: whose it is
    """
    text = annotation_text(parameter.annotation)
    return _Verbatim(text) if text else parameter.empty


def default(parameter: inspect.Parameter) -> Any:
    """
    Make a default that is written as Python.

    :param parameter: whose it is
    """
    value = parameter.default
    if isinstance(value, str):
        return _Verbatim(json.dumps(value))
    if value is parameter.empty or isinstance(value, int | float | tuple | None):
        return value
    return _Verbatim("...")


def described(of: Any) -> Iterator[str]:
    """
    Write what a docstring says, as paragraphs.

    :param of: a class or function
    """
    text, params, returned, raised = docstring(of)
    if text:
        yield body(text)
    for base in of.__mro__ if inspect.isclass(of) else ():
        if base.__module__.startswith(PACKAGE) and vars(base).get("__doc__"):
            params = docstring(base)[1] | params
    lines = [f"- `{name}`: {params[name]}" for name in parameters(of) if name in params]
    if lines:
        yield "\n".join(lines)
    if returned:
        yield f"Returns: {returned}"
    if raised:
        yield "Raises:\n\n" + "\n".join(f"- `{name}`: {said}" for name, said in raised)


def members(cls: type) -> Iterator[tuple[str, Any]]:
    """
    Find the public methods and properties that a class adds to its bases.

    :param cls: the class
    """
    for name, member in vars(cls).items():
        plain = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if isinstance(plain, cached_property):
            plain = property(plain.func)
        if any(name in vars(base) for base in cls.__mro__[1:] if base.__module__.startswith(PACKAGE)):
            continue  # told where it comes from
        if not name.startswith("_") and (inspect.isfunction(plain) or isinstance(plain, property)):
            yield name, plain


def entry(name: str, of: Any) -> Iterator[str]:
    """
    Write about a public name.

    :param name: its name
    :param of: what it is
    """
    yield f"### `{name}`"
    if inspect.isclass(of):
        bases = [base.__name__ for base in of.__bases__ if base is not object]
        while len(bases) == 1 and bases[0].startswith("_"):
            bases = [base.__name__ for base in next(b for b in of.__mro__ if b.__name__ == bases[0]).__bases__]
        if parameters(of):
            head = f"class {name}({', '.join(bases)}):" if bases else f"class {name}:"
            yield f"```python\n{head}\n" + textwrap.indent(signature("__init__", of), "    ") + "\n```"
        elif bases:
            yield f"Base: `{', '.join(bases)}`"
        yield from described(of)
        for member_name, member in members(of):
            yield f"#### `{name}.{member_name}`"
            if inspect.isfunction(member):
                prefix = "async " if inspect.iscoroutinefunction(member) else ""
                yield f"```python\n{signature(member_name, member, prefix=prefix)}\n```"
            yield from described(member)
    elif callable(of):
        yield f"```python\n{signature(name, of)}\n```"
        yield from described(of)


def section(module: ModuleType, names: list[str]) -> Iterator[str]:
    """
    Write about a module.

    :param module: the module
    :param names: what of it is told
    """
    yield f"## `{module.__name__}`"
    if module.__doc__ and len(names) != 1:
        yield body(inspect.cleandoc(module.__doc__))
    for name in names:
        of = getattr(module, name)
        if callable(of) and not str(type(of)).startswith(("<class 'typing", "<class 'types", "<class 'collections")):
            yield from entry(name, of)


def load(entry: str) -> tuple[ModuleType, list[str]]:
    """
    Import a module.

    :param entry: of :attr:`Page.modules`
    :return: the module, and its names that are told
    """
    path, colon, name = entry.partition(":")
    module = importlib.import_module(f"{PACKAGE}.{path}")
    return module, [name] if name else [] if colon else list(module.__all__)


def pages() -> dict[Path, str]:
    """Make all pages, by path."""
    made = {}
    for page in PAGES:
        parts = [f"# Reference: {page.title}", page.intro]
        for one in page.modules:
            parts += section(*load(one))
        made[REFERENCE / f"{page.name}.md"] = "\n\n".join(parts) + "\n"
    listed = "\n".join(f"| [{page.title}]({page.name}.md) | {told(page)} |" for page in PAGES)
    index = f"{INDEX}\n\n| page | modules |\n| --- | --- |\n{listed}\n"
    return {REFERENCE / "README.md": index, **made}


def told(page: Page) -> str:
    """
    List the modules of a page.

    :param page: the page
    """
    names = dict.fromkeys(one.partition(":")[0] for one in page.modules)
    return ", ".join(f"`{PACKAGE}.{name}`" for name in names)


def main() -> int:
    """Write the pages, or compare them."""
    made = pages()
    there = {path: path.read_text() for path in REFERENCE.glob("*.md")}
    if "--check" in sys.argv[1:]:
        differ = sorted(path.name for path in {*made, *there} if made.get(path) != there.get(path))
        print(f"differ: {', '.join(differ)}" if differ else "the reference is up to date")
        return 1 if differ else 0
    REFERENCE.mkdir(exist_ok=True)
    for path in there.keys() - made.keys():
        path.unlink()
    for path, text in made.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
