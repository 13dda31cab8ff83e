"""Who may talk to the server, and what pages may do: host names, origins, the token, limits on bodies, headers."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ostrack.serve.settings import Settings

__all__ = ["COOKIE", "Guard", "form_token", "pass_of", "token_fits"]

COOKIE = "ostrack"
_SMALL_BODY = 64 * 1024
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OPEN_PATHS = frozenset({"/login", "/static/app.css"})
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
}


class Guard:
    """ASGI middleware that every request passes first.

    - The ``Host`` must be one of ours: a name that somebody points at this machine (DNS rebinding) is refused.
    - What changes something, and every WebSocket, must come from a page of this server, where it tells its origin.
    - Where there is a token, it must be known: as a cookie (pages) or ``Authorization: Bearer`` (programs).
    - Bodies are small, uploads apart, which count their own bytes.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._pass = pass_of(settings.token) if settings.token is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it with a refusal."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if scope["type"] == "websocket":
            if refusal is None:
                await self._app(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008, "reason": refusal[1]})
            return
        # A page's files are asked for anew each time, and not sent again where they are the same.
        send = _with_headers(send, "no-cache" if scope["path"].startswith("/static/") else "no-store")
        if refusal is not None:
            await _answer(send, *refusal)
        elif scope["path"] == "/api/jobs" and scope["method"] == "POST":
            await self._app(scope, receive, send)
        else:
            await self._small(scope, receive, send)

    async def _small(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the whole body, as far as one is allowed, before anything is done with it."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message.get("body", b"")
            if len(body) > _SMALL_BODY:
                await _answer(send, 413, f"A request may have up to {_SMALL_BODY} bytes.")
                return
            if not message.get("more_body", False):
                break
        given = False

        async def replay() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        await self._app(scope, replay, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = {key.lower(): value.decode("latin-1") for key, value in scope["headers"]}
        host = headers.get(b"host", "")
        if not self._known_host(host):
            return 421, "This server is not known under that name."
        changes = scope["type"] == "websocket" or scope["method"] not in _SAFE
        origin = headers.get(b"origin")
        if changes and origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return 403, "That request came from another site."
        if changes and headers.get(b"sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return 403, "That request came from another site."
        if self._pass is None or scope["path"] in _OPEN_PATHS:
            return None
        if self._may_enter(headers) or (scope["path"] == "/" and scope["type"] == "http"):
            return None  # the page itself asks for the token
        return 401, "This server asks for its token."

    def _may_enter(self, headers: dict[bytes, str]) -> bool:
        kind, _, token = headers.get(b"authorization", "").partition(" ")
        if kind.lower() == "bearer" and token_fits(token.strip(), self._settings.token):
            return True
        return self._pass is not None and hmac.compare_digest(_cookie(headers.get(b"cookie", "")), self._pass)

    def _known_host(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        if name in _LOCAL or name in self._settings.hosts:
            return True
        return self._settings.any_address and _is_address(name)


def pass_of(token: str) -> str:
    """What the cookie holds: knowing it does not tell the token."""
    return hmac.new(token.encode(), b"ostrack serve cookie", hashlib.sha256).hexdigest()


def token_fits(given: str, token: str | None) -> bool:
    """Compare in constant time; everything fits where there is no token."""
    return token is None or hmac.compare_digest(given.encode(), token.encode())


def form_token(body: bytes) -> str:
    """The token in the body of the log-in form."""
    return parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0]


def _cookie(text: str) -> str:
    try:
        cookie = SimpleCookie(text)
    except CookieError:
        return ""
    value = cookie[COOKIE].value if COOKIE in cookie else ""
    return value if value.isascii() else ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _with_headers(send: Send, caching: str) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            extra = [(key.encode(), value.encode()) for key, value in _HEADERS.items()]
            present = {key.lower() for key, _ in message["headers"]}
            if b"cache-control" not in present:
                extra.append((b"cache-control", caching.encode()))
            message = {**message, "headers": [*message["headers"], *extra]}
        await send(message)

    return sending


async def _answer(send: Send, status: int, message: str) -> None:
    body = json.dumps({"error": message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
