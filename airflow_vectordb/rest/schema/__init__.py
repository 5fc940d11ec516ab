"""Schemas of collections: parsing, checks, comparison with existing ones, proposals from data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_vectordb import lazy_face

if TYPE_CHECKING:
    from airflow_vectordb.rest.schema import compare, parsing, properties, propose, spec

__getattr__, __dir__ = lazy_face(__name__)

__all__ = ["compare", "parsing", "properties", "propose", "spec"]
