"""The hook: an Airflow connection to Milvus or Zilliz Cloud."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow_vectordb import hooks, rest
from airflow_vectordb._compat import AirflowNotFoundException
from airflow_vectordb.exceptions import translate_errors
from airflow_vectordb.hooks import connection_fields as fields
from airflow_vectordb.hooks.collections import CollectionMethods
from airflow_vectordb.hooks.connection import console_link
from airflow_vectordb.hooks.entities import EntityMethods
from airflow_vectordb.hooks.ingest import IngestMethods, object_path
from airflow_vectordb.ingest.storage import open_to_read


class MilvusHook(CollectionMethods, EntityMethods, IngestMethods):
    """
    Client of Milvus or Zilliz Cloud, over its RESTful API v2.

    In a task::

        with MilvusHook() as hook:
            hook.upsert("docs", rows)
            hits = hook.search("docs", [vector], limit=5)

    A ``@task`` may return what its methods return: it is JSON-ready, and the next task receives dicts.

    ``send`` sends any call created by the functions of ``airflow_vectordb.rest``: ``hook.send(rest.users.list_())``.

    Errors are those of ``airflow_vectordb.rest.errors``, and also Airflow's: ``AirflowFailException`` for permanent
    errors (Airflow does not retry the task), ``AirflowException`` for transient ones.

    :param milvus_conn_id: id of an Airflow connection of type ``milvus``
    :param database: database of calls that name none; None: the connection's (its schema field)
    :param patient: whether the connection is known to exist, so that reading it is retried for 30 s instead of 3 s if
        Airflow reports that it is not defined
    """

    conn_name_attr = "milvus_conn_id"
    default_conn_name = fields.DEFAULT_CONN_ID
    conn_type = fields.CONNECTION_TYPE
    hook_name = fields.HOOK_NAME

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the fields of the connection form; Airflow 3.1 asks for it, later versions read the provider info."""
        # Where these are not installed, Airflow's API server has stand-ins for them.
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
        from flask_babel import lazy_gettext
        from wtforms import BooleanField, IntegerField, StringField
        from wtforms.validators import Optional

        kinds = {"boolean": BooleanField, "integer": IntegerField, "number": IntegerField}
        widgets = {}
        for field in fields.EXTRA_FIELDS:
            kind = kinds.get(field.schema["type"][0], StringField)
            widgets[field.name] = kind(
                lazy_gettext(field.label),
                validators=[Optional()],
                description=field.meaning,
                default=field.schema.get("default"),
                widget=None if kind is BooleanField else BS3TextFieldWidget(),
            )
        return widgets

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return labels and placeholders of the connection form; Airflow 3.1 asks for it."""
        return {"hidden_fields": [], "relabeling": fields.LABELS, "placeholders": fields.PLACEHOLDERS}

    def console_link(self, collection: str | None = None) -> str | None:
        """
        Return the URL of a collection's page in the console of the instance.

        :return: empty: there is none; None: the connection has not been read
        """
        return console_link(self._connection, self.database, collection) if "_connection" in vars(self) else None

    @staticmethod
    def schema_from(file: str, *, key: str | None = None, source_conn_id: str | None = None) -> dict[str, Any]:
        """
        Propose a schema for the rows of a Parquet or Arrow file, which is read as a whole; this needs ``pyarrow``.

        :param file: a path, or a URL that Airflow's ``ObjectStoragePath`` reads
        :param key: the column of the primary key; None: guessed. If none fits, the server generates the keys
        :param source_conn_id: Airflow connection to read the URL with; None: as for ``IngestOperator``
        :return: a schema as ``CreateCollectionOperator`` takes it
        :raises InvalidParametersError: if the file cannot be read, or a column fits no type
        """
        with translate_errors():
            path = object_path(file, source_conn_id) if "://" in str(file) else Path(file)
            with open_to_read(path) as stream:
                return rest.schema.propose.schema_from(stream, path.name, key=key)

    def test_connection(self) -> tuple[bool, str]:
        """Return whether the connection works, and a message, for the Test button."""
        try:
            connection: Any = self.get_connection(self.milvus_conn_id)
        except AirflowNotFoundException as error:
            connection = hooks.connection_test.connection_in_environment(self.milvus_conn_id)
            if connection is None:
                return False, str(error)
        return hooks.connection_test.check_connection(connection, self.database)


__all__ = ["MilvusHook"]
