"""The read-only page of a contributor: its health, the latest blocks, a block, and a transaction with its proof.

Made on the node from its own ledger, so it works without scripts; every value is escaped where it is put in.
"""

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from functools import wraps
from html import escape
from typing import Final

from aiohttp import web

from ehrcore import merkle
from ehrcore.codec import encode
from ehrcore.drive.net.host import Phase
from ehrcore.drive.net.status import NodeStatus
from ehrcore.drive.net.web.chain import MAX_HEIGHT, find_block, find_transaction, latest_entries, parse_id, parse_number
from ehrcore.drive.net.web.exchange import Site, count_problem, respond
from ehrcore.drive.net.web.look import HEADERS, SCRIPT, STYLE
from ehrcore.drive.net.web.problems import ProblemError
from ehrcore.drive.net.web.views import CertificateView, block_summary, block_view, certificate_view, found_view
from ehrcore.errors import ProofError
from ehrcore.hashing import HashSuite
from ehrcore.messages import Receipt

HTML_MEDIA: Final = "text/html"
LATEST: Final = 20
_DASH: Final = "–"
_Handler = Callable[[Site, web.Request], Awaitable[web.Response]]


def _as_page(handler: _Handler) -> _Handler:
    """A reader in a browser is told in words what a program is told as a problem."""

    @wraps(handler)
    async def answer(site: Site, request: web.Request) -> web.Response:
        try:
            return await handler(site, request)
        except ProblemError as problem:
            count_problem(site, problem)
            text = f"<h1>{escape(problem.title)}</h1><p class='notice bad'>{escape(str(problem))}</p>{_search()}"
            return _page(site, problem.title, text, problem.status)

    return answer


def _page(site: Site, title: str, content: str, status: int = 200, *, is_live: bool = False) -> web.Response:
    host = site.host
    colour = {Phase.READY: "good", Phase.STOPPING: "bad"}.get(host.phase, "wait")
    script = f"<script>{SCRIPT}</script>" if is_live else ""
    text = (
        f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{escape(title)} · {escape(host.name)}</title>"
        "<meta name=viewport content='width=device-width,initial-scale=1'><link rel=icon href='data:,'>"
        f"<style>{STYLE}</style></head><body><header><a href='/'><b>{escape(host.params.name)}</b></a>"
        f"<span class=soft>{escape(host.name)}</span><span id=phase data-live>"
        f"<span class='badge {colour}'>{escape(host.phase.value)}</span></span></header><main>{content}</main>"
        f"<footer>Chain <code>{host.chain.hex()}</code>. Read-only, from the ledger of this contributor.</footer>"
        f"{script}</body></html>"
    )
    response = respond(text.encode(), HTML_MEDIA, status)
    response.headers.update(HEADERS)
    return response


# -- pieces ----------------------------------------------------------------------------------------------------------


