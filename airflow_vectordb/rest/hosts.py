"""Host names, and proxies from the environment."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv6Address
from urllib.parse import unquote

from airflow_vectordb.rest.errors import ConnectError

_VARIABLES = "ALL_PROXY, HTTPS_PROXY, HTTP_PROXY"
# Scheme, login, host or [address], port.
_PROXY = re.compile(
    r"(?:(https?)://)?(?:([^/?#\\\s]*)@)?(\[[^\[\]]*\]|[^\[\]:/?#\\@]*)(?::([0-9]{0,5}))?/?", re.IGNORECASE
)
_USABLE = "write http://host:port, or http://user:password@host:port with # and / as %23 and %2F; no SOCKS"


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
            return "it is not a valid host name"
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
    found = _PROXY.fullmatch(given.strip())
    scheme, login, host, digits = found.groups(default="") if found else ("", "", "", "")
    name = host.strip("[]")
    is_address = ":" in name
    port = int(digits) if digits else None
    if host_problem(name) or host.startswith("[") is not is_address or port == 0 or (port or 0) > 65535:
        reason = f"the proxy settings ({_VARIABLES}) cannot be used: {_USABLE}"
        raise ConnectError(reason, hint="Correct them, or set NO_PROXY.", transient=False)
    authorization = None
    if login:
        # UTF-8: the libraries would encode it as Latin-1, and fail for other characters.
        user, _, password = login.partition(":")
        pair = f"{unquote(user)}:{unquote(password)}".encode()
        authorization = f"Basic {b64encode(pair).decode()}"
    return Proxy(f"{scheme.lower() or 'http'}://{host}" + ("" if port is None else f":{port}"), authorization)
