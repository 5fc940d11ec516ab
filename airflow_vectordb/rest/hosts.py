"""Host names, and proxies from the environment."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv6Address
from urllib.parse import unquote

from airflow_vectordb.rest.errors import ConnectError

_VARIABLES = "ALL_PROXY, HTTPS_PROXY, HTTP_PROXY"


def host_problem(host: str) -> str | None:
    """Return the problem of a host name or bare address; libraries find it late, and in different ways."""
    if ":" in host:
        try:
            IPv6Address(host)
        except AddressValueError:
            return "it is not an IPv6 address"
        return None
    if not host.isascii():
        import idna

        try:
            host = idna.encode(host, uts46=True).decode()
        except idna.IDNAError:
            return "no host name is written like that"
    labels = host.lower().removesuffix(".").split(".")
    if "" in labels:
        return "it has an empty part"
    if max(map(len, labels)) > 63:
        return "a part of it is longer than 63 characters"
    if len(".".join(labels)) > 253:
        return "it is longer than 253 characters"
    if not all(re.fullmatch(r"[a-z0-9_-]+", label) for label in labels):
        return "it has characters that host names cannot have"
    return None


@dataclass(frozen=True)
class Proxy:
    """A proxy: scheme, host and port, and the value of the header ``Proxy-Authorization``, if it wants one."""

    url: str
    authorization: str | None = field(default=None, repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """Headers for the proxy."""
        return {} if self.authorization is None else {"Proxy-Authorization": self.authorization}


def proxy_for(url: str) -> Proxy | None:
    """Return the proxy for a server, by ``HTTPS_PROXY``, ``NO_PROXY`` and so on in the environment."""
    from requests.utils import get_environ_proxies, select_proxy

    given = select_proxy(url, get_environ_proxies(url))
    return read_proxy(given) if given else None


def read_proxy(given: str) -> Proxy:
    """
    Read the URL of a proxy.

    :param given: as in the environment; without a scheme, ``http``
    :raises ConnectError: when it cannot be used; nothing of it is in the message, since anything may be its password
    """
    scheme, separator, rest = given.strip().partition("://")
    if not separator:
        scheme, rest = "http", given.strip()
    scheme = scheme.lower()
    if scheme.startswith("socks"):
        raise _unusable("SOCKS is not supported")
    if scheme not in ("http", "https"):
        raise _unusable("a proxy begins with http:// or https://")
    login, _, address = rest.rpartition("@")
    if re.search(r"[/?#\\\s]", login):
        raise _unusable("in user and password, characters like # and / are written as %23 and %2F")
    found = re.fullmatch(r"(?:\[([^\[\]]*)\]|([^\[\]:/?#\\]*))(?::([0-9]*))?/?", address)
    if found is None or (found[3] and not 1 <= int(found[3][:6]) <= 65535):
        raise _unusable("it has to be http://host:port, or http://user:password@host:port with # and / as %23 and %2F")
    host = found[2] if found[1] is None else found[1]
    if host_problem(host) or (found[1] is not None) is not (":" in host):
        raise _unusable("the host is not a host name or address")
    port = f":{int(found[3])}" if found[3] else ""
    user, _, password = login.partition(":")
    authorization = None
    if login:
        # UTF-8: the libraries would encode it as Latin-1, and fail for other characters.
        pair = f"{unquote(user)}:{unquote(password)}".encode()
        authorization = f"Basic {b64encode(pair).decode()}"
    return Proxy(f"{scheme}://{f'[{host}]' if ':' in host else host}{port}", authorization)


def _unusable(why: str) -> ConnectError:
    reason = f"the proxy settings ({_VARIABLES}) cannot be used: {why}"
    return ConnectError(reason, hint="Correct them, or set NO_PROXY.", transient=False)
