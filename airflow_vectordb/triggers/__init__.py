"""The trigger, loaded at first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_vectordb import lazy_face

if TYPE_CHECKING:
    from airflow_vectordb.triggers import milvus

__getattr__, __dir__ = lazy_face(__name__)

__all__ = ["milvus"]
