"""A custodian's endpoints: shares of keys come in, and go out to who may read; bodies are canonical bytes.

Whatever is not permitted gets the same answer, so that an asker learns nothing from it (`ehrcore.custody.Denial` has
the reasons): not whether there is such a record, nor whether it was read or erased.
"""

from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from typing import Final

from aiohttp import web

from ehrcore.codec import encode
from ehrcore.custody import Deposit, LinkUse, ReleaseRequest, SearchRequest
from ehrcore.drive.net.custody import Custody, DeniedError, FullError
from ehrcore.drive.net.web.exchange import SERVER, Site, read_struct, respond
from ehrcore.drive.net.web.problems import ProblemError
from ehrcore.errors import StorageError

DEPOSIT_MEDIA: Final = "application/vnd.ehrcore.deposit"
REQUEST_MEDIA: Final = "application/vnd.ehrcore.release-request"
SEARCH_MEDIA: Final = "application/vnd.ehrcore.search-request"
LINK_USE_MEDIA: Final = "application/vnd.ehrcore.link-use"
RELEASE_MEDIA: Final = "application/vnd.ehrcore.release"
PAGE_MEDIA: Final = "application/vnd.ehrcore.sealed-page"
OBJECT_MEDIA: Final = "application/octet-stream"
MAX_DEPOSIT_BYTES: Final = 32 << 10
MAX_REQUEST_BYTES: Final = 4 << 10


async def post_deposit(site: Site, request: web.Request) -> web.Response:
    """Keep a share of a record's key; it is durable when this is answered."""
    deposit = await read_struct(site, request, Deposit, MAX_DEPOSIT_BYTES, (DEPOSIT_MEDIA,))
    with _refusals():
        await _custody(site).deposit(deposit)
    return respond(b"", OBJECT_MEDIA, 201)


async def post_release(site: Site, request: web.Request) -> web.Response:
    """Release a share of a record's key, and a link to the record, to who may read it."""
    asked = await read_struct(site, request, ReleaseRequest, MAX_REQUEST_BYTES, (REQUEST_MEDIA,))
    with _refusals():
        return respond(encode(await _custody(site).release(asked)), RELEASE_MEDIA)


async def post_search(site: Site, request: web.Request) -> web.Response:
    """List the records that an accepted search is about."""
    asked = await read_struct(site, request, SearchRequest, MAX_REQUEST_BYTES, (SEARCH_MEDIA,))
    with _refusals():
        return respond(await _custody(site).search(asked), PAGE_MEDIA)


async def post_object(site: Site, request: web.Request) -> web.StreamResponse:
    """Stream the sealed object that a link is for; the link is used up by that."""
    use = await read_struct(site, request, LinkUse, MAX_REQUEST_BYTES, (LINK_USE_MEDIA,))
    custody = _custody(site)
    with _refusals():
        link = custody.use(use)
    response = web.StreamResponse(headers={"Server": SERVER, "Content-Type": OBJECT_MEDIA, "Cache-Control": "no-store"})
    try:
        async with aclosing(custody.stream(link)) as chunks:
            async for chunk in chunks:
                if not response.prepared:
                    await response.prepare(request)
                await response.write(chunk)
    except StorageError:
        if not response.prepared:
            raise
        # What has been sent must not look whole.
        if request.transport is not None:
            request.transport.abort()
        return response
    if not response.prepared:
        raise ProblemError("unknown-object", f"{link.location}: expected an object in the store, found none")
    await response.write_eof()
    return response


def _custody(site: Site) -> Custody:
    custody = site.host.custody
    assert custody is not None  # noqa: S101 - contributors alone serve these routes
    return custody


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except DeniedError:
        raise ProblemError("not-permitted", "not permitted") from None
    except FullError as error:
        raise ProblemError("busy", str(error)) from None
