"""`ehrcore status`: what every node says of itself, and which say nothing."""

import argparse
import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from ehrcore.cli.format import align, show_number
from ehrcore.drive.net.client import Client, Told, ask_each, folder_of
from ehrcore.drive.net.plan import NetworkFolder, NetworkPlan
from ehrcore.drive.net.status import NodeStatus
from ehrcore.types import SECOND, Role

PAUSE_S: Final = 2.0
HEADINGS: Final = ("node", "phase", "height", "ledger [tx]", "CPU [s]", "RSS [MB]", "queued", "problems", "up [s]")


def status(options: argparse.Namespace) -> int:
    """Print a table, or JSON with null for whoever does not answer; 1 if there is one."""
    folder, plan = folder_of(options.folder)
    return asyncio.run(_show(folder, plan, is_repeated=options.watch, is_json=options.json))


async def _show(folder: NetworkFolder, plan: NetworkPlan, *, is_repeated: bool, is_json: bool) -> int:
    async with Client(folder, plan) as client:
        while True:
            told = await ask_status(client)
            if is_json:
                print(
                    msgspec.json.encode({name: told.answers.get(name) for name in processes(plan)}).decode(), flush=True
                )
            else:
                print("\n".join([*align([HEADINGS, *build_rows(plan, told)], left=2), *lacking(told)]), flush=True)
            if not is_repeated:
                return int(bool(told.silent))
            await asyncio.sleep(PAUSE_S)
            if not is_json:
                print(f"\n{time.strftime('%H:%M:%S')}")


def processes(plan: NetworkPlan) -> list[str]:
    """The nodes that are processes: all but visitors."""
    return [name for name, role in plan.roles().items() if role is not Role.VISITOR]


async def ask_status(client: Client) -> Told:
    """The status of every node that answers."""
    return await ask_each(processes(client.plan), client.status)


def build_rows(plan: NetworkPlan, told: Told) -> list[Sequence[str]]:
    """A row per node, in the plan's order."""
    answers: Mapping[str, NodeStatus] = told.answers
    return [_row(name, answers.get(name)) for name in processes(plan)]


def lacking(told: Told) -> list[str]:
    """A line for each contributor that has no share of some records' keys: the others must not lose theirs, too."""
    answers: Mapping[str, NodeStatus] = told.answers
    return [
        f"{name}: no share of the keys of {count} records, until somebody reads each (ehrcore read)"
        for name, node in answers.items()
        if (count := node.lacking_shares)
    ]


def _row(name: str, node: NodeStatus | None) -> Sequence[str]:
    if node is None:
        return (name, "down", *("–" for _ in HEADINGS[2:]))
    return (
        name,
        node.phase,
        show_number(None if node.role == Role.AGENT else node.height),
        show_number(node.transactions),
        show_number(node.cpu_s, 1),
        show_number(node.rss_bytes / 1e6),
        show_number(node.queued),
        show_number(sum(node.problems.values())),
        show_number((node.now_ns - node.started_at_ns) / SECOND),
    )
