"""Certificates that have come onto the chain since its beginning: of persons, and of nodes with new keys."""

from collections.abc import Collection
from typing import Final

from ehrcore.agreements import Agreement
from ehrcore.block import Block, Enrolment
from ehrcore.drive.net.client import Client
from ehrcore.identity import Certificate
from ehrcore.messages import Finalised
from ehrcore.proof import Verified

#: Blocks asked for at once.
BLOCKS: Final = 64


def names_in(shown: Verified) -> frozenset[str]:
    """All whose signatures a transaction carries."""
    endorsed = shown.endorsed
    body, words = endorsed.transaction.body, (*endorsed.endorsements, *endorsed.approvals)
    parties = body.payload.terms.parties if isinstance(body.payload, Agreement) else ()
    return frozenset({body.author, *parties, *(word.node for word in words)})


async def find_certificates(
    client: Client, keeper: str, names: Collection[str], height: int
) -> tuple[Certificate, ...]:
    """The last certificate of each of ``names`` that was enrolled before the block at ``height``, as ``keeper`` says.

    Nobody has to believe it: the authority has signed them.
    """
    found: dict[str, Certificate] = {}
    first = 1
    while first < height:
        route = f"/v1/blocks?from={first}&limit={min(BLOCKS, height - first)}"
        blocks = (await client.fetch(keeper, route)).struct(tuple[Finalised, ...])
        if not blocks:
            break
        for final in blocks:
            found |= {item.body.subject: item for item in _enrolled(final.block) if item.body.subject in names}
        first += len(blocks)
    return tuple(found[name] for name in sorted(found))


def _enrolled(block: Block) -> list[Certificate]:
    payloads = (item.transaction.body.payload for item in block.transactions)
    return [payload.certificate for payload in payloads if isinstance(payload, Enrolment)]
