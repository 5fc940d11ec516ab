"""Web pages and odd requests: what no token is needed to refuse, and where one is."""

from __future__ import annotations

import base64
import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from airflow_vectordb.local import LocalMilvus, LocalMilvusError
from airflow_vectordb.local.errors import ApiError
from airflow_vectordb.local.guard import AllowedHosts, check_headers
from tests.support.serving import serve

LIST = "/v2/vectordb/collections/list"
JSON = "application/json"


@pytest.fixture(scope="module")
def free() -> Iterator[LocalMilvus]:
    """A server that wants no token."""
    with LocalMilvus(token=None) as running:
        yield running


def ask(
    server: LocalMilvus, method: str = "POST", path: str = LIST, body: bytes = b"{}", **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    """One request with these headers and no others."""
    address = urlsplit(server.uri)
    assert address.hostname
    connection = http.client.HTTPConnection(address.hostname, address.port or 0, timeout=60)
    try:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.putrequest(method, path, skip_host="Host" in given, skip_accept_encoding=True)
        for name, value in {"Content-Length": str(len(body)), **given}.items():
            connection.putheader(name, value.encode())
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


def raw(server: LocalMilvus, *pieces: bytes) -> bytes:
    """What comes back for these bytes, until the server closes the connection."""
    address = urlsplit(server.uri)
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        for piece in pieces:
            connection.sendall(piece)
        found = b""
        while piece := connection.recv(65536):
            found += piece
        return found


def credentials(server: LocalMilvus) -> tuple[str, str]:
    """Its user and password."""
    user, _, password = (server.token or "").partition(":")
    return user, password


def port(server: LocalMilvus) -> int:
    return urlsplit(server.uri).port or 0


# --- the name that it is called by ---


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "localhost.", "127.0.0.1", "127.8.0.1", "[::1]"])
def test_loopback_names_are_its_own(free: LocalMilvus, name: str) -> None:
    for host in (name, f"{name}:{port(free)}", f"{name}:80"):
        assert ask(free, Host=host)[0] == 200, host


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:19530",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil-localhost",
        "10.0.0.1",
        "0.0.0.0",
        "[::]",
        "[fe80::1]",
        "127.1",
        "2130706433",
        "localhost@evil.example",
        "evil.example/localhost",
        "localhost:x",
        "localhost, evil.example",
        "bücher.example",
        "::1",
        "",
        "a" * 300,
    ],
)
def test_other_names_are_refused(free: LocalMilvus, server: LocalMilvus, host: str) -> None:
    for running, headers in ((free, {}), (server, {"Authorization": f"Bearer {server.token}"})):
        for method, path in (("POST", LIST), ("GET", "/docs"), ("GET", "/openapi.json"), ("GET", "/nosuch")):
            status, body, _ = ask(running, method, path, Host=host, **headers)
            assert status == 403, (method, path)
            assert "does not answer to the name" in json.loads(body)["message"]


def test_a_request_without_a_name_is_refused(free: LocalMilvus) -> None:
    for version in (b"1.0", b"1.1"):
        answer = raw(
            free, b"POST %b HTTP/%b\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}" % (LIST.encode(), version)
        )
        assert answer.split(b"\r\n")[0].split()[1] == b"400", version


def test_names_that_it_is_told_of(tmp_path: Path) -> None:
    with LocalMilvus(tmp_path, allowed_hosts=["Milvus.lan", "192.0.2.7", "2001:db8::1"]) as running:
        token = {"Authorization": f"Bearer {running.token}"}
        for host in ("milvus.lan", "MILVUS.LAN.:80", "192.0.2.7", "[2001:db8:0::1]:19530", "localhost"):
            assert ask(running, Host=host, **token)[0] == 200, host
        for host in ("lan", "x.milvus.lan", "192.0.2.8"):
            assert ask(running, Host=host, **token)[0] == 403, host


