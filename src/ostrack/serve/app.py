"""The web application: the page, the log-in where there is a token, and the API behind the guard."""

from __future__ import annotations

import asyncio
import hmac
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.staticfiles import StaticFiles

from ostrack import __version__
from ostrack.serve.api import build_router
from ostrack.serve.desk import Desk
from ostrack.serve.runner import Runner
from ostrack.serve.security import COOKIE, Guard, form_token, pass_of, token_fits
from ostrack.serve.settings import Settings
from ostrack.serve.sockets import build_sockets
from ostrack.serve.workspace import Workspace

__all__ = ["create_app"]

STATIC = Path(__file__).parent / "static"
_YEAR_S = 365 * 86400


def create_app(settings: Settings) -> FastAPI:
    """Build the application; work begins with its start and ends with its shutdown.

    Args:
        settings: What the server may do.

    Raises:
        OSTrackError: The data folder cannot be used.
    """
    space = Workspace(settings)
    runner = Runner(space)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        space.hub.start(asyncio.get_running_loop())
        runner.start()
        yield
        runner.stop()
        space.close()

    # No pages of documentation: those that FastAPI makes load scripts from elsewhere.
    app = FastAPI(
        title="ostrack", version=__version__, lifespan=life, docs_url=None, redoc_url=None,
        openapi_url="/api/openapi.json",
    )  # fmt: skip
    app.add_middleware(Guard, settings=settings)
    app.include_router(build_router(Desk(space, runner)))
    app.include_router(build_sockets(space))
    _add_pages(app, settings)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")

    @app.exception_handler(AnyHTTPException)
    async def told(request: Request, error: AnyHTTPException) -> JSONResponse:
        message = error.detail if isinstance(error, HTTPException) else "There is nothing here."
        return JSONResponse({"error": message}, error.status_code, headers=error.headers)

    @app.exception_handler(sqlite3.Error)
    async def unwritten(request: Request, error: sqlite3.Error) -> JSONResponse:
        return JSONResponse({"error": "The server cannot write its database; its disk may be full."}, 507)

    @app.exception_handler(RequestValidationError)
    async def misunderstood(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        return JSONResponse({"error": f"{where}: {first['msg']}" if where else first["msg"]}, 422)

    return app


def _add_pages(app: FastAPI, settings: Settings) -> None:
    entry = pass_of(settings.token) if settings.token is not None else None

    def enter(given: str) -> Response:
        if entry is None or not token_fits(given, settings.token):
            return FileResponse(STATIC / "login.html", 403)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(COOKIE, entry, max_age=_YEAR_S, httponly=True, samesite="lax")
        return answer

    @app.get("/", include_in_schema=False)
    def page(request: Request, token: str | None = None) -> Response:
        if token is not None and entry is not None:
            return enter(token)  # and away with it out of the address
        given = request.cookies.get(COOKIE, "")
        if entry is not None and not hmac.compare_digest(given.encode(), entry.encode()):
            return FileResponse(STATIC / "login.html", 401)
        return FileResponse(STATIC / "index.html")

    @app.post("/login", include_in_schema=False)
    async def login(request: Request) -> Response:
        return enter(form_token(await request.body()))
