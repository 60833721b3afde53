"""Baseline: one administrator orders, the others follow.  No agreement, so no fault is tolerated.

It shows what agreement costs: the same blocks, signatures and dissemination without votes.
"""

from ehrcore.block import OrdererCertificate
from ehrcore.consensus.finality import header_hash
from ehrcore.consensus.laggards import CATCH_UP_LIMIT, is_final
from ehrcore.consensus.seam import ConsensusMessage, Decided, Quiet, Seat, Step, Tip, build_block
from ehrcore.effects import Send
from ehrcore.messages import Finalised


class SingleOrderer(Quiet):
    """The orderer is the first administrator by name."""

    def __init__(self, seat: Seat, tip: Tip) -> None:
        self._seat, self._tip = seat, tip
        self._is_orderer = seat.validators.members[0].node == seat.me
        self._early: dict[int, Finalised] = {}

    def on_ready(self, now: int) -> list[Step]:
        """Cut a block if one is due; the orderer alone does."""
        steps: list[Step] = []
        if self._is_orderer and (batch := self._seat.pool.batch(now)):
            block = build_block(self._seat, self._tip, batch, now)
            certificate = OrdererCertificate(self._seat.crypto.sign(block.header))
            final = Finalised(block, certificate)
            if self._seat.peers:
                steps.append(Send(self._seat.peers, final))
            steps.append(self._decide(final))
        return steps

    def _decide(self, final: Finalised) -> Decided:
        header = final.block.header
        block_hash = header_hash(self._seat.crypto, header)
        self._tip = Tip(header.height, block_hash, header.timestamp)
        return Decided(final.block, final.certificate, block_hash)

    def on_message(self, sender: str, message: ConsensusMessage, now: int) -> list[Step]:
        """Follow the orderer's blocks in order; one that came early waits for those before it.

        So does the orderer itself, if it has lost its own.  Who is not the orderer has no say in what it orders.
        """
        del sender  # the certificate says who made it
        steps: list[Step] = []
        del now
        if not isinstance(message, Finalised):
            return steps
        height = message.block.header.height
        if not self._tip.height < height <= self._tip.height + CATCH_UP_LIMIT or height in self._early:
            return steps
        # Checked before it is kept: a forgery must not take the place of the block that it pretends to be.
        if not is_final(self._seat, message):
            return steps
        self._early[height] = message
        while (final := self._early.pop(self._tip.height + 1, None)) is not None:
            if final.block.header.previous != self._tip.block_hash:
                break
            steps.append(self._decide(final))
        return steps
