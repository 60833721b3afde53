"""A node's web application: its routes, and one answer of its own kind to everything that goes wrong."""

import asyncio
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage

from ehrcore.drive.net.web.delivery import MAX_SEALED_BYTES
from ehrcore.drive.net.web.exchange import (
    SERVER,
    USUAL,
    Bounds,
    Site,
    count_answer,
    count_problem,
    find_problem,
    respond_problem,
)
from ehrcore.drive.net.web.link import close_links
from ehrcore.drive.net.web.openapi import build_openapi
from ehrcore.drive.net.web.problems import PROBLEM_MEDIA, ProblemError
from ehrcore.drive.net.web.routes import routes_of

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

    from ehrcore.drive.net.host import NodeHost

SITE: Final = web.AppKey("site", Site)
#: Counted for requests that match no route, so that nobody can make up labels.
UNMATCHED: Final = "unmatched"
OTHER: Final = "OTHER"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"})
#: An idle connection, or one whose headers do not come, is closed after this; peers let go of theirs before.
KEEPALIVE_S: Final = 75.0
#: How long the rest of a refused body is read, so that its sender gets to see the refusal.
LINGER_S: Final = 2.0
#: How long a client may leave an answer unread that no longer fits the buffers on the way to it.
STALL_S: Final = 60.0
_HANDLER: Final[dict[str, Any]] = {
    "access_log": None,
    "keepalive_timeout": KEEPALIVE_S,
    "lingering_time": LINGER_S,
    "auto_decompress": False,
}


def build_app(host: "NodeHost", bounds: Bounds = USUAL) -> web.Application:
    """All that a node of the host's role serves, within ``bounds``."""
    routes = routes_of(host.name, host.role)
    site = Site(host, msgspec.json.encode(build_openapi(host.plan, host.name, routes)), bounds)
    app = web.Application(middlewares=[_guard(site)], client_max_size=MAX_SEALED_BYTES, handler_args=_HANDLER)
    app[SITE] = site
    for route in routes:
        handler, expect = partial(route.handler, site), partial(_expect, site)
        for method in (route.method, "HEAD") if route.has_head else (route.method,):
            app.router.add_route(method, route.path, handler, expect_handler=expect)
    app.on_shutdown.append(partial(close_links, site))
    return app


def _guard(site: Site) -> "Middleware":
    """Turns every refusal and failure into a problem, and counts what was answered."""

    @web.middleware
    async def guard(request: web.Request, handler: "Handler") -> web.StreamResponse:
        try:
            response = await handler(request)
        except Exception as error:  # noqa: BLE001 - a bug is logged with its traceback, and answered
            response = _refuse(site, request, error)
        _count(site, request, response.status)
        return response

    return guard


def _count(site: Site, request: web.Request, status: int) -> None:
    resource = request.match_info.route.resource
    method = request.method if request.method in _METHODS else OTHER
    count_answer(site, method, UNMATCHED if resource is None else resource.canonical, status)


def _refuse(site: Site, request: web.Request, error: Exception) -> web.Response:
    problem = find_problem(request, error)
    count_problem(site, problem)
    return respond_problem(problem)


async def _expect(site: Site, request: web.Request) -> web.StreamResponse | None:
    """Ask for the body where that is what the client waits for (RFC 9110 section 10.1.1)."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
        return None
    response = _refuse(
        site, request, ProblemError("failed-expectation", "expect: expected 100-continue, found another")
    )
    _count(site, request, response.status)
    return response


class _Connection(web.RequestHandler):
    """One client's connection: bytes that are no HTTP get a problem, and a client that is slow is left.

    Beyond the bounds a connection gets a problem at once, and nothing of it is read.
    """

    __slots__ = ("_address", "_headers", "_site", "_stall")

    def __init__(self, site: Site, server: web.Server, **options: Any) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self._site = site
        self._address: str | None = None
        self._headers: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        address = str((transport.get_extra_info("peername") or ("",))[0])
        if not self._site.admit(address):
            self._force_close = True
            self._leave(transport, ProblemError("crowded", "connection: expected fewer of them, found too many"))
            return
        self._address = address
        super().connection_made(transport)
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_at_work:
            if self._headers is not None:
                self._headers.cancel()
                self._headers = None
        elif data and self._headers is None and not self._force_close:
            self._await_headers()

    @property
    def _is_at_work(self) -> bool:
        """Whether it has sent a request's headers, all of them, that was not answered yet."""
        return bool(self._messages) or self._current_request is not None

    def _await_headers(self) -> None:
        """Begin to wait for the end of a request's headers."""
        self._headers = asyncio.get_running_loop().call_later(self._site.bounds.headers_timeout_s, self._give_up)

    def _give_up(self) -> None:
        self._headers = None
        if self.transport is not None and not self._is_at_work:
            within = f"headers: expected their end within {self._site.bounds.headers_timeout_s:g} s"
            self._leave(self.transport, ProblemError("slow-headers", f"{within}, found them incomplete"))

    def _leave(self, transport: asyncio.BaseTransport, problem: ProblemError) -> None:
        """Tell of a problem that comes before any request, and close."""
        self._count(problem)
        body = msgspec.json.encode(problem.view())
        lines = [f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}", f"Server: {SERVER}"]
        lines += [f"{name}: {value}" for name, value in problem.headers().items()]
        lines += [f"Content-Type: {PROBLEM_MEDIA}", f"Content-Length: {len(body)}", "Connection: close", "", ""]
        # uvloop's transports are asyncio's by their methods alone.
        cast("asyncio.Transport", transport).write("\r\n".join(lines).encode() + body)
        transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.transport is not None:
            self._stall = asyncio.get_running_loop().call_later(STALL_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stall is not None:
            self._stall.cancel()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._address is None:
            return
        self._site.dismiss(self._address)
        super().connection_lost(exc)
        for timer in (self._stall, self._headers):
            if timer is not None:
                timer.cancel()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if not isinstance(exc, BadHttpMessage) or request.writer.output_size:
            return super().handle_error(request, status, exc, message)
        found = (message or "nothing").strip().partition("\n")[0]
        problem = ProblemError("malformed-http", f"request: expected HTTP/1.1, found: {found}")
        self._count(problem)
        return respond_problem(problem)

    def _count(self, problem: ProblemError) -> None:
        count_problem(self._site, problem)
        count_answer(self._site, OTHER, UNMATCHED, problem.status)


class _Server(web.Server):
    """Makes connections of the above kind."""

    def __init__(self, site: Site, server: web.Server) -> None:
        super().__init__(server.request_handler, request_factory=server.request_factory, **_HANDLER)
        self._site = site

    def __call__(self) -> web.RequestHandler:
        return _Connection(self._site, self, **_HANDLER)


class Runner(web.AppRunner):
    """Runs an application that `build_app` has made."""

    __slots__ = ()

    async def _make_server(self) -> web.Server:
        return _Server(self.app[SITE], await super()._make_server())
