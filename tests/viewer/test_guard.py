"""Who may look: real requests to a real server."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator

import pytest

from nerfkit.errors import NerfkitError
from nerfkit.viewer.guard import Guard
from nerfkit.viewer.server import Server, free_port

viser = pytest.importorskip("viser", reason="needs the viewer's package: pip install nerfkit[viewer]")
connect = pytest.importorskip("websockets.sync.client").connect
InvalidStatus = pytest.importorskip("websockets.exceptions").InvalidStatus


@pytest.fixture(scope="module")
def local() -> Iterator[Server]:
    server = Server(None, 0, "local")
    yield server
    server.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    server = Server("127.0.0.1", 0, "shared")
    yield server
    server.close()


def get(server: Server, path: str = "/", **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", path, headers={"Connection": "close", **headers})
    return connection.getresponse()


def greet(server: Server, **headers: str) -> None:
    """Opens the websocket as the page does, and closes it. Raises InvalidStatus: refused."""
    protocol: list = [f"viser-v{viser.__version__}"]
    with connect(f"ws://127.0.0.1:{server.port}/", subprotocols=protocol, additional_headers=headers) as socket_:
        assert socket_.recv(timeout=10)


def test_this_machine_needs_no_token(local: Server) -> None:
    assert "token" not in local.url
    assert b"<html" in get(local).read()
    greet(local)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7007", "localhost.evil.example", "10.0.0.1", ""])
def test_a_name_that_others_let_point_here_is_refused(local: Server, host: str) -> None:
    answer = get(local, Host=host)
    assert answer.status == 403
    assert b"--host" in answer.read()


def test_malformed_requests_are_refused(local: Server, shared: Server, caplog: pytest.LogCaptureFixture) -> None:
    for server in (local, shared):
        assert get(server, Host="[").status == get(server, "//[", Host="[").status == 403
        assert get(server, Origin="http://[").status == 403
    assert get(shared, "//[?token=").status == 403
    assert "Traceback" not in caplog.text and "failed" not in caplog.text


def test_a_page_of_another_site_cannot_open_the_websocket(local: Server) -> None:
    greet(local, Origin=f"http://127.0.0.1:{local.port}")
    for origin in ("http://evil.example", "http://127.0.0.1:1", "null"):
        with pytest.raises(InvalidStatus, match="403"):
            greet(local, Origin=origin)


def test_without_the_token_nothing_is_served(shared: Server) -> None:
    wrong = "nerfkit=1; " + Guard(shared.token)._cookie_name + "=wrong"
    for path in ("/", "/index.html", "/?token=", "/?token=wrong", f"/?other={shared.token}", f"/{shared.token}"):
        answer = get(shared, path)
        assert answer.status == 403
        assert b"token" in answer.read()
        assert answer.headers["Set-Cookie"] is None
    assert get(shared, Cookie=wrong).status == 403
    with pytest.raises(InvalidStatus, match="403"):
        greet(shared)
    for named in (wrong, Guard(shared.token)._cookie_name + "=\xfc"):
        with pytest.raises(InvalidStatus, match="403"):
            greet(shared, Cookie=named)


def test_the_printed_url_opens_page_and_websocket(shared: Server) -> None:
    path = shared.url[shared.url.index("/?") :]
    answer = get(shared, path)
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    assert (answer.headers["Referrer-Policy"], answer.headers["Cache-Control"]) == ("no-referrer", "no-store")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    pair = cookie.split(";")[0]
    assert get(shared, Cookie=f"other=1; {pair}").status == 200
    greet(shared, Cookie=pair)
    with pytest.raises(InvalidStatus, match="403"):
        greet(shared, Cookie=pair, Origin="http://evil.example")


@pytest.mark.parametrize("up", ["/..", "/%2e%2e", "/..%2f..", "/assets/../../..", "//", "/%00/.."])
def test_no_file_beside_the_page_is_served(local: Server, up: str) -> None:
    for steps in (1, 6, 12):
        answer = get(local, up * steps + "/etc/passwd")
        assert b"root:" not in answer.read()
        own = get(local, up * steps + "/_viser.py")
        assert b"class ViserServer" not in own.read()


def test_the_token_is_in_no_log(shared: Server, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        path = shared.url[shared.url.index("/?") :]
        pair = get(shared, path).headers["Set-Cookie"].split(";")[0]
        greet(shared, Cookie=pair)
        get(shared, "/?token=wrong")
    assert str(shared.token) not in caplog.text


def test_each_server_has_a_token_of_its_own(shared: Server) -> None:
    other = Server("127.0.0.1", 0, "other")
    try:
        assert other.token != shared.token
        assert len(other.token or "") >= 24
        assert get(other, f"/?token={shared.token}").status == 403
    finally:
        other.close()


def test_nobody_can_publish_the_view(local: Server) -> None:
    assert local.viser.request_share_url() is None
    assert local.viser._share_tunnel is None


def test_a_taken_port_is_passed_by_or_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(NerfkitError, match=f"--port {port}: is taken"):
            Server(None, port, "")
    first = free_port("127.0.0.1", None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first))
        taken.listen()
        assert free_port("127.0.0.1", None) > first


def test_an_address_of_another_machine_is_told() -> None:
    with pytest.raises(NerfkitError, match=r"--host 192\.0\.2\.1: is no address of this machine"):
        Server("192.0.2.1", None, "")


def test_a_page_that_hangs_does_not_hold_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    server = Server(None, 0, "")
    with socket.create_connection(("127.0.0.1", server.port)) as page:
        words = [
            "GET / HTTP/1.1", f"Host: localhost:{server.port}", "Upgrade: websocket", "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Protocol: viser-v{viser.__version__}", "", "",
        ]  # fmt: skip
        page.sendall("\r\n".join(words).encode())
        assert page.recv(12) == b"HTTP/1.1 101"
        start = time.monotonic()
        server.close()
        assert time.monotonic() - start < 4.5
    assert not server.viser._websock_server._server_thread.is_alive()
    assert capfd.readouterr() == ("", "")


def test_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    Server(None, 0, "").close()
    assert capsys.readouterr().out == ""
