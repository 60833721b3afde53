"""Engine `bombs`: what members may say and what costs more than it should, at the code that bounds it; no network.

A flood of accesses that will all be denied goes to one real agent with its files, whose coordinators are down: nothing
is settled, so all of it waits.
"""

import asyncio
import time
from pathlib import Path
from typing import Final

from bench.attacks.bombs import attack_books, attack_clauses
from bench.engines.base import Context
from bench.engines.impostor import FULL
from bench.experiments.attacks import Expected, Tally, check_attacks
from bench.experiments.base import Case, Row
from bench.net.network import found_where_free
from bench.net.ward import do_not_wait
from ehrcore.block import Transaction, TransactionBody
from ehrcore.codec import encode
from ehrcore.consent import Access, Action, Purpose
from ehrcore.crypto import Crypto
from ehrcore.drive.net import host as hosts
from ehrcore.drive.net.plan import NetworkConfig, NetworkFolder
from ehrcore.faults.mutants import patched

NO_LIMIT: Final = "no limit per author"
#: Transactions of one author that wait at an agent; small here, for floods are short (usual: `hosts.AUTHOR_LIMIT`).
_LIMIT: Final = 64
_BEYOND: Final = 32


def run_bombs(context: Context, case: Case) -> list[Row]:
    """Contract and consent bombs, and the flood of denied accesses.  No settings."""
    del case
    scenario = context.scenario
    rows = [*attack_clauses(), *attack_books()]
    with context.scratch() as scratch:
        for number, protection in enumerate((FULL, NO_LIMIT)):
            rows += asyncio.run(_flood(scratch / str(number), scenario.curve, f"{scenario.seed}|bombs", protection))
    return check_attacks([{**row, "group": "bombs"} for row in rows])


async def _flood(path: Path, curve: str, label: str, protection: str) -> list[Row]:
    """A member asks to read what nobody permits, as fast as it can; another one comes after it."""
    from ehrcore.drive.net.node import open_host

    plan = found_where_free(path, NetworkConfig(curve=curve, visitors=2), label)
    folder = NetworkFolder(path)
    members = {name: folder.context(plan, name).crypto for name in ("visitor-0", "visitor-1")}
    chain = bytes.fromhex(plan.chain)
    expected: Expected = "refused" if protection == FULL else "succeeds"
    tally = Tally("flood of denied accesses", "one member, at one agent", protection, expected)
    control = Tally("flood of denied accesses", "another member's (control)", protection, "succeeds")
    agent = open_host(folder, plan, "agent-0")
    await agent.links.start()
    agent.start()
    agent.links.drain = do_not_wait  # type: ignore[method-assign]  # for coordinators that are not there
    try:
        with patched([(hosts, "AUTHOR_LIMIT", _LIMIT if protection == FULL else 1 << 60)]):
            for number in range(_LIMIT + _BEYOND):
                tx = _ask(chain, "visitor-0", members["visitor-0"], number)
                begin = time.perf_counter_ns()
                found = await _submit(agent, tx)
                if number >= _LIMIT:
                    tally.add(found, time.perf_counter_ns() - begin)
            control.add(await _submit(agent, _ask(chain, "visitor-1", members["visitor-1"], 0)))
    finally:
        await agent.close()
    if protection == FULL:
        taken = f"a transaction of {len(encode(tx))} B, a used nonce and an audit event for ever"
        tally.note = f"{_LIMIT} wait at most (usual: {hosts.AUTHOR_LIMIT:,}); each is {taken}"
    return [tally.row(), control.row()]


def _ask(chain: bytes, author: str, crypto: Crypto, nonce: int) -> Transaction:
    access = Access(Action.READ, bytes(32), 1, nonce.to_bytes(32), Purpose.RESEARCH)
    body = TransactionBody(chain, author, nonce, time.time_ns(), access)
    return Transaction(body, crypto.sign(body))


async def _submit(agent: hosts.NodeHost, tx: Transaction) -> str | None:
    try:
        submission = await agent.submit(tx)
    except hosts.BusyError:
        return "agent: busy (429)"
    return f"agent: {submission.reason.value}" if submission.reason else None
