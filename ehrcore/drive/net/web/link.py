"""A lasting link from another node: frames come one after the other over a WebSocket (RFC 6455), each one is answered.

The same frames as by ``POST /v1/frames``, with the same status in answer, as text; without an exchange of headers for
each, which would cost more than most frames do.
"""

import asyncio
import contextlib
from typing import Final

from aiohttp import WSCloseCode, WSMsgType, web

from ehrcore.drive.net.links import LINK_PATH
from ehrcore.drive.net.web.delivery import longest_frame, take_frame
from ehrcore.drive.net.web.exchange import Site, count_answer, count_problem, find_problem
from ehrcore.drive.net.web.problems import ProblemError

#: A link whose first frame does not come, or is not authentic, is closed.
FIRST_FRAME_S: Final = 10.0
_OK: Final = 200
#: Statuses of frames that anyone could have sent: none that a node of the network sends over a link that it needs.
_OF_ANYONE: Final = frozenset({400, 401})


async def open_link(site: Site, request: web.Request) -> web.StreamResponse:
    """Take frames over a WebSocket, and answer each with its status, until either side ends the link."""
    socket = web.WebSocketResponse(max_msg_size=longest_frame(site, request), compress=False, timeout=1.0)
    if not _is_handshake(socket, request):
        raise ProblemError("upgrade-required", "link: expected a WebSocket's handshake, found another request")
    await socket.prepare(request)
    site.sockets.add(socket)
    try:
        with contextlib.suppress(TimeoutError, ConnectionError):
            await _converse(site, request, socket)
    finally:
        site.sockets.discard(socket)
        await socket.close()
    return socket


def _is_handshake(socket: web.WebSocketResponse, request: web.Request) -> bool:
    try:
        return bool(socket.can_prepare(request))
    except ValueError:  # a key that is not even ASCII
        return False


async def _converse(site: Site, request: web.Request, socket: web.WebSocketResponse) -> None:
    patience: float | None = FIRST_FRAME_S
    while True:
        async with asyncio.timeout(patience):
            message = await socket.receive()
        if message.type is not WSMsgType.BINARY:
            return
        status = await _take(site, request, message.data)
        await socket.send_str(str(status))
        if status in _OF_ANYONE:
            return
        patience = None


async def _take(site: Site, request: web.Request, sealed: bytes) -> int:
    """The status of one frame, counted like those that come alone."""
    status = _OK
    try:
        await take_frame(site, request, sealed)
    except Exception as error:  # noqa: BLE001 - as for requests
        problem = find_problem(request, error)
        count_problem(site, problem)
        status = problem.status
    count_answer(site, "LINK", LINK_PATH, status)
    return status


async def close_links(site: Site, _: web.Application) -> None:
    """End all links: what is being handled still is, and its sender, unanswered, sends it again."""
    closing = (socket.close(code=WSCloseCode.GOING_AWAY) for socket in tuple(site.sockets))
    await asyncio.gather(*closing, return_exceptions=True)