def _time(instant_ns: int) -> str:
    moment = datetime.fromtimestamp(instant_ns // 1_000_000_000, UTC)
    text = f"{moment:%Y-%m-%d %H:%M:%S}.{instant_ns // 1_000_000 % 1_000:03d}"
    return f"<time datetime='{moment:%Y-%m-%dT%H:%M:%SZ}'>{text}</time>"


def _code(text: str, shown: int | None = None) -> str:
    """A digest, in full or its first digits with the rest in a title."""
    if shown is None:
        return f"<code>{escape(text)}</code>"
    return f"<code title='{escape(text)}'>{escape(text[:shown])}…</code>"


def _link(path: str, content: str) -> str:
    return f"<a href='{escape(path)}'>{content}</a>"


def _search(given: str = "") -> str:
    return (
        "<form action='/transaction' method=get role=search><label for=id>Transaction id</label>"
        f"<input id=id name=id value='{escape(given)}' placeholder='Transaction id (hexadecimal)' autocomplete=off "
        "spellcheck=false maxlength=80 required><button>Find</button></form>"
    )


def _facts(rows: Iterable[tuple[str, str]]) -> str:
    return f"<dl class=panel>{''.join(f'<dt>{escape(name)}</dt><dd>{value}</dd>' for name, value in rows)}</dl>"


def _table(heads: Iterable[tuple[str, str]], rows: Iterable[Iterable[str]]) -> str:
    """``heads`` are names with the classes of their columns; cells are HTML already."""
    heads = tuple(heads)
    top = "".join(f"<th class='{look}'>{escape(name)}</th>" for name, look in heads)
    lines = (
        "".join(f"<td class='{look}'>{cell}</td>" for (_, look), cell in zip(heads, row, strict=True)) for row in rows
    )
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<div class=panel><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"


#: What says more to a machine than to a reader.
_CODES: Final = frozenset({"patient", "record", "digest", "location", "consent", "agreement"})


def _said(name: str, value: str) -> str:
    if name == "broke the glass":
        return f"<span class='badge bad'>{escape(value)}</span>"
    return _code(value) if name in _CODES else escape(value)


def _reason(reason: str) -> str:
    if reason:
        return f"<span class='badge bad'>{escape(reason)}</span>"
    return "<span class='badge good'>valid</span>"


_CERTIFIERS: Final = {
    "pos": "more than two thirds of the stake",
    "single": "the single orderer",
    "leader": "a leader, for a majority that has stored it",
}


def _certified(certificate: CertificateView) -> str:
    if certificate.rule == "pow":
        return f"proof of work, under {certificate.confirmations} more blocks"
    rule = _CERTIFIERS[certificate.rule]
    return f"{rule}: {escape(', '.join(certificate.signed_by))}"


# -- pages -----------------------------------------------------------------------------------------------------------


@_as_page
async def get_page(site: Site, _: web.Request) -> web.Response:
    """Health and the latest blocks."""
    host = site.host
    content = (
        f"<section id=health data-live>{_cards(host.status())}</section>{_search()}"
        f"<h2>Latest blocks</h2><section id=blocks data-live>{_latest(site)}</section>"
    )
    return _page(site, "Blocks", content, is_live=True)


def _cards(status: NodeStatus) -> str:
    latency = status.commit_latency_ms
    cards = (
        ("Height", f"{status.height:,}"),
        ("Transactions", _DASH if status.transactions is None else f"{status.transactions:,}"),
        ("Latency, median", f"{latency.p50:,.0f} ms" if latency else _DASH),
        ("Latency, p95", f"{latency.p95:,.0f} ms" if latency else _DASH),
        ("Processor time", f"{status.cpu_s:,.1f} s"),
        ("Memory", f"{status.rss_bytes / 1e6:,.0f} MB"),
    )
    shown = "".join(f"<div class=card><span>{name}</span><strong>{value}</strong></div>" for name, value in cards)
    return f"<div class=cards>{shown}</div>"


def _latest(site: Site) -> str:
    host = site.host
    blocks = [block_summary(host.crypto.suite, entry) for entry in latest_entries(host, host.height + 1, LATEST)]
    if not blocks:
        return "<p class=soft>No block yet.</p>"
    heads = (
        ("Height", "number"),
        ("Time (UTC)", ""),
        ("Transactions", "number"),
        ("Proposer", "wide"),
        ("Hash", "wide"),
    )
    rows = (
        (
            _link(f"/block/{block.height}", str(block.height)),
            _time(block.timestamp),
            f"{block.transactions}" + (f" ({block.invalid} invalid)" if block.invalid else ""),
            escape(block.proposer),
            _code(block.hash, 16),
        )
        for block in blocks
    )
    return _table(heads, rows)


@_as_page
async def get_block_page(site: Site, request: web.Request) -> web.Response:
    """One block."""
    host = site.host
    height = parse_number("height", request.match_info["height"], 0, MAX_HEIGHT)
    block = block_view(host.crypto.suite, find_block(host, height))
    near = [_link(f"/block/{height - 1}", "← Previous")] if height > 1 else []
    near += [_link(f"/block/{height + 1}", "Next →")] if height < host.height else []
    facts = (
        ("Hash", _code(block.hash)),
        ("Previous", _code(block.previous)),
        ("Time (UTC)", _time(block.timestamp)),
        ("Proposer", escape(block.proposer)),
        ("Certified by", _certified(block.certificate)),
        ("Merkle root", _code(block.merkle_root)),
        ("State after it", _code(block.state)),
    )
    heads = (("#", "number"), ("Transaction", ""), ("Kind", "wide"), ("Author", "wide"), ("Outcome", ""))
    rows = (
        (
            str(position),
            _link(f"/transaction/{tx.id}", _code(tx.id, 16)),
            escape(tx.kind),
            escape(tx.author),
            _reason(tx.reason),
        )
        for position, tx in enumerate(block.contents)
    )
    table = _table(heads, rows) if block.contents else "<p class=soft>None.</p>"
    content = f"<h1>Block {height}</h1>{_facts(facts)}<h2>Transactions</h2>{table}<p>{' · '.join(near)}</p>"
    return _page(site, f"Block {height}", content)


@_as_page
async def get_transaction_page(site: Site, request: web.Request) -> web.Response:
    """What became of a transaction, and the proof of it."""
    host = site.host
    given = request.match_info.get("id") or request.query.get("id", "")
    tx_id = parse_id(given.strip().lower())
    found, entry = find_transaction(host, tx_id)
    receipt = host.receipt(tx_id)
    if receipt is None:
        raise ProblemError("unknown-transaction", f"transaction {tx_id.hex()}: expected a proof, found none")
    view = found_view(host.crypto.suite, entry, found.position)
    marked = f"final, but marked invalid ({escape(view.reason)}): it changed nothing"
    outcome = marked if view.reason else "final and valid"
    facts = (
        ("Id", _code(view.id)),
        ("Kind", escape(view.kind)),
        ("Author", escape(view.author)),
        *((escape(said.name.capitalize()), _said(said.name, said.text)) for said in view.says),
        ("Submitted (UTC)", _time(view.submitted_at)),
        ("In a block (UTC)", _time(view.committed_at)),
        ("Endorsed by", escape(", ".join(item.node for item in found.endorsed.endorsements))),
        ("Approved by", escape(", ".join(item.node for item in found.endorsed.approvals))),
    )
    content = (
        f"<h1>Transaction</h1><p class='notice {'bad' if view.reason else 'good'}'>In "
        f"{_link(f'/block/{view.height}', f'block {view.height}')}, {outcome}.</p>{_facts(facts)}"
        f"<h2>Inclusion proof</h2>{_proof(host.crypto.suite, receipt)}<p>{_receipt_link(view.id)}</p>{_search()}"
    )
    return _page(site, "Transaction", content)


def _proof(suite: HashSuite, receipt: Receipt) -> str:
    header, entry = receipt.header, receipt.entries[0]
    try:
        merkle.verify_inclusion(suite, header.merkle_root, header.size, entry.index, entry.leaf, entry.path)
        check = "<span class='badge good'>the path leads from the leaf to the root</span>"
    except ProofError as error:
        check = f"<span class='badge bad'>{escape(str(error))}</span>"
    path = "".join(f"<li>{_code(digest.hex())}</li>" for digest in entry.path)
    facts = (
        ("Leaf", f"index {entry.index} of {header.size}, {len(entry.leaf):,} bytes"),
        ("Leaf's hash", _code(suite.hash(merkle.LEAF_PREFIX + entry.leaf).hex())),
        ("Path, bottom up", f"<ol>{path}</ol>" if path else "none: the leaf is the root"),
        ("Merkle root", _code(header.merkle_root.hex())),
        ("Header's hash", _code(suite.hash(encode(header)).hex())),
        ("Certified by", _certified(certificate_view(receipt.certificate, header.proposer))),
        ("Checked here", check),
    )
    return _facts(facts)


def _receipt_link(tx_id: str) -> str:
    link = _link(f"/v1/transactions/{tx_id}/receipt", "receipt")
    return f"The {link} holds all of this; <code>ehrcore verify-proof</code> verifies it offline."
