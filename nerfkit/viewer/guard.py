"""Who may look: on this machine its own pages, from elsewhere whoever has the token.

viser serves everyone who reaches its port. Its pages and its websocket both begin as an HTTP request, which is judged
here before viser sees it:

- a websocket that another site's page opens names that site in ``Origin`` (RFC 6455, section 10.2) and is refused;
- without a token, only names of this machine are accepted as ``Host``, or a page could reach the port under a name of
  its own that it lets point here (DNS rebinding);
- with one, the URL ``/?token=…`` is answered with a cookie and the way to ``/``; nothing else is served without it.
"""

from __future__ import annotations

import hashlib
import hmac
import http
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
Handler = Callable[[Any, Any], Any]  # of websockets: connection, request -> response, or None to go on


def new_token() -> str:
    """144 random bits, as part of a URL."""
    return secrets.token_urlsafe(18)


@dataclass(frozen=True)
class Guard:
    """Judges requests; ``token`` None: only from this machine."""

    token: str | None = None

    def refusal(self, path: str, headers: Any) -> str | None:
        """Why a request isn't answered, or None. ``headers`` has ``get``."""
        try:
            return self._refusal(path, headers)
        except ValueError:  # brackets of no address
            return "the request is malformed"

    def _refusal(self, path: str, headers: Any) -> str | None:
        host, origin = headers.get("Host") or "", headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return "this page belongs to another site"
        if self.token is None:
            if urlsplit(f"//{host}").hostname not in LOCAL_NAMES:
                return "this viewer answers its own machine only; start it with --host to be reached by other names"
            return None
        if self._has_cookie(headers) or self._asks_with_token(path):
            return None
        return "the token is missing or wrong; open the whole URL that nerfkit view has printed"

    def admission(self, path: str, headers: Any) -> str | None:
        """The cookie to answer a request with that brings the right token in its URL."""
        if self.token is None or not self._asks_with_token(path):
            return None
        return f"{self._cookie_name}={self.token}; HttpOnly; SameSite=Strict; Path=/"

    @property
    def _cookie_name(self) -> str:
        """Its own for each token: cookies don't tell ports apart, and several viewers may run on one machine."""
        return f"nerfkit_{hashlib.sha256((self.token or '').encode()).hexdigest()[:8]}"

    def _has_cookie(self, headers: Any) -> bool:
        try:
            found = SimpleCookie(headers.get("Cookie") or "").get(self._cookie_name)
        except CookieError:
            return False
        return found is not None and self._is_token(found.value)

    def _asks_with_token(self, path: str) -> bool:
        return self._is_token(parse_qs(urlsplit(path).query).get("token", [""])[0])

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(errors="replace"), (self.token or "").encode())


@contextmanager
def guarding(guard: Guard, close_timeout: float = 10.0) -> Iterator[None]:
    """Whatever server ``websockets`` starts meanwhile asks the guard first: viser passes no hook of ours on.

    Args:
        close_timeout: seconds that a page has to say goodbye in, which viser doesn't pass on either.
    """
    from websockets.asyncio import server

    serve = server.serve

    def guarded(*args: Any, process_request: Handler | None = None, **options: Any) -> Any:
        return serve(*args, process_request=_asking(guard, process_request), close_timeout=close_timeout, **options)

    vars(server)["serve"] = guarded
    try:
        yield
    finally:
        vars(server)["serve"] = serve


def _asking(guard: Guard, then: Handler | None) -> Handler:
    def process_request(connection: Any, request: Any) -> Any:
        refusal = guard.refusal(request.path, request.headers)
        if refusal is not None:
            return connection.respond(http.HTTPStatus.FORBIDDEN, f"nerfkit: {refusal}\n")
        cookie = guard.admission(request.path, request.headers)
        if cookie is not None and request.headers.get("Upgrade") is None:
            response = connection.respond(http.HTTPStatus.SEE_OTHER, "")
            response.headers["Set-Cookie"], response.headers["Location"] = cookie, "/"
            response.headers["Referrer-Policy"], response.headers["Cache-Control"] = "no-referrer", "no-store"
            return response
        return None if then is None else then(connection, request)

    return process_request
