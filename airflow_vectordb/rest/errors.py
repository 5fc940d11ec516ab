"""Everything that can go wrong between this provider and Milvus.

::

    MilvusError                     .code .message .http_status .transient
    ├── NoAnswerError               no answer, or an incomplete one                transient
    │   ├── ConnectError            refused, unreachable, unknown host: not executed
    │   ├── AnswerTimeoutError      silence until the time-out
    │   ├── BrokenAnswerError       the connection ended before the answer did
    │   └── TlsError                certificate or TLS version                     permanent
    ├── NotMilvusError              an answer, but not one of Milvus's             permanent
    │   ├── NoSuchEndpointError     404: a server too old for the call, or another one
    │   └── RedirectError           the token must not follow it
    ├── UnavailableError            not ready, out of resources, timed out         transient
    │   ├── GatewayError            408, 5xx from a proxy, without a Milvus code
    │   └── RateLimitError          rejected by a rate limit: not executed
    ├── AuthenticationError         wrong or missing credentials                   permanent, as all that follow
    ├── PermissionDeniedError       right credentials, not enough privileges
    ├── NotFoundError
    │   ├── DatabaseNotFoundError, CollectionNotFoundError, PartitionNotFoundError
    │   └── FieldNotFoundError, IndexNotFoundError, AliasNotFoundError
    ├── ConflictError               something else exists already
    ├── NotLoadedError              the collection or partition must be loaded first
    ├── BadRequestError             the server refuses the request's contents
    ├── LimitExceededError          memory, disk, quota, too many of something
    ├── UnsupportedError            this server cannot do it
    ├── UnexpectedError             code 65535, a panic, or a code on no list
    ├── InvalidParametersError      refused here, before any request               (also a ValueError)
    ├── IndexMismatchError          the existing index differs from the request
    ├── IndexFailedError, ImportFailedError   the server gave up
    └── WaitTimeoutError            not done by the deadline                       transient

``transient`` says whether the same call may succeed later. Which code becomes which class: ``codes.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, ClassVar, TypeVar

from airflow_vectordb.rest.error_text import ErrorText
from airflow_vectordb.rest.wording import Where as Where

E = TypeVar("E", bound="MilvusError")


class MilvusError(ErrorText, Exception):
    """
    Base of all errors of this provider. Its text has the cause, the advice, where, and the server's code and words.

    :param message: the server's words, or what happened
    :param code: Milvus's error code; None when there is none
    :param http_status: the HTTP status of the answer; None when there was no answer
    :param where: the call that failed
    :param cause: what happened, in short; None: the class's own words for what the server says, else the message
    :param hint: what to do about it; None: the class's own hint, if it has one
    :param retry_after: seconds that the server asked to wait; None when it did not ask
    :param transient: whether the same call may succeed later; None: what the class says
    """

    transient: bool = False
    #: Whether the call certainly had no effect, so that even one that is not idempotent may be retried.
    not_executed: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        http_status: int | None = None,
        where: Where | None = None,
        cause: str | None = None,
        hint: str | None = None,
        retry_after: float | None = None,
        transient: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.http_status = http_status
        self.where = where
        self.cause = cause or ""
        self.hint = self.advice if hint is None else hint
        self.retry_after = retry_after
        #: Number of attempts before this error was raised.
        self.attempts = 1
        if transient is not None:
            self.transient = transient

    def with_context(
        self: E,
        *,
        where: Where | None = None,
        attempts: int | None = None,
        cause: str | None = None,
        hint: str | None = None,
        transient: bool | None = None,
        redact: Callable[[str], str] = str,
    ) -> E:
        """
        Return a copy that says more, with the same traceback and ``__cause__``; what is None stays as it is.

        Errors are not modified: to add context, raise such a copy. ``redact`` removes secrets.
        """
        context = {"where": where, "attempts": attempts, "cause": cause, "hint": hint, "transient": transient}
        state = {**vars(self), **{name: value for name, value in context.items() if value is not None}}
        state |= {"message": redact(state["message"]), "cause": redact(state["cause"])}
        copy = rebuild(type(self), state)
        copy.__cause__ = self.__cause__  # not this error, whose traceback would repeat it
        return copy.with_traceback(self.__traceback__)

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready data, for :func:`error_from`."""
        where = self.where and asdict(self.where)
        return {"error": type(self).__name__, "transient": self.transient, **vars(self), "where": where}

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuild, (type(self), vars(self).copy())


