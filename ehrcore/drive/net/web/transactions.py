"""The agent's endpoint: Algorithm 4 made right (E28 to E32).  A transaction comes in, and is accepted or told why not.

An accepted one is durable before the answer leaves.  The endpoint judges form alone; rights, time, replay and the
signature are the `Agent` role's to judge, and the reason is the role's word.
"""

from typing import Final

from aiohttp import web

from ehrcore.block import Transaction
from ehrcore.codec import decode
from ehrcore.drive.net.host import BusyError
from ehrcore.drive.net.web.exchange import Site, read_body, require_media, respond_json
from ehrcore.drive.net.web.problems import ProblemError
from ehrcore.drive.net.web.views import JSON_MEDIA, TRANSACTION_MEDIA, SubmittedView, decode_transaction
from ehrcore.errors import CodecError

MAX_TRANSACTION_BYTES: Final = 64 << 10


async def post_transaction(site: Site, request: web.Request) -> web.Response:
    """Take a transaction: 202 if it is accepted, or had been before."""
    media = require_media(request, (JSON_MEDIA, TRANSACTION_MEDIA))
    body = await read_body(site, request, MAX_TRANSACTION_BYTES)
    try:
        tx = decode_transaction(body) if media == JSON_MEDIA else decode(body, Transaction)
    except CodecError as error:
        raise ProblemError("malformed", str(error)) from None
    try:
        submission = await site.host.submit(tx)
    except BusyError as error:
        raise ProblemError("busy", str(error)) from None
    tx_id = submission.tx_id.hex()
    if submission.reason:
        raise ProblemError.refused(submission.reason, f"transaction {tx_id}: refused by {site.host.name}")
    return respond_json(SubmittedView(tx_id, "known" if submission.is_known else "accepted", site.host.name), 202)
