"""Questions about the chain: final blocks for who has missed them, and the ledger for who wants to know."""

import asyncio
import re
from typing import Final

from aiohttp import web

from ehrcore.codec import encode
from ehrcore.drive.net.host import NodeHost
from ehrcore.drive.net.library import Found
from ehrcore.drive.net.web.exchange import Site, read_struct, respond, respond_json
from ehrcore.drive.net.web.problems import ProblemError
from ehrcore.drive.net.web.views import BLOCKS_MEDIA, FLAGS_MEDIA, RECEIPT_MEDIA, block_summary, block_view, found_view
from ehrcore.ledger import Entry
from ehrcore.types import Digest

MAX_IDS: Final = 8_192
MAX_IDS_BYTES: Final = 512 << 10
MAX_BLOCKS: Final = 64
MAX_SUMMARIES: Final = 100
DEFAULT_COUNT: Final = 20
#: No chain gets this far, and neither SQLite nor a number of JSON is overrun by it.
MAX_HEIGHT: Final = (1 << 53) - 1
#: Ids that are looked up before others get their turn.
_TURN: Final = 512
_NUMBER: Final = re.compile(r"[0-9]{1,19}")
_ID: Final = re.compile(r"(?:[0-9a-f]{2}){16,32}")


def parse_number(name: str, given: str, least: int, most: int) -> int:
    """A number of a path or query; a problem if it is none or not in ``[least, most]``."""
    if not _NUMBER.fullmatch(given) or not least <= int(given) <= most:
        raise ProblemError("malformed", f"{name}: expected a number from {least} to {most}, found {given[:40]!r}")
    return int(given)


def parse_id(given: str) -> bytes:
    """A transaction's id from a path."""
    if not _ID.fullmatch(given):
        raise ProblemError("malformed", f"id: expected 32 to 64 hexadecimal digits, found {given[:80]!r}")
    return bytes.fromhex(given)


def find_transaction(host: NodeHost, tx_id: bytes) -> tuple[Found, Entry]:
    """A transaction and the ledger's entry that holds it; a problem if there is none."""
    found = host.find(tx_id)
    if found is None:
        raise _unknown(tx_id)
    return found, find_block(host, found.height)


def _unknown(tx_id: bytes) -> ProblemError:
    return ProblemError("unknown-transaction", f"transaction {tx_id.hex()}: expected one in the ledger, found none")


def find_block(host: NodeHost, height: int) -> Entry:
    """The ledger's entry at ``height``; a problem if there is none."""
    entries = host.entries(height, height + 1) if 1 <= height <= host.height else []
    if not entries:
        raise ProblemError("unknown-block", f"block {height}: expected one from 1 to {host.height}, found none")
    return entries[0]


def latest_entries(host: NodeHost, before: int, limit: int) -> list[Entry]:
    """Up to ``limit`` entries below height ``before``, newest first."""
    last = min(before, host.height + 1)
    return host.entries(max(last - limit, 1), last)[::-1]


def _query(request: web.Request, name: str, least: int, most: int, default: int) -> int:
    given = request.query.get(name)
    return default if given is None else parse_number(name, given, least, most)


async def get_blocks(site: Site, request: web.Request) -> web.Response:
    """Final blocks from a height on: as many as there are, as were asked for, and as one message may hold."""
    first = _query(request, "from", 0, MAX_HEIGHT, 1)
    limit = _query(request, "limit", 1, MAX_BLOCKS, DEFAULT_COUNT)
    return respond(encode(site.host.finals(first, limit)), BLOCKS_MEDIA)


async def post_final(site: Site, request: web.Request) -> web.Response:
    """Which of these transactions the ledger holds."""
    tx_ids = await read_struct(site, request, tuple[Digest, ...], MAX_IDS_BYTES)
    if len(tx_ids) > MAX_IDS:
        raise ProblemError("malformed", f"ids: expected at most {MAX_IDS}, found {len(tx_ids)}")
    library, flags = site.host.library, bytearray()
    for start in range(0, len(tx_ids), _TURN):
        if start:
            await asyncio.sleep(0)
        flags += bytes(library is not None and library.holds(tx_id) for tx_id in tx_ids[start : start + _TURN])
    return respond(encode(tuple(flags)), FLAGS_MEDIA)


async def get_transaction(site: Site, request: web.Request) -> web.Response:
    """What became of a transaction."""
    found, entry = find_transaction(site.host, parse_id(request.match_info["id"]))
    return respond_json(found_view(site.host.crypto.suite, entry, found.position))


async def get_receipt(site: Site, request: web.Request) -> web.Response:
    """The proof that a transaction is in the chain, to be verified by anyone who has the chain's genesis."""
    tx_id = parse_id(request.match_info["id"])
    receipt = site.host.receipt(tx_id)
    if receipt is None:
        raise _unknown(tx_id)
    return respond(encode(receipt), RECEIPT_MEDIA)


async def get_chain(site: Site, request: web.Request) -> web.Response:
    """One line per block, newest first."""
    host = site.host
    before = _query(request, "before", 0, MAX_HEIGHT, host.height + 1)
    limit = _query(request, "limit", 1, MAX_SUMMARIES, DEFAULT_COUNT)
    return respond_json([block_summary(host.crypto.suite, entry) for entry in latest_entries(host, before, limit)])


async def get_block(site: Site, request: web.Request) -> web.Response:
    """One block."""
    height = parse_number("height", request.match_info["height"], 0, MAX_HEIGHT)
    return respond_json(block_view(site.host.crypto.suite, find_block(site.host, height)))
