"""The live view of `ehrcore network up`: the chain's pace, and every node's state and load, once a second.

On a terminal it is a screen that fits the window; elsewhere a plain line every few seconds.
"""

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from ehrcore.cli.format import show_number
from ehrcore.cli.history import History, Sample
from ehrcore.cli.status import ask_status, processes
from ehrcore.drive.net.client import Client
from ehrcore.drive.net.local import LocalNetwork
from ehrcore.drive.net.status import NodeStatus
from ehrcore.types import Role

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

Nodes = Sequence[NodeStatus]

SCREEN_PAUSE_S, LINE_PAUSE_S = 1.0, 5.0
#: Columns after name and phase, of one node or of a role's nodes together.
COLUMNS: Final[tuple[tuple[str, Callable[[Nodes], float | None]], ...]] = (
    # Agents do not follow the chain.
    ("height", lambda nodes: min((node.height for node in nodes if node.role != Role.AGENT), default=None)),
    ("RSS MB", lambda nodes: sum(node.rss_bytes for node in nodes) / 1e6),
    ("queued", lambda nodes: sum(node.queued for node in nodes)),
    ("problems", lambda nodes: sum(sum(node.problems.values()) for node in nodes)),
)
#: Further ones in a window that has `WIDE` columns.
WIDE_COLUMNS: Final[tuple[tuple[str, Callable[[Nodes], float | None]], ...]] = (
    ("received", lambda nodes: sum(flow.messages for node in nodes for flow in node.received.values())),
    ("sent", lambda nodes: sum(flow.messages for node in nodes for flow in node.sent.values())),
    ("fsyncs", lambda nodes: sum(node.durable_commits for node in nodes)),
    ("dropped", lambda nodes: sum(sum(node.dropped.values()) for node in nodes)),
)
WIDE: Final = 120
#: Lines of the screen that are not rows of nodes.
FRAME_LINES: Final = 8


def watch(local: LocalNetwork) -> None:
    """Show the network until interrupted (SIGINT, SIGTERM, SIGHUP)."""
    asyncio.run(_watch(local))


async def _watch(local: LocalNetwork) -> None:
    stop, history = asyncio.Event(), History(local.plan)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Client(local.folder, local.plan) as client:
        if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
            await _show_screen(local, client, history, stop)
            return
        while not stop.is_set():
            await _sample(client, history)
            print(plain_line(history), flush=True)
            await _rest(stop, LINE_PAUSE_S)


async def _show_screen(local: LocalNetwork, client: Client, history: History, stop: asyncio.Event) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while not stop.is_set():
            await _sample(client, history)
            live.update(build_screen(local, history, console.width, console.height), refresh=True)
            await _rest(stop, SCREEN_PAUSE_S)


async def _sample(client: Client, history: History) -> None:
    told = await ask_status(client)
    history.add(Sample(time.monotonic(), told.answers))


async def _rest(stop: asyncio.Event, pause_s: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), pause_s)


def plain_line(history: History) -> str:
    """The chain and the nodes in one line."""
    down, total = history.down(), len(processes(history.plan))
    words = [time.strftime("%H:%M:%S"), f"{total - len(down)} of {total} nodes up", *history.pace()]
    return "  ".join([*words, f"down: {', '.join(down)}"] if down else words)


def build_screen(local: LocalNetwork, history: History, width: int, height: int) -> "RenderableType":
    """The screen for a window of this size: a row per node, or per role if there are more nodes than lines."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    plan, down = history.plan, history.down()
    params, total = plan.open_genesis().params, len(processes(plan))
    head = Table.grid(expand=True)
    head.add_column(no_wrap=True)
    head.add_column(no_wrap=True, justify="right")
    title = f"{plan.name}  chain {plan.chain[:16]}  {params.consensus}, {params.hash_suite}, {params.curve}"
    state = Text(f"{total - len(down)} of {total} nodes up", style="bold red" if down else "green")
    head.add_row(Text(title, style="bold"), state.append(time.strftime("  %H:%M:%S"), style="default"))
    pace = Text("  ".join(history.pace()), style="cyan", no_wrap=True)
    said = (f"{name} is down; its last word: {local.last_line(name)}"[: width - 1] for name in down[:2])
    foot = Text("Ctrl-C stops what this command has started", style="dim")
    table = _table(history, width, height - FRAME_LINES)
    return Group(head, pace, table, *(Text(line, style="red") for line in said), foot)


def _table(history: History, width: int, room: int) -> "Table":
    """Nodes, or roles where there is no room for all nodes."""
    from rich import box
    from rich.table import Table

    names, roles = processes(history.plan), history.plan.roles()
    groups = {name: [name] for name in names}
    if len(names) > room:
        groups = {}
        for name in names:
            groups.setdefault(f"{roles[name]}s", []).append(name)
    is_wide = width >= WIDE
    table = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False)
    for heading in ("node", "phase"):
        table.add_column(heading, no_wrap=True)
    columns = COLUMNS + WIDE_COLUMNS if is_wide else COLUMNS
    for heading in ("CPU %", *(heading for heading, _ in columns), *(["address"] if is_wide else [])):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, members in groups.items():
        address = [history.plan.url(members[0]) if len(members) == 1 else ""] if is_wide else []
        table.add_row(*_cells(history, name, members, [compute for _, compute in columns]), *address)
    return table


def _cells(
    history: History, name: str, members: Sequence[str], columns: Sequence[Callable[[Nodes], float | None]]
) -> list["RenderableType"]:
    """One node's row, or a role's: sums, and of heights the least."""
    from rich.text import Text

    last = history.samples[-1].nodes
    nodes = [last[member] for member in members if member in last]
    phases = Counter[str](node.phase for node in nodes) + Counter({"down": len(members) - len(nodes)})
    words = ", ".join(f"{count} {phase}" if len(members) > 1 else phase for phase, count in phases.items())
    style = "bold red" if "down" in phases else "green" if set(phases) == {"ready"} else "yellow"
    shares = [share for member in members if (share := history.cpu_percent(member)) is not None]
    values = [compute(nodes) if nodes else None for compute in columns]
    return [name, Text(words, style=style), show_number(sum(shares) if shares else None), *map(show_number, values)]
