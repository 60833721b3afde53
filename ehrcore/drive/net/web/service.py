"""What a node says of itself: health, status, metrics and its description."""

from typing import Final

from aiohttp import web

from ehrcore.drive.net.web.exchange import Site, respond, respond_json
from ehrcore.drive.net.web.views import JSON_MEDIA, HealthView

METRICS_MEDIA: Final = "text/plain"


async def get_health(site: Site, _: web.Request) -> web.Response:
    """That it answers, and where it stands."""
    host = site.host
    return respond_json(HealthView(host.name, host.role.value, host.phase.value, host.height))


async def get_status(site: Site, _: web.Request) -> web.Response:
    """All that it has counted."""
    return respond_json(site.host.status())


async def get_metrics(site: Site, _: web.Request) -> web.Response:
    """The same for Prometheus, in its text format."""
    from ehrcore.drive.net.web.metrics import write_metrics  # noqa: PLC0415 - not every node is watched

    body, media = write_metrics(site.host.status())
    response = respond(body, METRICS_MEDIA)
    response.headers["Content-Type"] = media
    return response


async def get_description(site: Site, _: web.Request) -> web.Response:
    """The OpenAPI document of this node."""
    return respond(site.description, JSON_MEDIA)
