"""Everything that can go wrong between this provider and Milvus.

::

    MilvusError                     .code .message .http_status .transient
    ├── NoAnswerError               nobody answered, or not to the end             transient
    │   ├── ConnectError            refused, unreachable, unknown host: surely without effect
    │   ├── AnswerTimeoutError      silence until the time-out
    │   ├── BrokenAnswerError       the connection ended before the answer did
    │   └── TlsError                certificate or TLS version                     permanent
    ├── NotMilvusError              an answer, but not one of Milvus's             permanent
    │   ├── NoSuchEndpointError     404: a server too old for the call, or another one
    │   └── RedirectError           the token must not follow it
    ├── UnavailableError            not ready, out of resources, timed out         transient
    │   ├── GatewayError            408, 5xx from a proxy, without a Milvus code
    │   └── RateLimitError          rejected by a limiter: surely without effect
    ├── AuthenticationError         wrong or missing credentials                   permanent, as all that follow
    ├── PermissionDeniedError       right credentials, not enough privileges
    ├── NotFoundError
    │   ├── DatabaseNotFoundError, CollectionNotFoundError, PartitionNotFoundError
    │   └── FieldNotFoundError, IndexNotFoundError, AliasNotFoundError
    ├── ConflictError               exists already, and is another
    ├── NotLoadedError              the collection or partition must be loaded first
    ├── BadRequestError             the server refuses the request's contents
    ├── LimitExceededError          memory, disk, quota, too many of something
    ├── UnsupportedError            this server cannot do it
    ├── ImportFailedError
    ├── UnexpectedError             code 65535, a panic, or a code on no list
    ├── InvalidParametersError      refused here, before any request               (also a ValueError)
    ├── IndexMismatchError          what exists is not what was asked for
    ├── IndexFailedError            the server gave up building
    └── WaitTimeoutError            not done by the deadline                       transient

``transient`` says whether the same call may succeed later. Which code becomes which class: ``codes.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Where:
    """
    What an error was about, in the words of its message.

    :param path: the call that failed, as ``indexes/create``; empty: it was not a call
    :param target: what it was about, as ``collection 'docs' (database 'default')``
    :param server: the base URL
    """

    path: str
    target: str
    server: str

    def __str__(self) -> str:
        what = " for ".join(part for part in (self.path, self.target) if part)
        return f"{what} at {self.server}{' failed' if self.path else ''}"


class MilvusError(Exception):
    """
    Base of all errors of this provider.

    :param message: the server's words, or what happened
    :param code: Milvus's error code; None when there is none
    :param http_status: the HTTP status of the answer; None when there was no answer
    :param where: the call that failed
    :param hint: what to do about it; None: the class's own hint, if it has one
    :param retry_after: seconds that the server asked to wait; None when it did not ask
    :param transient: whether the same call may succeed later; None: what the class says
    """

    transient: bool = False
    #: True: the call surely had no effect, so that even one that must not be made twice may be made again.
    without_effect: ClassVar[bool] = False
    advice: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        http_status: int | None = None,
        where: Where | None = None,
        hint: str | None = None,
        retry_after: float | None = None,
        transient: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.http_status = http_status
        self.where = where
        self.hint = self.advice if hint is None else hint
        self.retry_after = retry_after
        #: How often the call was made before this error was given out.
        self.attempts = 1
        if transient is not None:
            self.transient = transient

    def reword(self, edit: Callable[[str], str]) -> None:
        """
        Change the message.

        :param edit: is given the old one, returns the new one
        """
        self.message = edit(self.message)
        self.args = (self.message,)

    def __str__(self) -> str:
        facts = []
        if self.code is not None:
            facts.append(f"code {self.code}")
        if self.http_status is not None and self.http_status != 200:
            facts.append(f"HTTP {self.http_status}")
        prefix = str(self.where) if self.where else ""
        if prefix and self.attempts > 1:
            prefix += f" after {self.attempts} attempts"
        if facts:
            prefix += f" ({', '.join(facts)})" if prefix else ", ".join(facts)
        text = f"{prefix}: {self.message}" if prefix else self.message
        if not self.hint:
            return text
        return f"{text if text.endswith(('.', '!', '?')) else text + '.'} {self.hint}"

    def as_json(self) -> dict[str, Any]:
        """Make JSON-ready data of it, for :func:`error_from`."""
        return {
            "error": type(self).__name__,
            "message": self.message,
            "code": self.code,
            "http_status": self.http_status,
            "where": asdict(self.where) if self.where is not None else None,
            "hint": self.hint,
            "retry_after": self.retry_after,
            "transient": self.transient,
            "attempts": self.attempts,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.message, dict(self.__dict__)))


def _rebuild(cls: type[MilvusError], message: str, state: dict[str, Any]) -> MilvusError:
    error = cls.__new__(cls)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error


def error_from(data: Mapping[str, Any]) -> MilvusError:
    """
    Make an error of what its ``as_json`` returned.

    :param data: JSON-ready
    :raises ValueError: when it is something else
    """
    cls = globals().get(str(data.get("error")))
    if not (isinstance(cls, type) and issubclass(cls, MilvusError) and isinstance(data.get("message"), str)):
        raise ValueError(f"not an error of this provider: {data.get('error')!r}")
    where = data.get("where")
    try:
        state = {
            **{name: data.get(name) for name in ("message", "code", "http_status", "retry_after")},
            "where": Where(**where) if where is not None else None,
            "hint": str(data.get("hint") or ""),
            "transient": bool(data.get("transient")),
            "attempts": int(data.get("attempts", 1)),
        }
        if issubclass(cls, InvalidParametersError):
            state["problems"] = tuple(map(str, data.get("problems") or ()))
    except (TypeError, ValueError) as error:
        raise ValueError(f"not an error of this provider: {error}") from error
    return _rebuild(cls, data["message"], state)


class NoAnswerError(MilvusError):
    """There is no whole answer: the call may or may not have had an effect."""

    transient = True


class ConnectError(NoAnswerError):
    """No connection came about: nothing was sent."""

    without_effect = True
    advice = "Is the server up, and are host and port of the connection right? Milvus listens on 19530."


class AnswerTimeoutError(NoAnswerError):
    """The server was silent until the time-out. It may still do the work."""

    advice = "The extra `timeout` of the connection is the number of seconds that one call gets."


class BrokenAnswerError(NoAnswerError):
    """The connection was closed before the answer was complete."""


class TlsError(NoAnswerError):
    """The TLS handshake failed for a reason that does not pass by itself."""

    transient = False
    without_effect = True
    advice = (
        "Check `secure` (or the URL's scheme): does this port speak TLS? For a certificate of your own CA, set the "
        "connection's extra `verify` to the path of its bundle (PEM)."
    )


class NotMilvusError(MilvusError):
    """Something answered that is not Milvus's RESTful API."""

    advice = "Do host and port of the connection lead to Milvus (not to its WebUI, Attu, or a proxy's page)?"


