"""The server behind the page: where it listens, and viser's words kept off stdout."""

from __future__ import annotations

import contextlib
import errno
import io
import socket
from collections.abc import Iterator
from typing import Any

from nerfkit.errors import NerfkitError
from nerfkit.viewer.guard import Guard, guarding, new_token
from nerfkit.viewer.requirements import require_viser

HOME = "127.0.0.1"
FIRST_PORT, PORTS = 7007, 100
CLOSING = 2.0  # seconds for a page to say goodbye: a busy one may not, and viser waits for 6 in all


class Server:
    """viser's server, its URL and its end.

    Args:
        host: an address of this machine to be reached at from elsewhere, with a token; None: from here only.
        port: None takes the first free one from 7007 on; 0 any.

    Raises:
        NerfkitError: viser is missing, no such address here, or the port is taken.
    """

    def __init__(self, host: str | None, port: int | None, label: str) -> None:
        viser = require_viser()

        class Quiet(viser.ViserServer):  # type: ignore[misc,name-defined]
            def request_share_url(self, verbose: bool = True) -> None:
                """Never publishes the view through viser's own relay, whoever asks."""

        port = free_port(host or HOME, port)
        self.token = None if host is None else new_token()
        with guarding(Guard(self.token), close_timeout=CLOSING), silence():
            self.viser: Any = Quiet(host=host or HOME, port=port, label=label, verbose=False)
        self.host, self.port = host, self.viser.get_port()
        self.viser.gui.configure_theme(
            control_width="medium", show_logo=False, show_share_button=False, brand_color=(228, 134, 20)
        )

    @property
    def url(self) -> str:
        """What to open in a browser."""
        if self.host is None:
            return f"http://localhost:{self.port}"
        name = socket.gethostname() if self.host in ("0.0.0.0", "::") else self.host
        return f"http://{f'[{name}]' if ':' in name else name}:{self.port}/?token={self.token}"

    def close(self) -> None:
        with silence():
            self.viser.stop()


def free_port(host: str, port: int | None) -> int:
    """The port to listen at.

    Raises:
        NerfkitError: the address isn't this machine's, the port is taken, or none is free.
    """
    for candidate in [port] if port is not None else range(FIRST_PORT, FIRST_PORT + PORTS):
        obstacle = _obstacle(host, candidate)
        if obstacle is None:
            return candidate
        if obstacle not in (errno.EADDRINUSE, errno.EACCES) or port is not None:
            raise NerfkitError(_words(host, candidate, obstacle))
    raise NerfkitError(f"no port from {FIRST_PORT} to {FIRST_PORT + PORTS - 1} is free; name another with --port")


def _obstacle(host: str, port: int) -> int | None:
    """Why one can't listen there: an errno; None if one can."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as asyncio does
            probe.bind((host, port))
    except socket.gaierror:
        return errno.EADDRNOTAVAIL
    except OSError as error:
        return error.errno or errno.EINVAL
    return None


def _words(host: str, port: int, obstacle: int) -> str:
    if obstacle == errno.EADDRINUSE:
        return f"--port {port}: is taken by another program; name another, or leave --port out to have a free one"
    if obstacle == errno.EACCES:
        return f"--port {port}: may not be used by this account; name one above 1023"
    return f"--host {host}: is no address of this machine; use 0.0.0.0 for all of them"


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """viser prints its address and its end on stdout, which is for results."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
