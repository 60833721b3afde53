"""One node's process: open its files, serve, catch up, and go in good order when it is told to."""

import asyncio
import contextlib
import dataclasses
import fcntl
import gc
import os
import signal
import sys
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from ehrcore.block import Block, Genesis, Transaction
from ehrcore.codec import decode, encode
from ehrcore.crypto import Crypto
from ehrcore.drive.extensions import load_inherited
from ehrcore.drive.net.ahead import Ahead
from ehrcore.drive.net.client import tls_context
from ehrcore.drive.net.custody import Custody
from ehrcore.drive.net.files import open_lock, read_hex
from ehrcore.drive.net.frames import LinkKeys
from ehrcore.drive.net.host import NodeHost, Phase, steady_clock
from ehrcore.drive.net.journal import Journal
from ehrcore.drive.net.library import Library
from ehrcore.drive.net.links import Links
from ehrcore.drive.net.plan import NetworkFolder, NetworkPlan
from ehrcore.drive.net.routes import read_routes
from ehrcore.drive.net.stores import open_store
from ehrcore.drive.net.sync import followers
from ehrcore.errors import DeploymentError, EhrError
from ehrcore.messages import Finalised, Word
from ehrcore.network import build_machine
from ehrcore.roles.context import Context, Kept
from ehrcore.types import Role, node_id

#: Final blocks whose transactions an administrator knows again after a restart: approvals of them may still come.
REMEMBERED_BLOCKS: Final = 1_024
LOCK_FILE: Final = "node.lock"
#: How long requests that are being handled may still take once the node was told to stop.
SHUTDOWN_S: Final = 5.0


def log(name: str, text: str) -> None:
    """One line on standard error; launchers keep it in the node's log."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    sys.stderr.write(f"{stamp}Z {name}: {' '.join(text.split())}\n")
    sys.stderr.flush()


@contextlib.contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Be the only process of this node; the file says which one that is."""
    with open_lock(path) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DeploymentError(f"{path}: expected no other process of this node, found one") from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield


def open_host(folder: NetworkFolder, plan: NetworkPlan, name: str) -> NodeHost:
    """The node's role with what it has kept; `EhrError` names a file that is missing, damaged or another's."""
    genesis, roles = plan.open_genesis(), plan.roles()
    if name not in roles:
        raise DeploymentError(f"node: expected one of {', '.join(roles)}, found {name!r}")
    role, chain, home = roles[name], bytes.fromhex(plan.chain), folder.node(name)
    keys, routes = LinkKeys(plan, name, read_hex(home / "link.key", "a key")), read_routes(folder, plan, name)
    context = folder.context(plan, name)
    with contextlib.ExitStack() as stack:
        library = _open_library(home, genesis, context.crypto, name, role)
        if library is not None:
            stack.callback(library.close)
        journal = Journal.open(home / "journal.sqlite", chain, name)
        stack.callback(journal.close)
        context = dataclasses.replace(context, kept=_read_kept(journal, library, context))
        store = open_store(folder)
        ahead = Ahead(store, context.crypto) if role is Role.COORDINATOR else None
        machine = build_machine(role, context, ahead or store)
        clock = steady_clock()
        epoch = journal.begin_epoch(clock())
        links = Links(plan, keys, epoch, clock, tls_context(folder, plan, name), routes)
        host = NodeHost(plan, context, machine, links, journal, library, ahead)
        if role is Role.CONTRIBUTOR:
            host.custody = Custody.open(host, home, store)
        stack.pop_all()
        return host


def _open_library(home: Path, genesis: Genesis, crypto: Crypto, name: str, role: Role) -> Library | None:
    keeps_ledger = role is Role.CONTRIBUTOR or name == node_id(Role.COORDINATOR, 0)
    return Library(home, genesis, crypto, name) if keeps_ledger else None


