"""Packages whose modules are loaded when they are first used (PEP 562), so that a DAG file pays for no others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import Any


def lazy_face(
    package: str, modules: Collection[str] = (), names: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """
    Return the ``__getattr__`` and ``__dir__`` of a package.

    :param package: its name
    :param modules: modules of the package that are its attributes
    :param names: other attributes, and the module of the package that has each of them
    """
    names = names or {}

    def get(name: str) -> Any:
        if name in modules:
            return import_module(f"{package}.{name}")
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = getattr(import_module(f"{package}.{names[name]}"), name)
        setattr(sys.modules[package], name, found)  # the next time, it is not looked for
        return found

    return get, lambda: sorted({*vars(sys.modules[package]), *modules, *names})
