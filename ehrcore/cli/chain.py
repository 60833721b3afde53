"""The chain as the ledger keepers have it, replayed here: what a command believes about its state."""

from ehrcore.drive.net.client import Client, NoAnswerError, ask_each
from ehrcore.errors import DeploymentError, ValidationError
from ehrcore.ledger import open_crypto
from ehrcore.messages import Finalised
from ehrcore.state import ChainState
from ehrcore.types import Role, node_id

#: Blocks asked for at once.
BLOCKS = 64


async def replay_chain(client: Client) -> ChainState:
    """The state after all blocks that any keeper has, each validated; `DeploymentError` if nobody has them all."""
    plan = client.plan
    genesis = plan.open_genesis()
    crypto = open_crypto(genesis.params)
    state = ChainState(genesis.params, bytes.fromhex(plan.chain), genesis.certificates, crypto)
    keepers = [*(name for name, role in plan.roles().items() if role is Role.CONTRIBUTOR), node_id(Role.COORDINATOR, 0)]
    told = await ask_each(keepers, client.status)
    heights = {name: keeper.height for name, keeper in told.answers.items()}
    last, troubles = max(heights.values(), default=-1), list(told.silent.values())
    for name in sorted(heights, key=heights.__getitem__, reverse=True):
        try:
            await _follow(state, client, name, last)
        except (NoAnswerError, ValidationError) as error:
            troubles.append(f"{name}: {error}")
        if state.height >= last:
            return state
    raise DeploymentError(f"ledgers: expected a keeper of {max(last, 0)} blocks, found none ({'; '.join(troubles)})")


async def _follow(state: ChainState, client: Client, name: str, last: int) -> None:
    while state.height < last:
        route = f"/v1/blocks?from={state.height + 1}&limit={min(BLOCKS, last - state.height)}"
        blocks = (await client.fetch(name, route)).struct(tuple[Finalised, ...])
        if not blocks:
            return
        for final in blocks:
            state.apply(final.block, state.validate(final.block, final.certificate))
