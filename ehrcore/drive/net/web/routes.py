"""The one table of routes: the router, the OpenAPI description and the metrics' labels all come from it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from ehrcore.drive.net.frames import MEDIA_TYPE
from ehrcore.drive.net.links import LINK_PATH
from ehrcore.drive.net.status import NodeStatus
from ehrcore.drive.net.web import chain, custody, delivery, link, page, service, transactions
from ehrcore.drive.net.web.exchange import Site
from ehrcore.drive.net.web.problems import REASONS
from ehrcore.drive.net.web.views import (
    BLOCKS_MEDIA,
    DIGEST_PATTERN,
    FLAGS_MEDIA,
    IDS_MEDIA,
    JSON_MEDIA,
    RECEIPT_MEDIA,
    TRANSACTION_MEDIA,
    BlockSummary,
    BlockView,
    FoundView,
    HealthView,
    SubmittedView,
    TransactionView,
)
from ehrcore.types import Role, node_id

Handler = Callable[[Site, web.Request], Awaitable[web.StreamResponse]]


class Audience(Enum):
    """Which nodes serve a route."""

    ALL = auto()
    AGENTS = auto()
    BLOCK_KEEPERS = auto()
    LEDGER_KEEPERS = auto()
    CONTRIBUTORS = auto()


@dataclass(frozen=True, slots=True)
class Content:
    """A body that goes in or out: a msgspec type for JSON, ``bytes`` for canonical bytes, ``str`` for text."""

    media: str
    kind: Any
    text: str
    most_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Parameter:
    """A part of the path or the query, with its JSON Schema."""

    name: str
    place: str
    schema: dict[str, Any]
    text: str


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path; ``problems`` are slugs."""

    method: str
    path: str
    audience: Audience
    handler: Handler
    answer: Content
    status: int = 200
    bodies: tuple[Content, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def all_problems(self) -> tuple[str, ...]:
        """What may be wrong with any request, with what the route itself may find."""
        return ("malformed-http", *self.problems, *(_BODY_PROBLEMS if self.bodies else ()))

    @property
    def has_head(self) -> bool:
        """Whether the route's headers can be had without its body."""
        return self.method == "GET" and self.status == HTTPStatus.OK


def _number(name: str, place: str, text: str, least: int, most: int, default: int | None = None) -> Parameter:
    limits = {"type": "integer", "format": "int64", "minimum": least, "maximum": most}
    return Parameter(name, place, limits | ({} if default is None else {"default": default}), text)


_ID: Final = {"type": "string", "minLength": 32, "maxLength": 64, "pattern": DIGEST_PATTERN}
_TX: Final = Parameter("id", "path", _ID, "The transaction's id: the digest of its body.")
_HEIGHT: Final = _number("height", "path", "The block's height.", 0, chain.MAX_HEIGHT)
_BODY_PROBLEMS: Final = ("incomplete-body", "slow-body", "too-large", "unsupported-media-type", "failed-expectation")
_HTML: Final = Content(page.HTML_MEDIA, str, "A page for a browser; without scripts it stays as it is.")
_QUERY_ID: Final = Parameter("id", "query", {"type": "string"}, "The transaction's id, as it was typed.")

ROUTES: Final[tuple[Route, ...]] = (
    Route(
        "POST", "/v1/frames", Audience.ALL, delivery.post_frame,
        Content("", bytes, "All that the frame's messages cause is durable."),
        bodies=(Content(MEDIA_TYPE, bytes, "A sealed frame of another node.", delivery.MAX_SEALED_BYTES),),
        problems=("malformed-frame", "future-frame", "not-authentic", "stale-frame", "old-epoch", "busy",
                  "unavailable"),
    ),
    Route(
        "GET", LINK_PATH, Audience.ALL, link.open_link,
        Content("", bytes, "A WebSocket: frames go in as binary messages, the status of each comes out as text."), 101,
        problems=("upgrade-required",),
    ),
    Route(
        "POST", "/v1/transactions", Audience.AGENTS, transactions.post_transaction,
        Content(JSON_MEDIA, SubmittedView, "Accepted and durable: coordinators will hear of it."), 202,
        bodies=(
            Content(JSON_MEDIA, TransactionView, "A visitor's transaction.", transactions.MAX_TRANSACTION_BYTES),
            Content(TRANSACTION_MEDIA, bytes, "Canonical bytes of any transaction, the authority's orders included.",
                    transactions.MAX_TRANSACTION_BYTES),
        ),
        problems=("malformed", "busy", "unavailable", *(reason.value for reason in REASONS)),
    ),
    Route(
        "GET", "/v1/health", Audience.ALL, service.get_health, Content(JSON_MEDIA, HealthView, "Where the node stands.")
    ),
    Route(
        "GET", "/v1/status", Audience.ALL, service.get_status,
        Content(JSON_MEDIA, NodeStatus, "All that the node has counted since it started."),
    ),
    Route(
        "GET", "/metrics", Audience.ALL, service.get_metrics,
        Content(service.METRICS_MEDIA, str, "The same for Prometheus, in its text format."),
    ),
    Route(
        "GET", "/openapi.json", Audience.ALL, service.get_description, Content(JSON_MEDIA, Any, "This description.")
    ),
    Route(
        "GET", "/v1/blocks", Audience.BLOCK_KEEPERS, chain.get_blocks,
        Content(BLOCKS_MEDIA, bytes, "Canonical bytes of final blocks with their certificates, in order."),
        parameters=(
            _number("from", "query", "Height of the first block.", 0, chain.MAX_HEIGHT, 1),
            _number("limit", "query", "How many at most; fewer if they are long.", 1, chain.MAX_BLOCKS,
                    chain.DEFAULT_COUNT),
        ),
        problems=("malformed",),
    ),
    Route(
        "POST", "/v1/final", Audience.LEDGER_KEEPERS, chain.post_final,
        Content(FLAGS_MEDIA, bytes, "Canonical bytes of as many numbers: 1 for a transaction in the ledger, else 0."),
        bodies=(Content(IDS_MEDIA, bytes, f"Canonical bytes of up to {chain.MAX_IDS:,} ids.", chain.MAX_IDS_BYTES),),
        problems=("malformed",),
    ),
    Route(
        "GET", "/v1/transactions/{id}", Audience.LEDGER_KEEPERS, chain.get_transaction,
        Content(JSON_MEDIA, FoundView, "What became of the transaction."), parameters=(_TX,),
        problems=("malformed", "unknown-transaction"),
    ),
    Route(
        "GET", "/v1/transactions/{id}/receipt", Audience.LEDGER_KEEPERS, chain.get_receipt,
        Content(RECEIPT_MEDIA, bytes, "Canonical bytes of the receipt: header, certificate, leaf and path."),
        parameters=(_TX,), problems=("malformed", "unknown-transaction"),
    ),
    Route(
        "GET", "/v1/chain", Audience.LEDGER_KEEPERS, chain.get_chain,
        Content(JSON_MEDIA, tuple[BlockSummary, ...], "One line per block, newest first."),
        parameters=(
            _number("before", "query", "Only blocks below this height; all by default.", 0, chain.MAX_HEIGHT),
            _number("limit", "query", "How many at most.", 1, chain.MAX_SUMMARIES, chain.DEFAULT_COUNT),
        ),
        problems=("malformed",),
    ),
    Route(
        "GET", "/v1/chain/{height}", Audience.LEDGER_KEEPERS, chain.get_block,
        Content(JSON_MEDIA, BlockView, "One block."), parameters=(_HEIGHT,), problems=("malformed", "unknown-block"),
    ),
    Route(
        "POST", "/v1/custody/deposits", Audience.CONTRIBUTORS, custody.post_deposit,
        Content("", bytes, "The share is kept."), 201,
        bodies=(Content(custody.DEPOSIT_MEDIA, bytes, "Canonical bytes of an author's deposit.",
                        custody.MAX_DEPOSIT_BYTES),),
        problems=("malformed", "not-permitted", "unavailable"),
    ),
    Route(
        "POST", "/v1/custody/releases", Audience.CONTRIBUTORS, custody.post_release,
        Content(custody.RELEASE_MEDIA, bytes, "Canonical bytes of the release; the share is sealed to the asker."),
        bodies=(Content(custody.REQUEST_MEDIA, bytes, "Canonical bytes of a signed request, with the id of an access.",
                        custody.MAX_REQUEST_BYTES),),
        problems=("malformed", "not-permitted", "busy", "unavailable"),
    ),
    Route(
        "POST", "/v1/custody/searches", Audience.CONTRIBUTORS, custody.post_search,
        Content(custody.PAGE_MEDIA, bytes, "Canonical bytes of a page of records, sealed to the asker (RFC 9180)."),
        bodies=(Content(custody.SEARCH_MEDIA, bytes, "Canonical bytes of a signed request, with the id of an access.",
                        custody.MAX_REQUEST_BYTES),),
        problems=("malformed", "not-permitted", "busy", "unavailable"),
    ),
    Route(
        "POST", "/v1/custody/objects", Audience.CONTRIBUTORS, custody.post_object,
        Content(custody.OBJECT_MEDIA, bytes, "The sealed object."),
        bodies=(Content(custody.LINK_USE_MEDIA, bytes, "Canonical bytes of a link with its person's signature.",
                        custody.MAX_REQUEST_BYTES),),
        problems=("malformed", "not-permitted", "unknown-object", "busy", "unavailable"),
    ),
    Route("GET", "/", Audience.CONTRIBUTORS, page.get_page, _HTML),
    Route(
        "GET", "/block/{height}", Audience.CONTRIBUTORS, page.get_block_page, _HTML, parameters=(_HEIGHT,),
        problems=("malformed", "unknown-block"),
    ),
    Route(
        "GET", "/transaction", Audience.CONTRIBUTORS, page.get_transaction_page, _HTML, parameters=(_QUERY_ID,),
        problems=("malformed", "unknown-transaction"),
    ),
    Route(
        "GET", "/transaction/{id}", Audience.CONTRIBUTORS, page.get_transaction_page, _HTML, parameters=(_TX,),
        problems=("malformed", "unknown-transaction"),
    ),
)  # fmt: skip


def routes_of(name: str, role: Role) -> tuple[Route, ...]:
    """What the node ``name`` serves.

    The first coordinator keeps a ledger, too (paper section 4), and administrators the last blocks.
    """
    served = {Audience.ALL}
    if role is Role.AGENT:
        served.add(Audience.AGENTS)
    if role is Role.CONTRIBUTOR:
        served.add(Audience.CONTRIBUTORS)
    if role is Role.CONTRIBUTOR or name == node_id(Role.COORDINATOR, 0):
        served |= {Audience.LEDGER_KEEPERS, Audience.BLOCK_KEEPERS}
    if role is Role.ADMINISTRATOR:
        served.add(Audience.BLOCK_KEEPERS)
    return tuple(route for route in ROUTES if route.audience in served)
