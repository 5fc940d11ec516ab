"""What both clients share: time-outs, certificates, and the errors that their libraries' exceptions stand for."""

from __future__ import annotations

import os
import re
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from airflow_vectordb.rest import errors
from airflow_vectordb.rest.config import MilvusConfig
from airflow_vectordb.rest.wording import duration


class Rule(NamedTuple):
    """
    A row of a client's table, from the exceptions of its library to errors: the first one that matches decides.

    :param when: what must hold besides the class
    :param deep: whether a cause of the exception that was caught matches, too
    """

    kinds: type[BaseException] | tuple[type[BaseException], ...]
    make: Callable[[Any, MilvusConfig], errors.MilvusError]
    when: Callable[[Any], bool] = lambda _: True
    deep: bool = False


def translate(error: Exception, config: MilvusConfig, rules: Sequence[Rule]) -> errors.MilvusError:
    """Return this package's error for a library's exception."""
    chain = list(causes(error))
    for rule in rules:
        for cause in chain if rule.deep else chain[:1]:
            if isinstance(cause, rule.kinds) and rule.when(cause):
                return rule.make(cause, config).with_context(redact=config.redact)
    # Without the library's words, which differ between libraries, and contain varying times.
    return errors.BrokenAnswerError("the connection ended before the answer did")


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its causes."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        current = waiting.pop(0)
        if not isinstance(current, BaseException) or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        waiting += [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]


def seconds_left(config: MilvusConfig, until: float | None) -> float | None:
    """Return the remaining time for an answer, if it is less than a call's usual time-out."""
    left = None if until is None else until - time.monotonic()
    return None if left is None or left >= config.socket_timeout else max(left, 0.001)


def ca_bundle(config: MilvusConfig) -> bool | str:
    """Return the path of the CA bundle, configured or from the environment; True: the usual one; False: none."""
    if config.verify is not True:
        return config.verify
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True


def unverified_context() -> ssl.SSLContext:
    """Return what trusts any server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def load_client_cert(context: ssl.SSLContext, config: MilvusConfig) -> None:
    """Load the configured client certificate, if there is one; raise TlsError if it cannot be used."""

    def refuse() -> str:  # without this, OpenSSL asks for the password on the terminal
        raise ValueError("its key must be unencrypted")

    if config.client_cert is None:
        return
    try:
        context.load_cert_chain(config.client_cert, password=refuse)
        return
    except ssl.SSLError:
        reason = "none with its private key"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    raise errors.TlsError(
        f"unusable client certificate {config.client_cert!r}",
        cause=f"Client certificate: {reason}",
        hint="Set `client_cert` to a PEM of certificate and key.",
    )


def after_deadline() -> errors.AnswerTimeoutError:
    """Return the error for a call whose deadline has passed."""
    return errors.AnswerTimeoutError("no answer before the deadline", hint="")


def unreachable(error: BaseException, config: MilvusConfig) -> errors.ConnectError:
    """Return the error for a host that cannot be reached."""
    chain = list(causes(error))
    failed = next((cause for cause in chain if isinstance(cause, OSError) and cause.errno), chain[-1])
    # asyncio says "Connect call failed ('10.0.0.1', 19530)" instead of "Connection refused".
    number = getattr(failed, "errno", None) or 0
    words = os.strerror(number) if number > 0 else getattr(failed, "strerror", None)
    return errors.ConnectError(words or str(failed) or type(failed).__name__)


def unusable_url(error: Exception, config: MilvusConfig) -> errors.ConnectError:
    """Return the error for a URL that the library refuses."""
    return errors.ConnectError(f"not a usable URL: {error}", transient=False)


def no_connection(error: object, config: MilvusConfig) -> errors.ConnectError:
    """Return the error for a connection that times out."""
    return errors.ConnectError(f"no connection within {duration(config.connect_timeout)}")


def no_answer(error: object, config: MilvusConfig) -> errors.AnswerTimeoutError:
    """Return the error for an answer that times out."""
    return errors.AnswerTimeoutError(f"no answer within {duration(config.socket_timeout)}")


def not_http(found: str, config: MilvusConfig) -> errors.MilvusError:
    """Return the error for an answer that is not HTTP: from a TLS port, or from another service."""
    if found.startswith("\x15\x03") or "\\x15\\x03" in found:  # a TLS alert
        return errors.TlsError("this port speaks TLS, but the URL begins with http://")
    return errors.NotMilvusError(f"what answers does not speak HTTP: {config.sanitize_text(found, 200)}")


def unreadable(error: Exception, config: MilvusConfig) -> errors.NotMilvusError:
    """Return the error for an answer that the library cannot parse."""
    return errors.NotMilvusError(str(error))


def proxy_refuses(error: object, config: MilvusConfig) -> errors.ConnectError:
    """Return the error for a failure at the proxy."""
    reason = "the proxy (HTTPS_PROXY, HTTP_PROXY) refuses or cannot be reached"
    return errors.ConnectError(reason, hint="Check it, or set NO_PROXY.")


def no_bundle(error: object, config: MilvusConfig) -> errors.TlsError:
    """Return the error for an unusable CA bundle."""
    path = ca_bundle(config)
    reason = f"no usable CA bundle at {path if isinstance(path, str) else 'its usual place'!r}"
    return errors.TlsError(reason, hint="Set `verify` to true, false or a readable PEM file.")


#: OpenSSL's reasons for an answer that is not TLS.
NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
#: Advice by a pattern in OpenSSL's words.
_TLS_HINTS = {
    # Alerts come from the server.
    "alert.*(certificate|unknown_ca|handshake_failure)": "Set a valid `client_cert`. The server must know its CA.",
    "mismatch|not valid for|doesn't match": "Set host to one of the certificate's names.",
    "issuer|self.signed": "Set `verify` to your CA's bundle. The API server and all workers need the file.",
    "expired|not yet valid": "Renew it. Until then, `verify` can be false.",
    "|".join(NOT_TLS): "Does the port speak TLS? If not, disable `secure`.",
}


def tls(error: ssl.SSLError, config: MilvusConfig) -> errors.NoAnswerError:
    """Return the error for a TLS failure: transient, caused by the CA bundle, or another one."""
    if error.library in ("X509", "PEM", "ASN1"):  # OpenSSL uses the library "SSL" for everything in a handshake
        return no_bundle(error, config)
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError):
        reason = f" ({error.reason})" if error.reason else ""
        return errors.BrokenAnswerError(f"the connection ended within the TLS handshake or answer{reason}")
    words = f"TLS: {getattr(error, 'verify_message', None) or error.reason or error}"
    hint = next((hint for pattern, hint in _TLS_HINTS.items() if re.search(pattern, words, re.IGNORECASE)), None)
    return errors.TlsError(words, hint=hint)
