"""Index parameters: parsing, checks, planning, comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_vectordb import lazy_face

if TYPE_CHECKING:
    from airflow_vectordb.rest.index import parsing, plan, spec, types

__getattr__, __dir__ = lazy_face(__name__)

__all__ = ["parsing", "plan", "spec", "types"]
