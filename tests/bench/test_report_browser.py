"""The page in a real browser, from a file: what its scripts add, and that nothing complains."""

import asyncio
import json
import shutil
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import msgspec
import pandas as pd
import pytest

from bench.report import read_report
from bench.report.page import render_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.long, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path")]


class Tab:
    """An open page that is spoken to by the browser's own protocol; ``said`` is what the browser complained of."""

    def __init__(self, socket):
        self._socket, self._number, self.said = socket, 0, []

    async def call(self, method, **params):
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        while True:
            told = await self._socket.receive_json(timeout=60)
            if told.get("id") == self._number:
                assert "error" not in told, told
                return told["result"]
            if told.get("method") in {"Runtime.exceptionThrown", "Log.entryAdded"}:
                self.said.append(json.dumps(told["params"]))

    async def run(self, code):
        """What the page answers to ``code``, an expression that may be a promise."""
        told = await self.call("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def wait(self, code):
        for _ in range(400):
            if await self.run(code):
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"never came true: {code}")

    async def point(self, selector):
        """Lay the pointer on what is selected until a tooltip shows: what is above may still grow."""
        await self.run("document.documentElement.style.scrollBehavior = 'auto'")
        for _ in range(100):
            place = await self.run(
                f"(() => {{ const one = document.querySelector('{selector}');"
                "one.scrollIntoView({ block: 'center' });"
                "const at = one.getBoundingClientRect();"
                "return { x: at.x + at.width / 2, y: at.y + at.height / 2 }; })()"
            )
            await self.call("Input.dispatchMouseEvent", type="mouseMoved", **place)
            if await self.run("!!document.querySelector('#vg-tooltip-element.visible')"):
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"no tooltip: {selector}")


async def _find_port(path):
    for _ in range(600):
        if path.exists() and (lines := path.read_text().split()):
            return lines[0]
        await asyncio.sleep(0.05)
    raise AssertionError("the browser did not start")


@asynccontextmanager
async def browse(folder, url):
    process = await asyncio.create_subprocess_exec(
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={folder}",
        "--remote-debugging-port=0", "--window-size=1280,900", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        port = await _find_port(folder / "DevToolsActivePort")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                target = next(one for one in await answer.json() if one["type"] == "page")
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                tab = Tab(socket)
                for name in ("Runtime", "Log", "Page"):
                    await tab.call(f"{name}.enable")
                await tab.call("Page.navigate", url=url)
                await tab.wait("document.readyState === 'complete' && location.protocol === 'file:'")
                yield tab
    finally:
        process.terminate()
        await process.wait()


def visit(tmp_path, page, check, query=""):
    async def go():
        async with browse(tmp_path / "profile", page.as_uri() + query) as tab:
            await check(tab)
            return tab.said

    return asyncio.run(go())


COUNT = "document.querySelectorAll({}).length".format


def test_scripts_add_what_they_should_and_nothing_complains(table1_run: Path, tmp_path: Path) -> None:
    claims = json.loads((table1_run / "claims.json").read_text(encoding="utf-8"))["claims"]
    contradicted = sum(item["verdict"] == "contradicted" for item in claims)

    rows = pd.read_csv(table1_run / "tables" / "table1.csv")
    modes = ["calibrated_tx_per_6min", "tx_per_s", "shared_tx_per_s", "net_tx_per_s"]
    shown = int(rows[modes].notna().sum().sum())

    async def check(tab):
        assert await tab.run(COUNT("'details.claim:not([hidden])'")) == contradicted
        assert await tab.run("document.querySelector('#claims .count').textContent") == f"{contradicted} of 46 claims"
        await tab.run("location.hash = '#claim-C33'")
        await tab.wait("document.getElementById('claim-C33').open && !document.getElementById('claim-C33').hidden")
        table = "document.querySelector('#table-table1')"
        first = f"{table}.querySelector('tbody tr').cells"
        await tab.run(f"{table}.querySelectorAll('th button')[0].click()")
        await tab.run(f"{table}.querySelectorAll('th button')[0].click()")
        assert await tab.run(f"{first}[0].textContent") == "18", "the last row first"
        assert await tab.run(f"{table}.querySelector('th').getAttribute('aria-sort')") == "descending"
        await tab.run(f"{{ const field = {table}.querySelector('input'); field.value = 'OUTLIER';"
                      "field.dispatchEvent(new Event('input')); }")  # fmt: skip
        assert await tab.run(COUNT("'#table-table1 tbody tr:not([hidden])'")) == 1
        marks = COUNT("'#figure-table1_throughput .chart svg path[aria-roledescription=point]'")
        await tab.run("document.getElementById('figure-table1_throughput').scrollIntoView()")
        await tab.wait(f"{marks} > 0")
        everything = await tab.run(marks)
        await tab.point("#figure-table1_throughput .chart svg path[aria-roledescription=point]")
        assert "Configuration" in await tab.run("document.getElementById('vg-tooltip-element').textContent")
        await tab.run("{ const field = document.getElementById('engine'); field.value = 'calibrated';"
                      "field.dispatchEvent(new Event('input')); }")  # fmt: skip
        await tab.wait(f"{marks} === 18")
        assert everything == shown
        hidden = f"[...{table}.querySelectorAll('th')].filter((one) => one.hidden).map((one) => one.dataset.engine)"
        assert set(await tab.run(hidden)) == {"simulated", "real"}

    assert visit(tmp_path, table1_run / "report.html", check, "?verdict=contradicted") == []


def test_the_page_switches_to_a_run_beside_and_back(table1_run: Path, tmp_path: Path) -> None:
    report = read_report(table1_run)
    other = replace(report, manifest=msgspec.structs.replace(report.manifest, run_id="<i>other</i>"))
    page = tmp_path / "both.html"
    page.write_text(render_page(report, [other]), encoding="utf-8")
    field = "document.getElementById('{0}')"
    choose = f"{field}.value = '{{1}}'; {field}.dispatchEvent(new Event('input'))".format

    async def check(tab):
        title = "document.querySelector('h1').textContent"
        tools = COUNT("'#table-table1 .tools'")
        assert await tab.run(title) == "<i>other</i>", "as the address says"
        await tab.run(choose("engine", "calibrated"))
        await tab.run(choose("runs", 0))
        assert await tab.run(title) == report.manifest.run_id
        assert await tab.run("document.getElementById('engine').value") == "calibrated"
        assert await tab.run(COUNT("'#table-table1 th[hidden]'")) > 10
        await tab.run(choose("runs", 1))
        await tab.run(choose("runs", 0))
        assert await tab.run(tools) == 1
        assert await tab.run("[...document.querySelectorAll('[id]')].every((one, at, all) =>"
                             "all.findIndex((each) => each.id === one.id) === at)")  # fmt: skip

    assert visit(tmp_path, page, check, "?run=1") == []


def test_a_script_that_the_policy_does_not_name_is_not_run(table1_run: Path, tmp_path: Path) -> None:
    """Planted: one byte more, and a script put in by somebody else; the test above would see both."""
    text = (table1_run / "report.html").read_text(encoding="utf-8")
    changed = tmp_path / "changed.html"
    added = '<script>window.evil = 1</script><img src="x" onerror="window.evil = 1"></body>'
    changed.write_text(text.replace("</script>\n</body>", ";</script>\n</body>").replace("</body>", added))

    async def check(tab):
        assert await tab.run("window.evil") is None
        assert await tab.run("document.getElementById('controls').hidden")
        assert await tab.run(COUNT("'details.claim'")) == 46, "what is static stays"

    said = visit(tmp_path, changed, check)
    assert sum("Content Security Policy" in line for line in said) >= 3
