"""Baseline: one administrator orders, the others follow.  No agreement, so no fault is tolerated.

It shows what agreement costs: the same blocks, signatures and dissemination without votes.
"""

from ehrcore.block import OrdererCertificate
from ehrcore.consensus.finality import header_hash, verify_certificate
from ehrcore.consensus.seam import ConsensusMessage, Decided, Seat, Step, Tip, build_block, validate_content
from ehrcore.effects import Send
from ehrcore.errors import ValidationError
from ehrcore.messages import Finalised


class SingleOrderer:
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
        """Follow the orderer's blocks in order; one that came early waits for those before it."""
        del sender  # the certificate says who made it
        steps: list[Step] = []
        if self._is_orderer or not isinstance(message, Finalised):
            return steps
        self._early[message.block.header.height] = message
        while (final := self._early.pop(self._tip.height + 1, None)) is not None:
            try:
                self._verify(final, now)
            except ValidationError:
                break
            steps.append(self._decide(final))
        for height in [height for height in self._early if height > self._tip.height + 64]:
            del self._early[height]
        return steps

    def _verify(self, final: Finalised, now: int) -> None:
        seat, header = self._seat, final.block.header
        validate_content(seat, final.block, self._tip, now)
        block_hash = header_hash(seat.crypto, header)
        verify_certificate(seat.crypto, seat.params, seat.validators, header, block_hash, final.certificate)

    def on_timer(self, name: str, now: int) -> list[Step]:
        """No timers of its own."""
        del name, now
        return []

    def on_work(self, job: int, nonce: bytes, now: int) -> list[Step]:
        """No work."""
        del job, nonce, now
        return []
