"""Catching up: blocks that a node has missed, or is not sent at all, as agents are not.

Blocks are asked of one peer after the other and go to the role as if they had been sent: it checks their certificates
and everything else, so a peer can hold back blocks but not make them up.
"""

import asyncio
import random
from typing import Final

import aiohttp

from ehrcore.codec import decode
from ehrcore.drive.net.host import NodeHost, Phase
from ehrcore.effects import Received
from ehrcore.errors import CodecError
from ehrcore.messages import Finalised
from ehrcore.types import MINUTE, Role, node_id

#: Blocks asked for at once, within what one answer may hold.
BLOCKS: Final = 32
PAUSE_S: Final = 1.0
#: How long a peer may keep silent before the next one is asked: one that is cut off must not hold a node up for long.
SILENCE_S: Final = 2.0


def keepers(host: NodeHost) -> list[str]:
    """Whom to ask for blocks: who keeps them all, and administrators, who keep the last ones."""
    roles = host.plan.roles()
    sources = [name for name, role in roles.items() if role in {Role.CONTRIBUTOR, Role.ADMINISTRATOR}]
    return [name for name in (node_id(Role.COORDINATOR, 0), *sources) if name != host.name]


async def follow_chain(host: NodeHost) -> None:
    """Ask for the blocks after the last one, for ever: at once when one is missing, else now and then."""
    peers = keepers(host)
    silent, has_answer = 0, False
    while True:
        host.gap.clear()
        peer = peers[silent % len(peers)] if silent < len(peers) else random.choice(peers)
        blocks = await fetch_blocks(host, peer)
        has_answer |= blocks is not None
        if blocks:
            before = host.height
            await host.process([Received(peer, final) for final in blocks])
            if host.height > before:
                silent = 0
                continue
        silent += 1
        if silent >= len(peers):
            # Nobody had more: as far as can be known, this is the end of the chain.  An administrator that is alone
            # knows nothing, and says nothing.
            if has_answer or host.role is not Role.ADMINISTRATOR:
                host.become_ready()
            await _pause(host, PAUSE_S if host.phase is Phase.READY else PAUSE_S / 10)


async def _pause(host: NodeHost, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds * random.uniform(0.8, 1.2)):
            await host.gap.wait()
        await asyncio.sleep(seconds / 20)
    except TimeoutError:
        pass


async def fetch_blocks(host: NodeHost, peer: str) -> tuple[Finalised, ...] | None:
    """The blocks after this node's last one, as ``peer`` has them; None if it does not answer or talks nonsense."""
    routes = host.links.routes
    timeout = aiohttp.ClientTimeout(total=10, sock_connect=SILENCE_S, sock_read=SILENCE_S)
    url = f"{routes.url(peer)}/v1/blocks?from={host.height + 1}&limit={BLOCKS}"
    try:
        async with host.links.session.get(url, timeout=timeout, server_hostname=routes.tls_name(peer)) as response:
            if response.status != 200:  # noqa: PLR2004 - HTTP
                return None
            return decode(await response.read(), tuple[Finalised, ...])
    except (aiohttp.ClientError, TimeoutError, OSError, CodecError):
        return None


async def follow_waiting(host: NodeHost) -> None:
    """Repeat, for ever, what an agent has endorsed or a coordinator approved and the chain does not show."""
    seen, at = host.height, host.now()
    while True:
        await asyncio.sleep(PAUSE_S / 4 * random.uniform(0.8, 1.2))
        host.out.repeat(is_moving=host.height > seen)
        if host.now() > at + MINUTE:
            seen, at = host.height, host.now()


def followers(host: NodeHost) -> list["asyncio.Task[None]"]:
    """The tasks that a node of this role runs beside its role."""
    work = [follow_chain(host)]
    if host.role in {Role.AGENT, Role.COORDINATOR}:
        work.append(follow_waiting(host))
    if host.custody is not None:
        work.append(host.custody.run())
    return [asyncio.create_task(each) for each in work]