@pytest.mark.parametrize("name", ["", "http://milvus.lan", "milvus.lan:19530", "milvus.lan/v2", "*", "a b"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no host name"):
        AllowedHosts.of("127.0.0.1", "127.0.0.1", ["milvus", name])


def test_a_name_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(LocalMilvusError, match="'' is no host name"):
        LocalMilvus(tmp_path, allowed_hosts=["milvus", ""]).start()


def test_serve_says_a_name_that_is_none(tmp_path: Path) -> None:
    with serve("--data", str(tmp_path), "--port", "0", "--allow-host", "a b") as process:
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, "is no host name" in errors, "Traceback" in errors) == (1, True, False)


def test_on_all_addresses_it_is_called_by_any_of_them() -> None:
    everywhere = AllowedHosts.of("0.0.0.0", "0.0.0.0", ["milvus"])
    for host in ("192.0.2.7", "0.0.0.0", "[2001:db8::1]", "localhost", "milvus"):
        assert host in everywhere
    assert "evil.example" not in everywhere
    named = AllowedHosts.of("Box.lan", "192.0.2.7")
    for host, its_own in (("box.lan", True), ("192.0.2.7", True), ("192.0.2.8", False), ("0.0.0.0", False)):
        assert (host in named) is its_own


# --- the page that it comes from ---


@pytest.mark.parametrize("kind", [JSON, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_another_page_cannot_use_it(free: LocalMilvus, server: LocalMilvus, kind: str) -> None:
    for running, token in ((free, {}), (server, {"Authorization": f"Bearer {server.token}"})):
        own = f"http://127.0.0.1:{port(running)}"
        drop = json.dumps({"collectionName": "c"}).encode()
        for site in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": ""},
            {"Origin": "http://127.0.0.1"},
            {"Origin": f"http://127.0.0.1:{port(running) + 1}"},
            {"Origin": f"http://localhost:{port(running)}"},
            {"Origin": own + ".evil.example"},
            {"Origin": f"ftp://127.0.0.1:{port(running)}"},
            {"Origin": own, "Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
            {"Sec-Fetch-Site": "nonsense"},
        ):
            headers = {"Content-Type": kind, **site, **token}
            status, body, _ = ask(running, path="/v2/vectordb/collections/drop", body=drop, **headers)
            assert status == 403, site
            assert "other web pages" in json.loads(body)["message"]
        for site in ({}, {"Origin": own}, {"Origin": own, "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}):
            assert ask(running, **{"Content-Type": kind, **site, **token})[0] == 200, site


def test_what_has_no_content_type_is_taken_as_by_milvus(free: LocalMilvus) -> None:
    assert ask(free)[0] == 200


def test_a_preflight_allows_nothing(free: LocalMilvus, server: LocalMilvus) -> None:
    wishes = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
        "Access-Control-Request-Private-Network": "true",
    }
    for running in (free, server):
        for origin, expected in (("https://evil.example", 403), (f"http://127.0.0.1:{port(running)}", 204)):
            status, _, headers = ask(running, "OPTIONS", body=b"", Origin=origin, **wishes)
            assert status == expected
            assert not [name for name in headers if name.startswith("access-control-")]


def test_a_page_may_lead_to_the_documentation_but_not_frame_it(free: LocalMilvus) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    status, _, headers = ask(free, "GET", "/docs", b"", **link)
    assert status == 200
    assert headers["x-frame-options"] == "DENY"
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "frame-ancestors 'none'" in policy
    assert ask(free, "GET", "/docs", b"", **{**link, "Sec-Fetch-Dest": "iframe"})[0] == 403
    assert (
        ask(free, "GET", "/openapi.json", b"", **{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"})[0]
        == 403
    )


def test_a_web_socket_is_none(free: LocalMilvus) -> None:
    wish = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
    }
    assert ask(free, "GET", "/docs", b"", Origin="https://evil.example", **wish)[0] == 403
    assert ask(free, "GET", LIST, b"", **wish)[0] == 404


def test_an_upgrade_is_not_made_and_does_not_hang(free: LocalMilvus) -> None:
    """Some clients ask for HTTP/2 with their first request, and send the next one on the same connection."""
    wish = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n{}"
    answer = raw(free, wish % LIST.encode())
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer
    assert "WebSocket" not in free.log()


# --- the token ---


def test_the_documentation_wants_the_token(server: LocalMilvus) -> None:
    for path in ("/", "/docs", "/openapi.json", "/redoc", "/docs/oauth2-redirect", "/nosuch", LIST):
        for given in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic cm9vdDp3cm9uZw=="}):
            status, _, headers = ask(server, "GET", path, b"", **given)
            assert status == 401, path
            # So that a browser asks for it.
            assert headers["www-authenticate"].startswith("Basic ")
        assert ask(server, "POST", path)[0] == 401
    # Not for a call: a page's script is not to make a browser ask.
    assert "www-authenticate" not in ask(server)[2]
    session = requests.Session()
    session.auth = credentials(server)
    assert session.get(f"{server.uri}/docs", timeout=60).status_code == 200
    assert session.get(f"{server.uri}/openapi.json", timeout=60).json()["paths"]
    assert session.post(server.uri + LIST, json={}, timeout=60).json()["code"] == 0
    # It is in no URL, where it would be kept.
    assert requests.get(f"{server.uri}/docs?token={server.token}", timeout=60).status_code == 401


def test_a_key_is_given_as_user_or_password() -> None:
    hosts = AllowedHosts()

    def given(name: str, text: str) -> list[tuple[bytes, bytes]]:
        return [(b"host", b"localhost"), (b"authorization", f"{name} ".encode() + text.encode())]

    def basic(text: str) -> list[tuple[bytes, bytes]]:
        return given("Basic", base64.b64encode(text.encode()).decode())

    for right in (given("Bearer", "kéy"), basic("kéy:"), basic(":kéy"), basic("kéy")):
        check_headers("GET", right, hosts, "kéy".encode())
    for wrong in (
        given("Bearer", "kéy:"),
        given("Bearer", ":kéy"),
        basic("kéy:x"),
        basic("x:kéy"),
        basic(":"),
        basic(""),
    ):
        with pytest.raises(ApiError, match="hasn't authenticated"):
            check_headers("GET", wrong, hosts, "kéy".encode())


def test_two_authorization_headers_are_refused(free: LocalMilvus, server: LocalMilvus) -> None:
    right, wrong = (f"authorization: Bearer {token}\r\n".encode() for token in (server.token, "root:wrong"))
    for running in (free, server):
        for headers in (right + wrong, wrong + right, right + right):
            answer = raw(
                running,
                b"POST %b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n%b\r\n{}"
                % (LIST.encode(), headers),
            )
            assert answer.startswith(b"HTTP/1.1 401 ")
            assert b"two Authorization headers" in answer


# --- requests that mean two things ---


@pytest.mark.parametrize(
    "headers",
    [
        b"Host: localhost\r\nHost: evil.example\r\nContent-Length: 2\r\n",
        b"Host: localhost\r\nHost: localhost\r\nContent-Length: 2\r\n",
        b"Host: localhost\r\nOrigin: http://localhost\r\nOrigin: null\r\nContent-Length: 2\r\n",
        b"Host: localhost\r\nContent-Length: 2\r\nContent-Length: 3\r\n",
        b"Host: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        b"Host: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n",
        b"Host: localhost\r\nTransfer-Encoding: identity\r\n",
        b"Host : localhost\r\nContent-Length: 2\r\n",
        b"Host: localhost\r\nContent-Length: -2\r\n",
    ],
)
def test_what_means_two_things_is_refused(free: LocalMilvus, headers: bytes) -> None:
    # After the body, a request that would be obeyed if the body were taken to end before it.
    smuggled = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}" % LIST.encode()
    before = free.log().count("collections/list 200")
    answer = raw(
        free,
        b"POST %b HTTP/1.1\r\nConnection: close\r\n%b\r\n{}" % (LIST.encode(), headers) + smuggled,
    )
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 ")), answer
    assert free.log().count("collections/list 200") == before
