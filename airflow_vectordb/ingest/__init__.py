"""Rows from files, frames and iterables into a collection: checked, encoded and written, with no Airflow in it."""
