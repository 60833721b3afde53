"""The chain replayed here, for commands that believe no node: blocks come from a ledger keeper, and are validated."""

import asyncio
from collections.abc import Callable
from typing import Final

from ehrcore.drive.net.client import Client, ask_each
from ehrcore.drive.net.plan import NetworkFolder, NetworkPlan
from ehrcore.errors import DeploymentError, ValidationError
from ehrcore.ledger import open_crypto
from ehrcore.messages import Finalised
from ehrcore.state import ChainState, Verdict
from ehrcore.types import Role

#: Blocks asked for at once.
BLOCKS: Final = 64


def open_chain(plan: NetworkPlan) -> ChainState:
    """The state before the first block."""
    genesis = plan.open_genesis()
    return ChainState(genesis.params, bytes.fromhex(plan.chain), genesis.certificates, open_crypto(genesis.params))


async def follow(client: Client, name: str, state: ChainState, last: int, take: Callable[[Finalised], object]) -> None:
    """Go on with the blocks of one keeper up to height ``last``, or to the first that it does not have.

    ``take`` advances ``state`` over each, and raises `ValidationError` for one that is wrong.
    """
    while state.height < last:
        route = f"/v1/blocks?from={state.height + 1}&limit={min(BLOCKS, last - state.height)}"
        blocks = (await client.fetch(name, route)).struct(tuple[Finalised, ...])
        if not blocks:
            return
        for final in blocks:
            take(final)


def read_chain(
    folder: NetworkFolder, plan: NetworkPlan, take: Callable[[Finalised, Verdict], None] | None = None
) -> ChainState:
    """The state after the last block of the contributor who tells of most; ``take`` sees each block.

    `DeploymentError` if none answers, or a block is not valid.
    """

    async def read() -> ChainState:
        async with Client(folder, plan) as client:
            return await _replay(client, take)

    return asyncio.run(read())


async def _replay(client: Client, take: Callable[[Finalised, Verdict], None] | None) -> ChainState:
    plan, state = client.plan, open_chain(client.plan)
    contributors = [name for name, role in plan.roles().items() if role is Role.CONTRIBUTOR]
    told = await ask_each(contributors, client.status)
    if not told.answers:
        raise DeploymentError(f"ledgers: expected one that answers, found none ({'; '.join(told.silent.values())})")
    name, last = max(((name, keeper.height) for name, keeper in told.answers.items()), key=lambda item: item[1])

    def advance(final: Finalised) -> None:
        verdict = state.validate(final.block, final.certificate)
        state.apply(final.block, verdict)
        if take is not None:
            take(final, verdict)

    try:
        await follow(client, name, state, last, advance)
    except ValidationError as error:
        raise DeploymentError(f"{name}: block {state.height + 1}: {error}") from None
    if state.height < last:
        raise DeploymentError(f"{name}: expected {last} blocks, found {state.height}")
    return state
