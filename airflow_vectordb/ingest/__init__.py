"""Rows from files, frames and iterables into a collection: checked, encoded and written, without Airflow."""