def _read_kept(journal: Journal, library: Library | None, context: Context) -> Kept:
    tip, suite = journal.tip(), context.crypto.suite
    # No window is longer than what a journal keeps.
    limit = max(REMEMBERED_BLOCKS, context.params.work.retarget_window)
    last = journal.finals(max(tip.height - limit, 0) + 1, limit) if tip else []
    blocks = [decode(content, Finalised).block for content in last]
    settled = tuple(suite.hash(encode(item.transaction.body)) for block in blocks for item in block.transactions)
    said = journal.said((tip.height if tip else 0) + 1)
    # Unions are type forms.
    heard: tuple[Word, ...] = tuple(decode(content, Word) for content in said)  # type: ignore[arg-type]
    ordered: list[Transaction | Block] = [decode(item, Transaction | Block) for item in journal.orders()]  # type: ignore[arg-type]
    orders = tuple(item for item in ordered if isinstance(item, Transaction))
    ordering = tuple(item for item in ordered if isinstance(item, Block))
    recent = tuple(block.header for block in blocks)
    return Kept(tip, library.state if library else None, orders, ordering, heard, settled, recent)


async def serve(folder: NetworkFolder, plan: NetworkPlan, name: str) -> None:
    """Run the node until it is told to stop; raises what it cannot go on after."""
    from ehrcore.drive.net.web.app import Runner, build_app  # noqa: PLC0415 - not before all files are known to be good
    from ehrcore.drive.net.web.exchange import read_bounds  # noqa: PLC0415

    bounds = read_bounds(folder.node(name))
    host = open_host(folder, plan, name)
    await host.links.start()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    runner = Runner(build_app(host, bounds), access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    tasks: list[asyncio.Task[None]] = []
    try:
        await _listen(runner, folder, plan, name)
        host.start()
        tasks = followers(host)
        # A vote must not wait for the writing thread to be asked for the interpreter, which is every 5 ms by default.
        sys.setswitchinterval(0.000_5)
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        log(name, f"serving at {plan.url(name)}, height {host.height}, process {os.getpid()}")
        await _wait_for_end(host, stopping, tasks)
    finally:
        host.phase = Phase.STOPPING
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Requests that have begun are answered; no new ones are taken.
        await runner.cleanup()
        with contextlib.suppress(EhrError):
            await host.close()
    log(name, f"stopped at height {host.height}")


async def _listen(runner: web.AppRunner, folder: NetworkFolder, plan: NetworkPlan, name: str) -> None:
    place, tls = plan.nodes[name], None
    if plan.tls:
        from ehrcore.drive.net.tls import server_context  # noqa: PLC0415 - X.509 is slow to import

        tls = server_context(folder, name)
    try:
        await web.TCPSite(runner, place.host, place.port, ssl_context=tls, backlog=1_024).start()
    except OSError as error:
        reason = (error.strerror or str(error)).split(": ")[-1]
        raise DeploymentError(f"{name}: expected to listen on {place.host}:{place.port}, found: {reason}") from None


async def _wait_for_end(host: NodeHost, stopping: asyncio.Event, tasks: list[asyncio.Task[None]]) -> None:
    """Until a signal, a failure, or the end of a task that must not end."""
    waiter = asyncio.create_task(stopping.wait(), name="signal")
    ends: list[asyncio.Future[Any]] = [host.failure, *tasks]
    await asyncio.wait([waiter, *ends], return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()
    for future in ends:
        if future.done():
            future.result()


def main(words: list[str]) -> int:
    """``FOLDER NAME``: run one node; 0 after a signal, 2 with one line for what a user can mend."""
    if len(words) != 2:  # noqa: PLR2004 - two words
        sys.stderr.write("usage: python -m ehrcore.drive.net FOLDER NAME\n")
        return 2
    folder, name = NetworkFolder(Path(words[0])), words[1]
    try:
        load_inherited()
        plan = folder.read_plan()
        plan.url(name)
        with hold_lock(folder.node(name) / LOCK_FILE):
            _run(serve(folder, plan, name))
    except EhrError as error:
        log(name, str(error))
        return 2
    return 0


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop  # noqa: PLC0415 - where it is available
    except ImportError:
        asyncio.run(work)
    else:
        uvloop.run(work)
