"""Frames of other nodes: opened, checked for time and sender, and handed to the host.  The busiest route."""

from typing import Final
from weakref import WeakKeyDictionary

from aiohttp import web

from ehrcore.drive.net.frames import MAX_FRAME_BYTES, MAX_SKEW_NS, MEDIA_TYPE, TAG_BYTES, Frame
from ehrcore.drive.net.host import BusyError, OldEpochError
from ehrcore.drive.net.web.exchange import SERVER, Site, read_body, require_media
from ehrcore.drive.net.web.problems import ProblemError
from ehrcore.errors import CodecError, IdentityError

MAX_SEALED_BYTES: Final = MAX_FRAME_BYTES + TAG_BYTES
#: Of who has not shown to be a node of the network, no longer frame is read.
MAX_STRANGER_BYTES: Final = 64 << 10
_MEDIA: Final = (MEDIA_TYPE,)
_HEADERS: Final = {"Server": SERVER}
#: Peers by connection: a certificate is read once for all frames that come under it.
_peers: "WeakKeyDictionary[object, str]" = WeakKeyDictionary()


async def post_frame(site: Site, request: web.Request) -> web.Response:
    """Take a frame: 200 once all that its messages cause is durable, also if it had been taken before."""
    require_media(request, _MEDIA)
    await take_frame(site, request, await read_body(site, request, longest_frame(site, request)))
    return web.Response(headers=_HEADERS)


def longest_frame(site: Site, request: web.Request) -> int:
    """How many bytes of a frame are read from who has sent ``request``: few, unless it shows that it is a node."""
    host = site.host
    is_node = host.keys.is_greeting(request.headers.get("Authorization", ""), host.now())
    return MAX_SEALED_BYTES if is_node else MAX_STRANGER_BYTES


async def take_frame(site: Site, request: web.Request, sealed: bytes) -> None:
    """Check a frame that came with ``request`` or over its link and hand it on; a problem if it is refused."""
    host = site.host
    try:
        frame = host.keys.open(sealed)
        _require_time(frame, host.now())
        if host.plan.tls:
            _require_peer(request, frame.sender)
        await host.receive(frame)
    except CodecError as error:
        raise ProblemError("malformed-frame", str(error)) from None
    except IdentityError as error:
        raise ProblemError("not-authentic", str(error)) from None
    except OldEpochError as error:
        raise ProblemError("old-epoch", str(error)) from None
    except BusyError as error:
        raise ProblemError("busy", str(error)) from None


def _require_time(frame: Frame, now: int) -> None:
    """A frame that was long under way may be sent again; one from the future tells of a clock to be set."""
    if frame.sent_at < now - MAX_SKEW_NS:
        raise ProblemError("stale-frame", f"frame of {frame.sender}: expected one sent just now, found an old one")
    if frame.sent_at > now + MAX_SKEW_NS:
        raise ProblemError("future-frame", f"frame of {frame.sender}: expected one sent by now, found a later one")


def _require_peer(request: web.Request, sender: str) -> None:
    """Under TLS a frame comes from its sender itself, not by way of another node."""
    transport = request.transport
    connection = transport.get_extra_info("ssl_object") if transport else None
    if connection is None:
        raise IdentityError(f"frame of {sender}: expected a connection under TLS, found none")
    name = _peers.get(connection)
    if name is None:
        from ehrcore.drive.net.tls import peer_name  # noqa: PLC0415 - X.509 is slow to import, and often not needed

        name = _peers[connection] = peer_name(connection)
    if name != sender:
        raise IdentityError(f"frame of {sender}: expected a connection of its own, found one of {name or 'nobody'}")
