"""What handlers share: the node that they answer for, how bodies are read, and how answers look."""

import asyncio
import logging
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import msgspec
from aiohttp import web

from ehrcore.codec import decode
from ehrcore.drive.net.files import read_json
from ehrcore.drive.net.web.problems import PROBLEM_MEDIA, ProblemError
from ehrcore.drive.net.web.views import JSON_MEDIA
from ehrcore.errors import CodecError, EhrError

if TYPE_CHECKING:
    from ehrcore.drive.net.host import NodeHost

T = TypeVar("T")

#: How long a body may take from the end of its headers on.
BODY_TIMEOUT_S: Final = 10.0
#: Named instead of the library and its version.
SERVER: Final = "ehrcore"
_log = logging.getLogger(__name__)
_TEXTS: Final = {"text/plain", "text/html"}


class Bounds(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What clients may take of a node: connections in all and from one address, and time for headers and bodies.

    The usual ones are far above what a network needs, whose nodes hold one link each.
    """

    connections: Annotated[int, msgspec.Meta(ge=1)] = 4_096
    of_address: Annotated[int, msgspec.Meta(ge=1)] = 1_024
    headers_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    body_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = BODY_TIMEOUT_S


USUAL: Final = Bounds()
BOUNDS_FILE: Final = "bounds.json"


def read_bounds(home: Path) -> Bounds:
    """The bounds in the node's own folder ``home``, the usual ones without a file; `DeploymentError` if it is none."""
    path = home / BOUNDS_FILE
    return read_json(path, Bounds, "bounds of a node", 1 << 16) if path.exists() else USUAL


@dataclass(frozen=True, slots=True)
class Site:
    """What a node answers with; ``description`` is its OpenAPI document, made once, ``sockets`` are its open links.

    ``addresses`` counts open connections by the client's address.
    """

    host: "NodeHost"
    description: bytes
    bounds: Bounds = USUAL
    sockets: set[web.WebSocketResponse] = field(default_factory=set)
    addresses: Counter[str] = field(default_factory=Counter)

    def admit(self, address: str) -> bool:
        """Count a new connection from ``address`` if there is room for it."""
        bounds, held = self.bounds, self.addresses
        if held[address] >= bounds.of_address or held.total() >= bounds.connections:
            return False
        held[address] += 1
        return True

    def dismiss(self, address: str) -> None:
        """A connection from ``address`` has ended."""
        self.addresses[address] -= 1
        if not self.addresses[address]:
            del self.addresses[address]


def respond(body: bytes, media: str, status: int = 200) -> web.Response:
    """An answer; what changes with every block is not to be kept by anyone in between."""
    kind = f"{media}; charset=utf-8" if media in _TEXTS else media
    headers = {"Server": SERVER, "Content-Type": kind, "Cache-Control": "no-store"}
    return web.Response(body=body, status=status, headers=headers)


def respond_json(value: Any, status: int = 200) -> web.Response:
    """A view as JSON."""
    return respond(msgspec.json.encode(value), JSON_MEDIA, status)


def respond_problem(problem: ProblemError) -> web.Response:
    """A refusal.  Where the body was not read to its end, the connection cannot be used again."""
    response = respond(msgspec.json.encode(problem.view()), PROBLEM_MEDIA, problem.status)
    response.headers.update(problem.headers())
    if problem.slug in {"slow-body", "too-large", "incomplete-body", "malformed-http"}:
        response.force_close()
    return response


def require_media(request: web.Request, accepted: Collection[str]) -> str:
    """The body's media type if it is one of ``accepted`` and the body is not compressed; else a problem."""
    headers = request.headers
    media = headers.get("Content-Type", "")
    if media not in accepted:
        media = media.partition(";")[0].strip().lower()
        if media not in accepted:
            raise ProblemError(
                "unsupported-media-type", f"body: expected {' or '.join(accepted)}, found {media[:100] or 'none'}"
            )
    if headers.get("Content-Encoding", "identity") != "identity":
        raise ProblemError("unsupported-media-type", "body: expected no Content-Encoding, found one")
    return media


async def read_body(site: Site, request: web.Request, most_bytes: int) -> bytes:
    """The whole body, of at most ``most_bytes``; a problem if it is longer, breaks off or takes too long."""
    length, content = request.content_length, request.content
    if length is not None and length > most_bytes:
        raise _too_large(most_bytes, length)
    try:
        if content.is_eof():
            # It came with its headers, as most do: no timer is needed.
            body = content.read_nowait()
        else:
            async with asyncio.timeout(site.bounds.body_timeout_s):
                body = await _read_parts(content, most_bytes)
    except TimeoutError:
        raise ProblemError(
            "slow-body", f"body: expected its end within {site.bounds.body_timeout_s:g} s, found it incomplete"
        ) from None
    except (web.RequestPayloadError, ConnectionError, OSError) as error:
        raise ProblemError("incomplete-body", f"body: expected all of it, found: {type(error).__name__}") from None
    if len(body) > most_bytes:
        raise _too_large(most_bytes, len(body))
    return body


async def read_struct(
    site: Site, request: web.Request, kind: type[T], most_bytes: int, media: Collection[str] = ()
) -> T:
    """The body as canonical bytes of ``kind``, of one of these media types if any are named; else a problem."""
    if media:
        require_media(request, media)
    try:
        return decode(await read_body(site, request, most_bytes), kind)
    except CodecError as error:
        raise ProblemError("malformed", str(error)) from None


async def _read_parts(content: Any, most_bytes: int) -> bytes:
    parts, size = [], 0
    while not content.at_eof():
        parts.append(part := await content.readany())
        size += len(part)
        if size > most_bytes:
            raise _too_large(most_bytes, size)
    return b"".join(parts)


def _too_large(most_bytes: int, found: int) -> ProblemError:
    return ProblemError("too-large", f"body: expected at most {most_bytes} bytes, found {found} or more")


def count_problem(site: Site, problem: ProblemError) -> None:
    """Count a refusal by its kind."""
    problems = site.host.counters.problems
    problems[problem.slug] = problems.get(problem.slug, 0) + 1


def count_answer(site: Site, method: str, route: str, status: int) -> None:
    """Count an answer by method, route and status."""
    http, key = site.host.counters.http, (method, route, status)
    http[key] = http.get(key, 0) + 1


def find_problem(request: web.Request, error: Exception) -> ProblemError:
    """What to tell of anything that goes wrong; a bug is told of as one, and logged with its traceback."""
    match error:
        case ProblemError():
            return error
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            return ProblemError("wrong-method", f"method: expected {allowed}, found another", allow=allowed)
        case web.HTTPNotFound():
            return ProblemError("unknown-route", f"path: expected a route of this node, found {request.path[:100]!r}")
        case EhrError():
            _log.error("%s %s: %s", request.method, request.path, error)
            # It may name files and stores of this node, which are no stranger's business.
            return ProblemError("unavailable", "the node's log says more")
        case _:
            _log.error("%s %s", request.method, request.path, exc_info=error)
            return ProblemError("internal", "a bug: the node's log says more")