class NoSuchEndpointError(NotMilvusError):
    """HTTP 404 without a Milvus answer."""

    advice = (
        "This server has no such endpoint: it is older than the call (the API's version 2 came with Milvus 2.4), or "
        "host and port of the connection lead to something else."
    )


class RedirectError(NotMilvusError):
    """The server wants the call to go elsewhere. It does not go: the token would go with it."""

    advice = (
        "Set the connection's host to the final URL; redirects are not followed, so that the token goes nowhere else."
    )


class UnavailableError(MilvusError):
    """The server cannot do it now."""

    transient = True


class GatewayError(UnavailableError):
    """A proxy, load balancer or half-started server answered in Milvus's place."""


class RateLimitError(UnavailableError):
    """Rejected by a limiter, before any work was done."""

    without_effect = True


class AuthenticationError(MilvusError):
    """The server does not accept the credentials, or wants some."""

    advice = "Check login and password of the connection. An API key goes into the password, with the login left empty."


class PermissionDeniedError(MilvusError):
    """The user is known, and lacks a privilege."""

    advice = "Grant the missing privilege to a role of the connection's user."


class NotFoundError(MilvusError):
    """Something that the call names does not exist."""


class DatabaseNotFoundError(NotFoundError):
    """The database does not exist."""

    advice = "Check the task's `database` and the connection's schema field; create the database if it is to exist."


class CollectionNotFoundError(NotFoundError):
    """The collection does not exist in this database."""

    advice = "Check the collection's name and the database; create the collection in a task before this one."


class PartitionNotFoundError(NotFoundError):
    """The partition does not exist."""


class FieldNotFoundError(NotFoundError):
    """The collection has no such field."""


class IndexNotFoundError(NotFoundError):
    """The collection has no index of this name."""


class AliasNotFoundError(NotFoundError):
    """The alias does not exist."""


class ConflictError(MilvusError):
    """Something of that name or on that field exists already, and is another."""


class NotLoadedError(MilvusError):
    """The collection or partition is not loaded."""

    advice = "Load the collection first."


class BadRequestError(MilvusError):
    """The server refuses what the request contains."""


class LimitExceededError(MilvusError):
    """Out of memory, disk or quota, or too many of something."""


class UnsupportedError(MilvusError):
    """This server cannot do what was asked."""


class ImportFailedError(MilvusError):
    """An import job failed."""


class UnexpectedError(MilvusError):
    """An error without a code of its own."""


class InvalidParametersError(MilvusError, ValueError):
    """
    Refused before the first request (or before the first one that changes something).

    :param problems: everything that is wrong, one sentence each
    :param about: what was looked at, as ``index parameters for collection 'docs'``
    """

    def __init__(self, problems: Sequence[str], about: str = "parameters") -> None:
        self.problems = tuple(problems)
        if len(self.problems) == 1:
            text = f"invalid {about}: {self.problems[0]}"
        else:
            lines = "".join(f"\n  {number}. {problem}" for number, problem in enumerate(self.problems, start=1))
            text = f"invalid {about}, {len(self.problems)} problems:{lines}"
        super().__init__(text)

    def as_json(self) -> dict[str, Any]:
        """Make JSON-ready data of it, for :func:`error_from`."""
        return {**super().as_json(), "problems": list(self.problems)}


class IndexMismatchError(ConflictError):
    """The index that exists is not the one that was asked for."""


class IndexFailedError(MilvusError):
    """The server gave up building an index."""


class WaitTimeoutError(MilvusError):
    """What was waited for was not done by the deadline."""

    transient = True


__all__ = [
    "AliasNotFoundError",
    "AnswerTimeoutError",
    "AuthenticationError",
    "BadRequestError",
    "BrokenAnswerError",
    "CollectionNotFoundError",
    "ConflictError",
    "ConnectError",
    "DatabaseNotFoundError",
    "FieldNotFoundError",
    "GatewayError",
    "ImportFailedError",
    "IndexFailedError",
    "IndexMismatchError",
    "IndexNotFoundError",
    "InvalidParametersError",
    "LimitExceededError",
    "MilvusError",
    "NoAnswerError",
    "NoSuchEndpointError",
    "NotFoundError",
    "NotLoadedError",
    "NotMilvusError",
    "PartitionNotFoundError",
    "PermissionDeniedError",
    "RateLimitError",
    "RedirectError",
    "TlsError",
    "UnavailableError",
    "UnexpectedError",
    "UnsupportedError",
    "WaitTimeoutError",
    "Where",
    "error_from",
]
