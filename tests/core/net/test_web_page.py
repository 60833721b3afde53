"""The page says what the ledger says, escapes what it shows, loads nothing, and works in a browser."""

import asyncio
import base64
import hashlib
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ehrcore.codec import decode
from ehrcore.drive.net.host import NodeHost, Phase
from ehrcore.drive.net.web import look
from ehrcore.drive.net.web import page as page_module
from ehrcore.identity import Reason
from ehrcore.messages import Receipt
from tests.core.net.conftest import Local, Written

NODE = "contributor-0"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
VOID = {"meta", "link", "input", "br"}


class Page(HTMLParser):
    """A strict reading: every element is closed in its turn; its words, links, and what it would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.inline: dict[str, list[str]] = {"style": [], "script": []}
        self.attributes: set[str] = set()
        self.tables: list[list[list[str]]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.attributes |= set(given)
        self.links += [str(given["href"])] if tag == "a" else []
        self.loads += [str(given[name]) for name in ("src", "href", "action", "data") if tag != "a" and name in given]
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in {"td", "th"}:
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in self.inline:
            self.inline[self._open[-1]].append(data)
            return
        self.words.append(data)
        if {"td", "th"} & set(self._open):
            self.tables[-1][-1][-1] += data


async def visit(net: Local, place: str, status: int = 200) -> Page:
    answer = await net.ask(NODE, place)
    assert (answer.status, answer.media) == (status, "text/html; charset=utf-8")
    page = Page(answer.body.decode())
    require_closed(dict(answer.headers), page)
    return page


def require_closed(headers: dict[str, str], page: Page) -> None:
    """Nothing is loaded but from the node, and nothing inline runs that the policy does not name by its digest."""
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    for kind, texts in page.inline.items():
        for text in texts:
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in policy[f"{kind}-src"]
    assert set(page.loads) <= {"data:,", "/transaction"}
    assert all(link.startswith("/") and not link.startswith("//") for link in page.links)
    assert not {name for name in page.attributes if name.startswith("on") or name == "style"}
    assert "unsafe" not in headers["Content-Security-Policy"]


def test_the_front_page_shows_health_and_the_latest_blocks(written: Written) -> None:
    async def check() -> None:
        async with Local(written.path, NODE) as net:
            host: NodeHost = net.hosts[NODE]
            page = await visit(net, "/")
            assert f"Height {host.height}" in page.text
            assert f"Transactions {len(written.tx_ids)}" in page.text
            assert host.phase.value in page.text
            assert "Latency, median –" in page.text  # nothing has been committed since it started
            ((heads, *rows),) = page.tables
            assert heads == ["Height", "Time (UTC)", "Transactions", "Proposer", "Hash"]
            entries = host.entries(1, host.height + 1)[::-1]
            assert [row[0] for row in rows] == [str(entry.block.header.height) for entry in entries]
            assert [row[2] for row in rows] == [str(entry.block.header.size) for entry in entries]
            assert {row[3] for row in rows} == {"administrator-0"}
            assert host.tip.hex().startswith(rows[0][4].rstrip("…"))
            assert [f"/block/{row[0]}" for row in rows] == page.links[1:]

    asyncio.run(check())


def test_the_front_page_keeps_to_the_latest(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        async with Local(written.path, NODE) as net:
            monkeypatch.setattr(page_module, "LATEST", 2)
            rows = (await visit(net, "/")).tables[0][1:]
            assert [row[0] for row in rows] == [str(net.hosts[NODE].height), str(net.hosts[NODE].height - 1)]

    asyncio.run(check())


def test_a_chain_without_blocks_has_a_page(tmp_path: Path) -> None:
    from tests.core.net.conftest import found_local

    async def check() -> None:
        found_local(tmp_path / "network")
        async with Local(tmp_path / "network", NODE) as net:
            assert "No block yet." in (await visit(net, "/")).text
            assert "expected one from 1 to 0" in (await visit(net, "/block/1", 404)).text

    asyncio.run(check())


def test_a_block_leads_to_its_transactions_and_neighbours(written: Written) -> None:
    async def check() -> None:
        async with Local(written.path, NODE) as net:
            host: NodeHost = net.hosts[NODE]
            seen: list[str] = []
            for entry in host.entries(1, host.height + 1):
                height = entry.block.header.height
                page = await visit(net, f"/block/{height}")
                for digest in (entry.block.header.merkle_root, entry.block.header.previous, entry.state):
                    assert digest.hex() in page.text
                assert "more than two thirds of the stake: administrator-0" in page.text
                assert (f"/block/{height - 1}" in page.links) == (height > 1)
                assert (f"/block/{height + 1}" in page.links) == (height < host.height)
                seen += [link.removeprefix("/transaction/") for link in page.links if "/transaction/" in link]
                assert {row[4] for row in page.tables[0][1:]} == {"valid"}
            assert sorted(seen) == sorted(written.tx_ids)

    asyncio.run(check())


def test_a_transaction_is_shown_with_its_proof(written: Written) -> None:
    async def check() -> None:
        async with Local(written.path, NODE) as net:
            for tx_id in written.tx_ids:
                page = await visit(net, f"/transaction/{tx_id}")
                receipt = decode((await net.ask(NODE, f"/v1/transactions/{tx_id}/receipt")).body, Receipt)
                header, (entry,) = receipt.header, receipt.entries
                assert f"In block {header.height} , final and valid." in page.text
                assert f"index {entry.index} of {header.size}" in page.text
                for digest in (*entry.path, header.merkle_root):
                    assert digest.hex() in page.text
                assert "the path leads from the leaf to the root" in page.text
                assert f"/v1/transactions/{tx_id}/receipt" in page.links

    asyncio.run(check())


def test_the_form_finds_what_was_typed(written: Written) -> None:
    async def check() -> None:
        async with Local(written.path, NODE) as net:
            tx_id = written.tx_ids[0]
            for typed in (tx_id, tx_id.upper(), f"%20{tx_id}%0A"):
                assert tx_id in (await visit(net, f"/transaction?id={typed}")).text
            assert "expected one in the ledger" in (await visit(net, f"/transaction?id={'00' * 32}", 404)).text
            for typed in ("?id=", "", "?id=x", "?id=%00", "?other=1"):
                assert "hexadecimal digits" in (await visit(net, f"/transaction{typed}", 400)).text
            problems = net.hosts[NODE].counters.problems
            assert problems == {"unknown-transaction": 1, "malformed": 5}

    asyncio.run(check())


EVIL = "<script>alert(1)</script><img src=x onerror='x'>\"'&"


def test_what_is_typed_is_escaped(written: Written) -> None:
    async def check() -> None:
        async with Local(written.path, NODE) as net:
            from urllib.parse import quote

            page = await visit(net, f"/transaction?id={quote(EVIL)}", 400)
            assert "<script>alert(1)" in page.text
            assert page.inline["script"] == []

    asyncio.run(check())


def test_what_stands_in_the_ledger_is_escaped(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    """A visitor may write into a location what it likes."""

    async def check() -> None:
        async with Local(written.path, NODE) as net:
            host, kept, replace = net.hosts[NODE], net.hosts[NODE].entries, msgspec.structs.replace

            def entries(first: int, last: int) -> list[Any]:
                spoilt = []
                for entry in kept(first, last):
                    items = []
                    for item in entry.block.transactions:
                        body = item.transaction.body
                        if hasattr(body.payload, "location"):
                            body = replace(body, payload=replace(body.payload, location=EVIL))
                        body = replace(body, author=EVIL)
                        items.append(replace(item, transaction=replace(item.transaction, body=body)))
                    header = replace(entry.block.header, proposer=EVIL)
                    block = replace(entry.block, header=header, transactions=tuple(items))
                    spoilt.append(replace(entry, block=block, reasons=(Reason.REVOKED,) * len(entry.reasons)))
                return spoilt

            monkeypatch.setattr(host, "entries", entries)
            for place in ("/", "/block/1", f"/transaction/{written.tx_ids[0]}"):
                page = await visit(net, place)
                assert "<script>alert(1)</script>" in page.text
                assert len(page.inline["script"]) == (place == "/")
            assert "marked invalid (revoked): it changed nothing" in page.text
            assert "revoked" in (await visit(net, "/block/1")).tables[0][1][4]
            assert "(1 invalid)" in (await visit(net, "/")).text

    asyncio.run(check())


def test_a_spoilt_proof_is_shown_as_one(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: a path that leads elsewhere."""

    async def check() -> None:
        async with Local(written.path, NODE) as net:
            host, tx_id = net.hosts[NODE], written.tx_ids[1]
            receipt = host.receipt(bytes.fromhex(tx_id))
            assert receipt is not None
            entry = msgspec.structs.replace(receipt.entries[0], path=(bytes(32),))
            spoilt = msgspec.structs.replace(receipt, entries=(entry,))
            monkeypatch.setattr(host, "receipt", lambda _: spoilt)
            text = (await visit(net, f"/transaction/{tx_id}")).text
            assert "inclusion proof: expected" in text
            assert "the path leads from" not in text

    asyncio.run(check())


