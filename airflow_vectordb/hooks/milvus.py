"""The hook: an Airflow connection to Milvus or Zilliz Cloud."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.sdk import BaseHook

from airflow_vectordb import waiting
from airflow_vectordb._compat import AirflowNotFoundException, is_dag_test
from airflow_vectordb.hooks.connection_fields import CONNECTION_TYPE, DEFAULT_CONN_ID, HOOK_NAME
from airflow_vectordb.hooks.connection_reading import FIRST_PAUSES, PAUSES, reading
from airflow_vectordb.rest.driver import Sleep, adrive, drive
from airflow_vectordb.rest.text import LONGEST_LINE

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_vectordb.hooks.connection import ConnectionFields
    from airflow_vectordb.hooks.connection_reading import Reading
    from airflow_vectordb.rest.config import MilvusConfig
    from airflow_vectordb.rest.http.async_client import AsyncClient
    from airflow_vectordb.rest.http.call import Call
    from airflow_vectordb.rest.http.client import Client
    from airflow_vectordb.waiting.conditions import Condition, Pending, PollResult
    from airflow_vectordb.waiting.polling import Deadline

T = TypeVar("T")
#: What to do when there is no Airflow connection.
UNDEFINED = (
    f"Add it on Airflow's Connections page (type \"{HOOK_NAME}\") or by `airflow connections add`, or set the task's "
    "`milvus_conn_id` to one that is there."
)


class MilvusHook(BaseHook):
    """
    Talks to Milvus or Zilliz Cloud over its RESTful API v2.

    In a task::

        from airflow_vectordb.rest import collections

        with MilvusHook() as hook:
            names = hook.send(collections.list_())

    What ``send`` returns may be returned from a ``@task``: it is JSON-ready, and the next task gets dicts of it. A call
    that is made and not sent is a ``RuntimeWarning`` in the log.

    Calls are made by the functions of ``airflow_vectordb.rest.indexes``, ``collections``, ``entities``, ``aliases``,
    ``databases`` and ``import_jobs``. What they raise is in ``airflow_vectordb.rest.errors``, and one of Airflow's
    exceptions at the same time: ``AirflowFailException`` for what does not pass by itself (no retry of the task is
    used), ``AirflowException`` for what may pass.

    :param milvus_conn_id: id of an Airflow connection of type ``milvus``
    :param database: database of calls that name none; None: the connection's (its schema field)
    :param patient: whether the connection is known to be there, so that Airflow is asked for 30 s when it says that
        there is none, and not for 3 s
    """

    conn_name_attr = "milvus_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = CONNECTION_TYPE
    hook_name = HOOK_NAME

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Make the fields of the connection form; Airflow 3.1 asks for it, later ones read the provider info."""
        from airflow_vectordb.hooks.connection_form import form_widgets

        return form_widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Make labels and placeholders of the connection form; Airflow 3.1 asks for it."""
        from airflow_vectordb.hooks.connection_form import ui_field_behaviour

        return ui_field_behaviour()

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
        self._client: Client | None = None
        self._warned = patient

    def __enter__(self) -> MilvusHook:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @cached_property
    def _connection(self) -> ConnectionFields:
        from airflow_vectordb.hooks.connection import fields_of

        return fields_of(drive(self._reading(), lambda _: self.get_connection(self.milvus_conn_id), self._report))

    async def _aconnection(self) -> ConnectionFields:
        from airflow_vectordb.hooks.connection import fields_of

        return fields_of(await adrive(self._reading(), lambda _: self._aread(), self._report))

    async def _aread(self) -> Connection:
        try:
            return await self.aget_connection(self.milvus_conn_id)
        except AirflowNotFoundException:
            if not is_dag_test():
                raise
        # There, Airflow's database can be asked from tasks, and not from an event loop.
        return await asyncio.to_thread(self.get_connection, self.milvus_conn_id)

    def _reading(self) -> Reading:
        return reading(PAUSES if self.patient else FIRST_PAUSES)

    def _report(self, level: int, text: str) -> None:
        self.log.log(level, "%s", text)

    @cached_property
    def config(self) -> MilvusConfig:
        """
        Where the connection leads to. Its token is registered with Airflow's secrets masker.

        :raises InvalidParametersError: when the connection cannot be used as it is
        :raises AirflowNotFoundException: when there is none, after a few attempts
        """
        from airflow.sdk.log import mask_secret

        with _translate_errors():
            config = self._endpoint_of(self._connection)
        if config.token:
            mask_secret(config.token)
        return config

    async def aconfig(self) -> MilvusConfig:
        """
        Do as :attr:`config` does, from an event loop.

        :raises InvalidParametersError: when the connection cannot be used as it is
        :raises AirflowNotFoundException: when there is none, after a few attempts
        """
        from airflow_vectordb._compat import amask_secret

        with _translate_errors():
            config = self._endpoint_of(await self._aconnection())
        if config.token:
            await amask_secret(config.token)
        return config

    def console_link(self, collection: str | None = None) -> str | None:
        """
        Find where people look at a collection.

        :param collection: its name
        :return: a URL; empty: there is none; None: the connection has not been read
        """
        from airflow_vectordb.hooks.connection import console_link

        return console_link(self._connection, self.database, collection) if "_connection" in vars(self) else None

    def get_conn(self) -> Client:
        """Get the client; the same one each time, until :meth:`close`."""
        if self._client is None:
            from airflow_vectordb.rest.http.client import Client

            self._client = Client(self.config)
        return self._client

    async def get_async_conn(self) -> AsyncClient:
        """Get a new client for an event loop. Whoever asks for it closes it."""
        from airflow_vectordb.rest.http.async_client import AsyncClient

        return AsyncClient(await self.aconfig())

    def close(self) -> None:
        """Close all connections. A later call opens new ones."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def send(self, call: Call[T], *, retries: int | None = None) -> T:
        """
        Make a call.

        :param call: made by a function of ``airflow_vectordb.rest.indexes``, ``collections``, …
        :param retries: attempts after the first; None: the connection's
        :return: what the call returns
        :raises MilvusError: when the server refuses, or when it does not answer after all attempts
        """
        return self._send(call, retries, None)

    def _send(self, call: Call[T], retries: int | None, until: float | None) -> T:
        call.body  # noqa: B018 - which makes it one that was sent, even if the connection turns out to be missing
        with _translate_errors():
            return self.get_conn().send(call, retries=retries, until=until)

    def poll(self, condition: Condition, *, retries: int | None = None, deadline: Deadline | None = None) -> PollResult:
        """
        Poll once whether something is done.

        :param condition: what, one of ``airflow_vectordb.waiting.conditions``
        :param retries: attempts of each call after the first; None: the connection's
        :param deadline: when an answer is of no use any more; None: never
        :return: ``Done`` with a result, or ``Pending`` with the progress
        :raises MilvusError: when it failed, or when the server does not answer
        """
        with _translate_errors():
            verdict: PollResult = self._drive(condition.poll(waiting.Memory()), deadline, retries=retries)
            return verdict

    def wait(
        self,
        condition: Condition,
        deadline: Deadline,
        *,
        poll_interval: float,
        started: float | None = None,
        initial_result: Pending | None = None,
        server_confirmed: bool = False,
    ) -> Any:
        """
        Wait until something is done, with progress in the log.

        :param condition: what, one of ``airflow_vectordb.waiting.conditions``
        :param deadline: when to give up
        :param poll_interval: seconds, the longest pause between two polls
        :param started: seconds since the epoch: when the wait began; None: now
        :param initial_result: the result of a poll that has just been made; None: begin with one
        :param server_confirmed: whether Milvus has answered before: then an answer that is none of its own is an
            outage, and not the wrong address
        :return: what the wait returns, JSON-ready
        :raises MilvusError: when it failed, or was not done by the deadline
        """
        steps = waiting.poll_until_done(
            condition,
            deadline,
            poll_interval=poll_interval,
            started=time.time() if started is None else started,
            initial_result=initial_result,
            server_confirmed=server_confirmed,
        )
        with _translate_errors():
            return self._drive(steps, deadline, retries=0)

    def _drive(
        self, steps: Generator[Call[Any] | Sleep, Any, Any], deadline: Deadline | None, *, retries: int | None
    ) -> Any:
        until = None if deadline is None else waiting.last_moment(deadline)

        def log(level: int, text: str) -> None:
            self._report(level, self.config.sanitize_text(text, LONGEST_LINE))

        return drive(steps, lambda call: self._send(call, retries, until), log)

    def test_connection(self) -> tuple[bool, str]:
        """
        Try the connection, for the Test button of the Connections page.

        :return: whether it works, and what was reached or what is wrong
        """
        from airflow_vectordb.hooks.connection_test import check_connection, connection_in_environment

        try:
            connection = self.get_connection(self.milvus_conn_id)
        except AirflowNotFoundException as error:
            connection = connection_in_environment(self.milvus_conn_id)
            if connection is None:
                return False, str(error)
        return check_connection(connection, self.database)

    def _endpoint_of(self, connection: ConnectionFields) -> MilvusConfig:
        from airflow_vectordb.hooks.connection import config_from_connection

        warn, self._warned = not self._warned, True  # of one that cannot be used, more than once is asked
        return config_from_connection(connection, self.database, warn=warn)


@contextmanager
def _translate_errors() -> Iterator[None]:
    from airflow_vectordb.rest.errors import MilvusError

    try:
        yield
    except AirflowNotFoundException as error:
        if UNDEFINED in str(error):
            raise
        raise AirflowNotFoundException(f"{error}. {UNDEFINED}") from None
    except MilvusError as error:
        from airflow_vectordb.exceptions import as_airflow_exception

        raise as_airflow_exception(error) from error.__cause__


__all__ = ["MilvusHook"]
