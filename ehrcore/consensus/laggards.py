"""Catching up: what an administrator remembers of decided heights, for those that missed how they were decided.

A message for a height that was decided a while ago comes from a node that is stuck there; the final blocks since then
are the answer, and their certificates need no trust in who sends them.
"""

from typing import Final

from ehrcore.block import leaf_bytes
from ehrcore.bounded import make_room
from ehrcore.consensus.finality import header_hash, verify_certificate
from ehrcore.consensus.seam import Seat, Step
from ehrcore.consensus.validators import ValidatorSet
from ehrcore.crypto import Crypto
from ehrcore.effects import Send
from ehrcore.errors import ValidationError
from ehrcore.messages import Finalised
from ehrcore.params import ChainParams

#: How many heights a node may lie behind and still catch up from the others' memory.
CATCH_UP_LIMIT: Final = 64


class RecentBlocks:
    """The last `CATCH_UP_LIMIT` decided blocks; ``patience_ns`` after a decision, a straggler is taken to be stuck."""

    __slots__ = ("_answered", "_blocks", "_patience_ns", "_peers")

    def __init__(self, peers: tuple[str, ...], patience_ns: int) -> None:
        self._peers, self._patience_ns = peers, patience_ns
        self._blocks: dict[int, tuple[Finalised, int]] = {}
        self._answered: dict[str, int] = {}

    def add(self, final: Finalised, now: int) -> None:
        """Remember a block decided at ``now``."""
        make_room(self._blocks, CATCH_UP_LIMIT)
        self._blocks[final.block.header.height] = final, now

    def answer(self, peer: str, height: int, now: int) -> list[Step]:
        """Blocks from ``height`` on for a peer that seems stuck there; none twice within the patience."""
        held = self._blocks.get(height)
        last = self._answered.get(peer, -self._patience_ns)
        if peer not in self._peers or held is None or now - max(held[1], last) < self._patience_ns:
            return []
        self._answered[peer] = now
        return [Send((peer,), final) for at, (final, _) in self._blocks.items() if at >= height]


def is_final(seat: Seat, final: Finalised) -> bool:
    """See `has_finality`."""
    return has_finality(seat.crypto, seat.params, seat.validators, final)


def has_finality(crypto: Crypto, params: ChainParams, validators: ValidatorSet, final: Finalised) -> bool:
    """Whether the certificate holds and the transactions are the header's own, whatever came before."""
    header, transactions = final.block.header, final.block.transactions
    try:
        block_hash = header_hash(crypto, header)
        verify_certificate(crypto, params, validators, header, block_hash, final.certificate, None)
    except ValidationError:
        return False
    root = crypto.merkle_tree(tuple(map(leaf_bytes, transactions))).root
    return (header.size, header.merkle_root) == (len(transactions), root)