# -- in a browser ----------------------------------------------------------------------------------------------------


async def browse(folder: Path, url: str, *more: str) -> tuple[str, str]:
    """The page as it stands in a browser after some seconds of its own time, and what the browser had to say."""
    assert CHROMIUM
    process = await asyncio.create_subprocess_exec(
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={folder}",
        "--virtual-time-budget=5000", "--enable-logging=stderr", *more, "--dump-dom", url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    dom, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    return dom.decode(), said.decode()


in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path")


@in_a_browser
@pytest.mark.slow
def test_a_browser_shows_the_pages_without_complaint(written: Written, tmp_path: Path) -> None:
    async def check() -> None:
        async with Local(written.path, NODE) as net:
            url, tx_id = net.plan.url(NODE), written.tx_ids[0]
            for place, words in (
                ("/block/1", "Merkle root"),
                (f"/transaction/{tx_id}", "the path leads from the leaf to the root"),
                (f"/transaction?id={tx_id}", "final and valid"),
                ("/transaction?id=x", "hexadecimal digits"),
            ):
                dom, said = await browse(tmp_path, url + place)
                assert words in dom
                assert "Content Security Policy" not in said

    asyncio.run(check())


@in_a_browser
@pytest.mark.slow
def test_in_a_browser_the_front_page_keeps_itself_fresh(
    written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        async with Local(written.path, NODE) as net:
            host = net.hosts[NODE]
            status, asked = host.status, []

            def count() -> Any:
                asked.append(1)
                if len(asked) > 1:
                    host.phase = Phase.STOPPING
                return msgspec.structs.replace(status(), height=1_000 * len(asked))

            monkeypatch.setattr(host, "status", count)
            dom, said = await browse(tmp_path, net.plan.url(NODE))
            assert len(asked) >= 2
            assert "<strong>1,000</strong>" not in dom
            assert re.search(r"<strong>\d,000</strong>", dom)
            assert "stopping</span>" in dom
            assert "Content Security Policy" not in said
            assert net.hosts[NODE].counters.http.keys() == {("GET", "/", 200)}

    asyncio.run(check())


@in_a_browser
@pytest.mark.slow
def test_a_script_that_the_policy_does_not_name_is_not_run(
    written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: what is not as the policy says is refused by the browser, and the tests above would see it."""
    monkeypatch.setattr(page_module, "SCRIPT", look.SCRIPT + ";")

    async def check() -> None:
        async with Local(written.path, NODE) as net:
            _, said = await browse(tmp_path, net.plan.url(NODE))
            assert "Content Security Policy" in said
            assert net.hosts[NODE].counters.http[("GET", "/", 200)] == 1

    asyncio.run(check())
