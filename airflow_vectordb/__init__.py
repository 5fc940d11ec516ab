"""Airflow provider for Milvus and Zilliz Cloud."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__version__ = "0.1.0"


def _require_airflow() -> None:
    """
    Refuse to be imported with an Airflow that is too old, whose own error would only name a module.

    Without Airflow, ``airflow_vectordb.rest`` still works.

    :raises ImportError: with the required and the installed version
    """
    from importlib.metadata import PackageNotFoundError, version

    for distribution in ("apache-airflow", "apache-airflow-core"):  # the first only depends on the second
        try:
            installed = version(distribution)
        except PackageNotFoundError:
            continue
        if [int(part) for part in installed.split(".")[:2]] < [3, 1]:
            raise ImportError(f"airflow_vectordb needs Airflow 3.1 or later, and this is Airflow {installed}")
        return


def lazy_face(
    package: str, names: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """
    Return the ``__getattr__`` and ``__dir__`` of a package whose modules are loaded when they are first used (PEP 562).

    So a DAG file loads only the modules that it uses. Defined here, since every DAG file would load a separate module.

    :param package: its name
    :param names: attributes that are not modules, and the module that defines each
    """
    names = names or {}

    def get(name: str) -> Any:
        if name in names:
            found = getattr(import_module(f"{package}.{names[name]}"), name)
            setattr(sys.modules[package], name, found)  # cached for the next access
            return found
        try:
            return import_module(f"{package}.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"{package}.{name}":
                raise
            raise AttributeError(f"module {package!r} has no attribute {name!r}") from None

    return get, lambda: sorted({*(face := vars(sys.modules[package])), *face.get("__all__", ())})


_require_airflow()