def rebuild(cls: type[E], state: Mapping[str, Any]) -> E:
    """Return an error with these attributes."""
    error = cls.__new__(cls, state["message"])
    vars(error).update(state)
    return error


def error_from(data: Mapping[str, Any]) -> MilvusError:
    """Return the error whose ``as_json`` this is; raise ValueError if it is something else."""
    cls = globals().get(str(data.get("error")))
    if not (isinstance(cls, type) and issubclass(cls, MilvusError) and isinstance(data.get("message"), str)):
        raise ValueError(f"not an error of this provider: {data.get('error')!r}")
    # Another version may not have all of them, or others.
    state = {"transient": cls.transient, **vars(MilvusError(data["message"]))}
    state |= {name: value for name, value in data.items() if name in (*state, "problems")}
    state |= {name: str(state[name] or "") for name in ("cause", "hint")}
    try:
        state["where"] = state["where"] and Where(**state["where"])
        state["attempts"] = int(state["attempts"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"not an error of this provider: {error!r}") from error
    return rebuild(cls, state)


class NoAnswerError(MilvusError):
    """There is no complete answer: the call may or may not have had an effect."""

    transient = True
    cause_template = "No answer from {server}: {words}"
    advice = "Is it up? Check host and port."


class ConnectError(NoAnswerError):
    """No connection was made: nothing was sent."""

    not_executed = True
    cause_template = "No connection to {server}: {words}"


class AnswerTimeoutError(NoAnswerError):
    """The server was silent until the time-out. It may still do the work."""

    cause_template = "{server}: {words}"
    advice = "Try again, or raise the connection's `timeout`."


class BrokenAnswerError(NoAnswerError):
    """The connection was closed before the answer was complete."""

    cause_template = "{server}: {words}"
    advice = "A retry may help; see its log."


class TlsError(NoAnswerError):
    """The TLS handshake failed for a reason that is not transient."""

    transient = False
    not_executed = True
    cause_template = "No TLS with {server}: {words}"
    advice = "Check `secure` and `verify` of the connection."


class NotMilvusError(MilvusError):
    """Something answered that is not Milvus's RESTful API."""

    cause_template = "The server at {server} is not Milvus: {words}"
    advice = "Check host and port."


class NoSuchEndpointError(NotMilvusError):
    """HTTP 404 without a Milvus answer."""

    cause_template = "{server} has no {path}"
    advice = "Is it Milvus 2.4 or later? Check host and port."


class RedirectError(NotMilvusError):
    """The server redirects the call. Redirects are not followed, since the token would be sent along."""

    cause_template = "{words}; not followed"
    advice = "Set the connection's host to the final URL."


class UnavailableError(MilvusError):
    """The server cannot do it now."""

    transient = True
    cause_template = "Milvus cannot do it now: {words}"
    advice = "A retry may help; is the cluster healthy?"


class GatewayError(UnavailableError):
    """A proxy, load balancer or half-started server answered in Milvus's place."""

    cause_template = "HTTP {status} from {server}"
    advice = "A retry may help; is Milvus up behind it?"


class RateLimitError(UnavailableError):
    """Rejected by a rate limit, before any work was done."""

    not_executed = True
    cause_template = "A rate limit rejects the call"
    advice = "Retry later; run fewer tasks at once (a pool)."


class AuthenticationError(MilvusError):
    """The server rejects the credentials, or requires some."""

    cause_template = "Milvus does not accept the credentials"
    advice = "Check login and password (an API key: password alone)."


class PermissionDeniedError(MilvusError):
    """The connection's user lacks a privilege."""

    cause_template = "No privilege {privilege} for user {user} in database {database}"
    advice = "Grant it to the user's role."


class NotFoundError(MilvusError):
    """Something that the call names does not exist."""

    advice = "Check the names."


class DatabaseNotFoundError(NotFoundError):
    """The database does not exist."""

    cause_template = "Database {database} does not exist"
    advice = "Create it; check `database` and the schema field."


class CollectionNotFoundError(NotFoundError):
    """The collection does not exist."""

    cause_template = "Collection {collection} does not exist"
    advice = "Create it first, or check its name and the database."


class PartitionNotFoundError(NotFoundError):
    """The partition does not exist."""

    cause_template = "Partition {partition} of collection {collection} does not exist"
    advice = "Check its name, or create it."


class FieldNotFoundError(NotFoundError):
    """The collection has no such field."""

    cause_template = "Collection {collection} has no field {field}"
    advice = "Check its name against the schema."


class IndexNotFoundError(NotFoundError):
    """The collection has no such index, or none at all."""

    cause_template = "Collection {collection} has no index {index}"
    advice = "Check its name, or create it."


class AliasNotFoundError(NotFoundError):
    """The alias does not exist."""

    cause_template = "Alias {alias} does not exist"
    advice = "Check its name, or create it."


class ConflictError(MilvusError):
    """Something else with that name or on that field exists already."""

    cause_template = "It already exists: {words}"
    advice = "Use another name, or drop the existing one."


class NotLoadedError(MilvusError):
    """The collection or partition is not loaded."""

    cause_template = "Collection {collection} is not loaded"
    advice = "Load it first (LoadCollectionOperator)."


class BadRequestError(MilvusError):
    """The server refuses what the request contains."""

    cause_template = "Milvus refuses: {words}"
    advice = "Correct the request."


class LimitExceededError(MilvusError):
    """Out of memory, disk or quota, or too many of something."""

    cause_template = "A limit of Milvus is reached: {words}"
    advice = "Free some of it, or raise the limit."


class UnsupportedError(MilvusError):
    """This server does not support the request."""

    cause_template = "This Milvus does not support it: {words}"
    advice = "Use a feature that it has, or a newer Milvus."


class ImportFailedError(MilvusError):
    """An import job failed."""

    cause_template = "The import failed: {words}"
    advice = "Correct the files, and import again."


class UnexpectedError(MilvusError):
    """An error without a code of its own."""

    cause_template = "Milvus refuses: {words}"
    advice = "Correct it, or see Milvus's log."


class InvalidParametersError(MilvusError, ValueError):
    """
    Refused before the first request (or before the first one that changes something).

    :param problems: everything that is wrong, one sentence each
    :param checked: what was checked, as ``index parameters for collection 'docs'``
    :param source: where it comes from, as ``index.json``; None: not said
    """

    def __init__(self, problems: Sequence[str], checked: str = "parameters", source: str | None = None) -> None:
        self.problems = list(problems)
        text = f"invalid {checked}: {self.problems[0]}"
        if len(self.problems) > 1:
            lines = "".join(f"\n  {number}. {problem}" for number, problem in enumerate(self.problems, start=1))
            text = f"invalid {checked}, {len(self.problems)} problems:{lines}"
        super().__init__(text if source is None else f"{text} (from {source[:120]!r})")


class IndexMismatchError(ConflictError):
    """The existing index differs from the request."""

    cause_template = ""
    advice = "Drop it first, or request the existing one."


class IndexFailedError(MilvusError):
    """The server gave up building an index."""

    advice = "Drop it first (DropIndexOperator)."


class WaitTimeoutError(MilvusError):
    """The wait did not end by its deadline."""

    transient = True
    advice = "A retry continues to wait."
