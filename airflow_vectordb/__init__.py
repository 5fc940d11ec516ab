"""Airflow provider for Milvus and Zilliz Cloud."""

__version__ = "0.1.0"
