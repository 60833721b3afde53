"""The chain replayed here, for commands that believe no node: blocks come from a ledger keeper, and are validated."""

import asyncio
from collections.abc import Callable

from ehrcore.drive.net.client import Client, ask_each
from ehrcore.drive.net.plan import NetworkFolder, NetworkPlan
from ehrcore.errors import DeploymentError, ValidationError
from ehrcore.ledger import open_crypto
from ehrcore.messages import Finalised
from ehrcore.state import ChainState, Verdict
from ehrcore.types import Role


def open_chain(plan: NetworkPlan) -> ChainState:
    """The state before the first block."""
    genesis = plan.open_genesis()
    return ChainState(genesis.params, bytes.fromhex(plan.chain), genesis.certificates, open_crypto(genesis.params))


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
    told = await ask_each(plan.names(Role.CONTRIBUTOR), client.status)
    told.require("ledgers: expected one")
    name, last = max(((name, keeper.height) for name, keeper in told.answers.items()), key=lambda item: item[1])
    try:
        async for final in client.blocks(name, 1, last):
            verdict = state.validate(final.block, final.certificate)
            state.apply(final.block, verdict)
            if take is not None:
                take(final, verdict)
    except ValidationError as error:
        raise DeploymentError(f"{name}: block {state.height + 1}: {error}") from None
    if state.height < last:
        raise DeploymentError(f"{name}: expected {last} blocks, found {state.height}")
    return state
