"""Certificates that have come onto the chain since its beginning: of persons, and of nodes with new keys."""

from collections.abc import Collection

from ehrcore.agreements import Agreement
from ehrcore.block import Enrolment
from ehrcore.drive.net.client import Client
from ehrcore.identity import Certificate
from ehrcore.proof import Verified


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
    async for final in client.blocks(keeper, 1, height - 1):
        for item in final.block.transactions:
            payload = item.transaction.body.payload
            if isinstance(payload, Enrolment) and payload.certificate.body.subject in names:
                found[payload.certificate.body.subject] = payload.certificate
    return tuple(found[name] for name in sorted(found))
