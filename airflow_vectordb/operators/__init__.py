"""Operators. Modules that only running tasks need are loaded at first use, to keep DAG parsing fast."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_vectordb import lazy_face

if TYPE_CHECKING:
    from airflow_vectordb.operators import _create_collection as _create_collection
    from airflow_vectordb.operators import _replace as _replace
    from airflow_vectordb.operators import _stage as _stage
    from airflow_vectordb.operators import _verify as _verify

__getattr__, __dir__ = lazy_face(__name__)
