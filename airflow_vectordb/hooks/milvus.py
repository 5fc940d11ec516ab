"""The hook: an Airflow connection to Milvus or Zilliz Cloud."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.sdk import BaseHook

from airflow_vectordb import hooks, rest, waiting
from airflow_vectordb._compat import AirflowNotFoundException, amask_secret, is_dag_test, mask_secret
from airflow_vectordb.exceptions import translate_errors
from airflow_vectordb.hooks.collections import CollectionMethods
from airflow_vectordb.hooks.connection import (
    FIRST_PAUSES,
    PAUSES,
    ConnectionFields,
    config_from_connection,
    console_link,
    read_patiently,
)
from airflow_vectordb.hooks.connection_fields import (
    CONNECTION_TYPE,
    DEFAULT_CONN_ID,
    EXTRA_FIELDS,
    HOOK_NAME,
    LABELS,
    PLACEHOLDERS,
)
from airflow_vectordb.hooks.entities import EntityMethods
from airflow_vectordb.hooks.ingest import IngestMethods, object_path
from airflow_vectordb.ingest.storage import open_to_read

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_vectordb.rest import AsyncClient, Client, MilvusConfig
    from airflow_vectordb.rest.driver import Sleep
    from airflow_vectordb.rest.http.call import Call
    from airflow_vectordb.waiting import Condition, Deadline, Memory, Pending, PollResult

T = TypeVar("T")
_reading_again = threading.Lock()


class MilvusHook(CollectionMethods, EntityMethods, IngestMethods, BaseHook):
    """
    Client of Milvus or Zilliz Cloud, over its RESTful API v2.

    In a task::

        with MilvusHook() as hook:
            hook.upsert("docs", rows)
            hits = hook.search("docs", [vector], limit=5)

    A ``@task`` may return what its methods return: it is JSON-ready, and the next task receives dicts.

    ``send`` sends any call created by the functions of ``airflow_vectordb.rest``: ``hook.send(rest.users.list_())``. A
    call that is created and not sent logs a ``RuntimeWarning``.

    Errors are those of ``airflow_vectordb.rest.errors``, and also Airflow's: ``AirflowFailException`` for permanent
    errors (Airflow does not retry the task), ``AirflowException`` for transient ones.

    :param milvus_conn_id: id of an Airflow connection of type ``milvus``
    :param database: database of calls that name none; None: the connection's (its schema field)
    :param patient: whether the connection is known to exist, so that reading it is retried for 30 s instead of 3 s if
        Airflow reports that it is not defined
    """

    conn_name_attr = "milvus_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = CONNECTION_TYPE
    hook_name = HOOK_NAME

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
        for field in EXTRA_FIELDS:
            kind = kinds.get(field.schema["type"][0], StringField)
            given: dict[str, Any] = {} if kind is BooleanField else {"widget": BS3TextFieldWidget()}
            widgets[field.name] = kind(
                lazy_gettext(field.label),
                validators=[Optional()],
                description=field.meaning,
                default=field.schema.get("default"),
                **given,
            )
        return widgets

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return labels and placeholders of the connection form; Airflow 3.1 asks for it."""
        return {"hidden_fields": [], "relabeling": LABELS, "placeholders": PLACEHOLDERS}

    def __init__(
        self,
        milvus_conn_id: str = DEFAULT_CONN_ID,
        database: str | None = None,
        *,
        patient: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.milvus_conn_id = milvus_conn_id
        self.database = database
        self.patient = patient
        #: Whether Milvus has answered the task: if so, a page in its place is an outage, not a wrong address.
        self.server_confirmed = False
        self._client: Client | None = None
        self._warned = patient

    def __enter__(self) -> MilvusHook:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @cached_property
    def config(self) -> MilvusConfig:
        """
        The configuration from the connection. Its token is registered with Airflow's secrets masker.

        :raises InvalidParametersError: if the connection is invalid
        :raises AirflowNotFoundException: if there is none, after a few attempts
        """
        config = self._config_from(self._connection)
        if config.token:
            mask_secret(config.token)
        return config

    async def aconfig(self) -> MilvusConfig:
        """Return the same as :attr:`config`, from an event loop."""
        config = self._config_from(await rest.driver.adrive(self._reading(), lambda _: self._aread(), self._report))
        if config.token:
            await amask_secret(config.token)
        return config

    @cached_property
    def _connection(self) -> ConnectionFields:
        return rest.driver.drive(self._reading(), lambda _: self.get_connection(self.milvus_conn_id), self._report)

    async def _aread(self) -> Connection:
        try:
            return await self.aget_connection(self.milvus_conn_id)
        except AirflowNotFoundException:
            if not is_dag_test():
                raise
        # There, Airflow's database is accessible to tasks, but not from an event loop.
        return await asyncio.to_thread(self.get_connection, self.milvus_conn_id)

    def _reading(self) -> Generator[Sleep | None, Any, ConnectionFields]:
        return read_patiently(PAUSES if self.patient else FIRST_PAUSES)

    def _config_from(self, connection: ConnectionFields) -> MilvusConfig:
        # An unusable connection is read more than once; warn only once.
        warn, self._warned = not self._warned, True
        with translate_errors():
            return config_from_connection(connection, self.database, warn=warn)

    def _report(self, level: int, text: str) -> None:
        self.log.log(level, "%s", text)

    def console_link(self, collection: str | None = None) -> str | None:
        """
        Return the URL of a collection's page in the console of the instance.

        :param collection: its name
        :return: a URL; empty: there is none; None: the connection has not been read
        """
        return console_link(self._connection, self.database, collection) if "_connection" in vars(self) else None

    def get_conn(self) -> Client:
        """Return the client; the same one until :meth:`close`, unless the credentials are replaced."""
        if self._client is not None and self._client.config is not self.config:
            self.close()
        if self._client is None:
            self._client = rest.Client(self.config, server_confirmed=self.server_confirmed)
        return self._client

    async def get_async_conn(self) -> AsyncClient:
        """Return a new client for an event loop; the caller closes it."""
        return rest.AsyncClient(await self.aconfig())

    def close(self) -> None:
        """Close all connections. A later call opens new ones."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def send(self, call: Call[T], *, retries: int | None = None, until: float | None = None) -> T:
        """
        Make a call.

        If the server refuses the credentials, the Airflow connection is read again, and used if it has changed.

        :param call: made by a function of ``airflow_vectordb.rest.indexes``, ``collections``, …
        :param retries: attempts after the first; None: the connection's
        :param until: deadline for an answer, by ``time.monotonic``; None: none
        :raises MilvusError: if the server refuses, or does not answer after all attempts
        """
        call.body  # noqa: B018 - which makes it one that was sent, even if the connection turns out to be missing
        with translate_errors():
            client = self.get_conn()
            try:
                return client.send(call, retries=retries, until=until)
            except rest.errors.AuthenticationError:
                if not self.has_other_config(client.config):
                    raise
            return self.get_conn().send(call, retries=retries, until=until)

    def has_other_config(self, refused: MilvusConfig) -> bool:
        """
        Read the connection again: tokens are replaced while tasks are at work.

        :param refused: the configuration whose credentials the server refuses
        :return: whether there is another one now
        """
        with _reading_again:
            if self.config != refused:  # another thread has read it
                return True
            cached: dict[str, Any] = {
                name: vars(self).pop(name) for name in ("config", "_connection") if name in vars(self)
            }
            try:
                changed = self.config != refused
            except (AirflowNotFoundException, rest.errors.MilvusError):  # what the server said matters more
                changed = False
            if changed:
                self.log.info("Connection %r has changed: its new credentials are used", self.milvus_conn_id)
            else:
                vars(self).update(cached)
            return changed

    def poll(
        self,
        condition: Condition,
        *,
        retries: int | None = None,
        deadline: Deadline | None = None,
        memory: Memory | None = None,
    ) -> PollResult:
        """
        Poll once whether something is done.

        :param condition: a condition of ``airflow_vectordb.waiting``
        :param retries: attempts of each call after the first; None: the connection's
        :param deadline: deadline for an answer; None: none
        :param memory: takes what a later poll has to know; None: there is none
        :return: ``Done`` with a result, or ``Pending`` with the progress
        :raises MilvusError: if it failed, or the server does not answer
        """
        return self._drive(condition.poll(memory or waiting.Memory()), deadline, retries)

    def wait(
        self,
        condition: Condition,
        deadline: Deadline,
        *,
        poll_interval: float,
        initial_result: Pending | None = None,
        server_confirmed: bool = False,
    ) -> Any:
        """
        Wait until something is done, with progress in the log.

        The arguments are those of :func:`~airflow_vectordb.waiting.polling.poll_until_done`.

        :return: the result of the condition, JSON-ready
        :raises MilvusError: if it failed, or was not done by the deadline
        """
        steps = waiting.poll_until_done(
            condition,
            deadline,
            poll_interval=poll_interval,
            started=time.time(),
            initial_result=initial_result,
            server_confirmed=server_confirmed,
        )
        return self._drive(steps, deadline, retries=0)

    def _drive(self, steps: Generator[Call[Any] | Sleep, Any, T], deadline: Deadline | None, retries: int | None) -> T:
        until = None if deadline is None else waiting.last_moment(deadline)

        def log(level: int, text: str) -> None:
            self._report(level, self.config.sanitize_text(text, rest.text.LONGEST_LINE))

        with translate_errors():
            return rest.driver.drive(steps, lambda call: self.send(call, retries=retries, until=until), log)

    @staticmethod
    def schema_from(file: str, *, key: str | None = None, source_conn_id: str | None = None) -> dict[str, Any]:
        """
        Propose a schema for the rows of a Parquet or Arrow file; see the guide on collections.

        The whole file is read, a batch at a time. This needs ``pyarrow``, and no Milvus.

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
