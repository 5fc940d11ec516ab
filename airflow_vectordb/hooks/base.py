"""The basis of the hook's methods: the connection, sending calls, and waiting."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from airflow.sdk import BaseHook

from airflow_vectordb import rest, waiting
from airflow_vectordb._compat import AirflowNotFoundException, amask_secret, is_dag_test, mask_secret
from airflow_vectordb.exceptions import translate_errors
from airflow_vectordb.hooks import connection
from airflow_vectordb.hooks.connection_fields import DEFAULT_CONN_ID

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from typing_extensions import Self

    from airflow_vectordb.rest.http.call import Call

T = TypeVar("T")
P = ParamSpec("P")

#: Seconds; the limit for waits of the hook's ``load``, ``release`` and ``create_index``.
DEFAULT_TIMEOUT = 3600.0
#: Seconds, the longest pause between two polls.
POLL_INTERVAL = 30.0
#: Arguments of functions of ``rest``, and pymilvus's names for them, which the hook's methods have.
_RENAMED = {
    "keys": "property_keys",
    "partitions": "partition_names",
    "rerank": "ranker",
    "searches": "reqs",
    "vectors": "data",
}
_ARGUMENT = re.compile(rf"^({'|'.join(_RENAMED)})\b")
#: What servers without aliases, or without calls for them, answer.
_NO_ALIASES = (rest.errors.AliasNotFoundError, rest.errors.NoSuchEndpointError, rest.errors.UnsupportedError)
_reading_again = threading.Lock()


class HookBase(BaseHook):
    """What the groups of methods of :class:`~airflow_vectordb.hooks.milvus.MilvusHook` are made with."""

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
        self._clients: dict[int, rest.Client] = {}
        self._warned = patient

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @cached_property
    def config(self) -> rest.MilvusConfig:
        """
        The configuration from the connection. Its token is registered with Airflow's secrets masker.

        :raises InvalidParametersError: if the connection is invalid
        :raises AirflowNotFoundException: if there is none, after a few attempts
        """
        config = self._config_from(self._connection)
        if config.token:
            mask_secret(config.token)
        return config

    async def aconfig(self) -> rest.MilvusConfig:
        """Return the same as :attr:`config`, from an event loop."""
        config = self._config_from(await rest.driver.adrive(self._reading(), lambda _: self._aread(), self.log.log))
        if config.token:
            await amask_secret(config.token)
        return config

    @cached_property
    def _connection(self) -> connection.ConnectionFields:
        return rest.driver.drive(self._reading(), lambda _: self.get_connection(self.milvus_conn_id), self.log.log)

    async def _aread(self) -> Connection:
        try:
            return await self.aget_connection(self.milvus_conn_id)
        except AirflowNotFoundException:
            if not is_dag_test():
                raise
        # There, Airflow's database is accessible to tasks, but not from an event loop.
        return await asyncio.to_thread(self.get_connection, self.milvus_conn_id)

    def _reading(self) -> Generator[rest.driver.Sleep | None, Any, connection.ConnectionFields]:
        pauses = connection.PAUSES if self.patient else connection.FIRST_PAUSES
        return connection.read_patiently(pauses, self.milvus_conn_id)

    def _config_from(self, fields: connection.ConnectionFields) -> rest.MilvusConfig:
        # An unusable connection is read more than once; warn only once.
        warn, self._warned = not self._warned, True
        with translate_errors():
            return connection.config_from_connection(fields, self.database, warn=warn)

    def get_conn(self) -> rest.Client:
        """Return the client of this thread; the same one until :meth:`close`, unless the credentials are replaced."""
        thread = threading.get_ident()
        client = self._clients.get(thread)
        if client is None or client.config is not self.config:
            if client is not None:
                client.close()
            client = self._clients[thread] = rest.Client(self.config, server_confirmed=self.server_confirmed)
        return client

    def close(self) -> None:
        """Close all connections. A later call opens new ones."""
        while self._clients:
            self._clients.popitem()[1].close()

    def _close_unused(self) -> None:
        """Close the connections of threads that have ended."""
        for thread in set(self._clients) - {thread.ident for thread in threading.enumerate()}:
            if client := self._clients.pop(thread, None):  # not closed by another thread
                client.close()

    def send(self, call: Call[T], *, retries: int | None = None, until: float | None = None) -> T:
        """
        Make a call of ``airflow_vectordb.rest``.

        If the server refuses the credentials, the Airflow connection is read again, and used if it has changed: tokens
        are replaced while tasks are at work.

        :param retries: attempts after the first; None: the connection's
        :param until: deadline for an answer, by ``time.monotonic``; None: none
        :raises MilvusError: if the server refuses, or does not answer after all attempts
        """
        with translate_errors():
            # Asking makes it one that was sent, even if the connection turns out to be missing.
            if not hasattr(call, "body"):
                problem = (
                    f"send takes a call, such as rest.collections.list_(), not {rest.spelling.describe_value(call)}"
                )
                raise rest.errors.InvalidParametersError([problem], "arguments")
            client = self.get_conn()
            try:
                return client.send(call, retries=retries, until=until)
            except rest.errors.AuthenticationError:
                if not self.has_other_config(client.config):
                    raise
            return self.get_conn().send(call, retries=retries, until=until)

    def _send(self, function: Callable[P, Call[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Make a call with a function of ``rest`` that checks its arguments, which have other names in the hook."""
        with translate_errors():
            try:
                call = function(*args, **kwargs)
            except rest.errors.InvalidParametersError as error:
                problems = [_ARGUMENT.sub(lambda name: _RENAMED[name[0]], problem) for problem in error.problems]
                raise rest.errors.InvalidParametersError(problems, "arguments") from None
        return self.send(call)

    def has_other_config(self, refused: rest.MilvusConfig) -> bool:
        """Read the connection again, and return whether it has other credentials than those that were refused."""
        with _reading_again:
            if self.config != refused:  # another thread has read it
                return True
            again = copy(self)  # other threads go on with this one
            names = ("config", "_connection")
            for name in names:
                vars(again).pop(name, None)
            try:
                if again.config == refused:
                    return False
            except (AirflowNotFoundException, rest.errors.MilvusError):  # what the server said matters more
                return False
            self.log.info("Connection %r has changed: its new credentials are used", self.milvus_conn_id)
            vars(self).update({name: vars(again)[name] for name in names})
            return True

    def poll(self, condition: waiting.Condition) -> waiting.PollResult:
        """
        Poll once whether something is done.

        :return: ``Done`` with a result, or ``Pending`` with the progress
        :raises MilvusError: if it failed, or the server does not answer
        """
        return self.drive(condition.poll(waiting.Memory()))

    def wait(
        self,
        condition: waiting.Condition,
        deadline: waiting.Deadline,
        *,
        poll_interval: float,
        initial_result: waiting.Pending | None = None,
        server_confirmed: bool = False,
    ) -> Any:
        """
        Wait until something is done, as :func:`~airflow_vectordb.waiting.polling.poll_until_done` does.

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
        return self.drive(steps, deadline, retries=0)

    def _wait_for(self, condition: waiting.Condition, timeout: float) -> Any:
        deadline = waiting.Deadline(time.time() + timeout, "timeout", timeout)
        return self.wait(condition, deadline, poll_interval=POLL_INTERVAL)

    def drive(
        self,
        steps: Generator[Call[Any] | rest.driver.Sleep, Any, T],
        deadline: waiting.Deadline | None = None,
        retries: int | None = None,
    ) -> T:
        """
        Make the calls that a poll or a wait yields, and return its result.

        :param deadline: deadline for an answer; None: none
        :param retries: attempts of each call after the first; None: the connection's
        """
        until = None if deadline is None else waiting.last_moment(deadline)

        def log(level: int, text: str) -> None:
            self.log.log(level, self.config.sanitize_text(text, rest.text.LONGEST_LINE))

        with translate_errors():
            return rest.driver.drive(steps, lambda call: self.send(call, retries=retries, until=until), log)

    def describe_indexes(self, collection_name: str) -> list[rest.indexes.IndexDescription]:
        """Describe all indexes of a collection."""
        found: list[rest.indexes.IndexDescription] = []
        for name in self.send(rest.indexes.list_(collection_name)):
            with suppress(rest.errors.IndexNotFoundError):  # dropped since it was listed
                found += self.send(rest.indexes.describe(collection_name, name))
        return found

    def _own_name(self, described: rest.collections.Collection) -> str:
        """Return the name of a collection: Milvus 2.6 describes it under the requested alias."""
        if described.aliases is None or described.name in described.aliases:
            with suppress(*_NO_ALIASES):
                return self.send(rest.aliases.describe(described.name))
        return described.name

    def _aliases_of(self, described: rest.collections.Collection) -> Sequence[str]:
        """Return the aliases of a collection, including the requested name if that is one."""
        if described.aliases is not None:
            return described.aliases
        if self._own_name(described) != described.name:
            return [described.name]
        with suppress(*_NO_ALIASES):
            return self.send(rest.aliases.list_(described.name))
        return []

    def _describe_by_own_name(self, name: str) -> rest.collections.Collection:
        """Describe the collection behind a name, under its own name: an alias may be moved later."""
        described = self.send(rest.collections.describe(name))
        with suppress(rest.errors.PermissionDeniedError):  # to ask about aliases
            return replace(described, name=self._own_name(described))
        return described
