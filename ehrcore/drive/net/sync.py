"""Catching up: blocks that a node has missed, and what has become of what an agent accepted.

Blocks are asked of one peer after the other and go to the role as if they had been sent: it checks their certificates
and everything else, so a peer can hold back blocks but not make them up.
"""

import asyncio
import random
from typing import Final

import aiohttp

from ehrcore.codec import decode, encode
from ehrcore.drive.net.host import NodeHost, Phase
from ehrcore.effects import Received
from ehrcore.errors import CodecError
from ehrcore.messages import Finalised
from ehrcore.params import majority
from ehrcore.types import Role, node_id

#: Blocks asked for at once, within what one answer may hold.
BLOCKS: Final = 32
#: Ids asked for at once.
IDS: Final = 8_192
PAUSE_S: Final = 1.0
ASK_PAUSE_S: Final = 0.25


def keepers(host: NodeHost) -> list[str]:
    """Whom to ask for blocks: who keeps them all, and administrators, who keep the last ones."""
    roles = host.plan.roles()
    sources = [name for name, role in roles.items() if role in {Role.CONTRIBUTOR, Role.ADMINISTRATOR}]
    return [name for name in (node_id(Role.COORDINATOR, 0), *sources) if name != host.name]


async def follow_chain(host: NodeHost) -> None:
    """Ask for the blocks after the last one, for ever: at once when one is missing, else now and then."""
    peers = keepers(host)
    silent = 0
    while True:
        host.gap.clear()
        peer = peers[silent % len(peers)] if silent < len(peers) else random.choice(peers)
        blocks = await fetch_blocks(host, peer)
        if blocks:
            before = host.height
            await host.process([Received(peer, final) for final in blocks])
            if host.height > before:
                silent = 0
                continue
        silent += 1
        if silent >= len(peers):
            # Nobody had more: as far as can be known, this is the end of the chain.
            host.become_ready()
            await _pause(host, PAUSE_S)


async def _pause(host: NodeHost, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds * random.uniform(0.8, 1.2)):
            await host.gap.wait()
        await asyncio.sleep(seconds / 20)
    except TimeoutError:
        pass


async def fetch_blocks(host: NodeHost, peer: str) -> tuple[Finalised, ...]:
    """The blocks after this node's last one, as ``peer`` has them; none if it does not answer or talks nonsense."""
    url = f"{host.plan.url(peer)}/v1/blocks?from={host.height + 1}&limit={BLOCKS}"
    try:
        async with host.links.session.get(url, timeout=aiohttp.ClientTimeout(total=10)) as response:
            if response.status != 200:  # noqa: PLR2004 - HTTP
                return ()
            return decode(await response.read(), tuple[Finalised, ...])
    except (aiohttp.ClientError, TimeoutError, OSError, CodecError):
        return ()


async def follow_waiting(host: NodeHost) -> None:
    """Ask the contributors, for ever, which of an agent's transactions are final; repeat those that stay open."""
    contributors = [name for name, role in host.plan.roles().items() if role is Role.CONTRIBUTOR]
    needed = majority(len(contributors))
    while True:
        await asyncio.sleep(ASK_PAUSE_S * random.uniform(0.8, 1.2))
        waiting = host.out.repeats.questions(host.now(), IDS)
        if waiting:
            answers = await asyncio.gather(*(_ask(host, name, waiting) for name in contributors))
            said = [sum(word) for word in zip(*answers, strict=True)]
            host.out.settle([tx_id for tx_id, count in zip(waiting, said, strict=True) if count >= needed])
        host.out.repeat()


async def _ask(host: NodeHost, contributor: str, tx_ids: list[bytes]) -> tuple[int, ...]:
    nothing = (0,) * len(tx_ids)
    url = f"{host.plan.url(contributor)}/v1/final"
    try:
        async with host.links.session.post(
            url, data=encode(tuple(tx_ids)), timeout=aiohttp.ClientTimeout(total=10)
        ) as response:
            if response.status != 200:  # noqa: PLR2004 - HTTP
                return nothing
            answer = decode(await response.read(), tuple[int, ...])
    except (aiohttp.ClientError, TimeoutError, OSError, CodecError):
        return nothing
    return tuple(int(word == 1) for word in answer) if len(answer) == len(tx_ids) else nothing


async def follow_approvals(host: NodeHost) -> None:
    """Repeat, for ever, a coordinator's approvals that do not become final."""
    while True:
        await asyncio.sleep(ASK_PAUSE_S)
        host.out.repeat()


def followers(host: NodeHost) -> list["asyncio.Task[None]"]:
    """The tasks that a node of this role runs beside its role."""
    tasks = {
        Role.AGENT: (follow_waiting,),
        Role.COORDINATOR: (follow_chain, follow_approvals),
        Role.ADMINISTRATOR: (follow_chain,),
        Role.CONTRIBUTOR: (follow_chain,),
    }[host.role]
    if follow_chain not in tasks:
        host.phase = Phase.READY
    return [asyncio.create_task(task(host), name=task.__name__) for task in tasks]
