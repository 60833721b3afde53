"""The chain replayed here, for commands that believe no node: blocks come from a ledger keeper, and are validated."""

from collections.abc import Callable
from typing import Final

from ehrcore.drive.net.client import Client, ask_each
from ehrcore.errors import DeploymentError, ValidationError
from ehrcore.ledger import open_crypto
from ehrcore.messages import Finalised
from ehrcore.state import ChainState, Verdict
from ehrcore.types import Role

#: Blocks asked for at once.
BLOCKS: Final = 64


async def replay(client: Client, take: Callable[[Finalised, Verdict], None] | None = None) -> ChainState:
    """The state after the last block of the contributor who tells of most; ``take`` sees each block.

    `DeploymentError` if none answers, or a block is not valid.
    """
    plan = client.plan
    genesis = plan.open_genesis()
    state = ChainState(genesis.params, bytes.fromhex(plan.chain), genesis.certificates, open_crypto(genesis.params))
    contributors = [name for name, role in plan.roles().items() if role is Role.CONTRIBUTOR]
    told = await ask_each(contributors, client.status)
    if not told.answers:
        raise DeploymentError(f"ledgers: expected one that answers, found none ({'; '.join(told.silent.values())})")
    name, last = max(((name, keeper.height) for name, keeper in told.answers.items()), key=lambda item: item[1])
    while state.height < last:
        route = f"/v1/blocks?from={state.height + 1}&limit={min(BLOCKS, last - state.height)}"
        blocks = (await client.fetch(name, route)).struct(tuple[Finalised, ...])
        if not blocks:
            raise DeploymentError(f"{name}: expected {last} blocks, found {state.height}")
        for final in blocks:
            try:
                verdict = state.validate(final.block, final.certificate)
            except ValidationError as error:
                raise DeploymentError(f"{name}: block {state.height + 1}: {error}") from None
            state.apply(final.block, verdict)
            if take is not None:
                take(final, verdict)
    return state
