"""Who may do what and who votes, for nodes that keep no ledger: what final orders have changed.

Ledger keepers judge every transaction (`ehrcore.state`).  Agents and administrators keep no state of the chain, but
they must find of each order exactly what the keepers find; so they judge the orders in final blocks by the same rules,
with a memory of the nonces that orders have used.
"""

from ehrcore.block import Block, EndorsedTransaction, Header
from ehrcore.crypto import Crypto
from ehrcore.identity import Certificate
from ehrcore.params import ChainParams
from ehrcore.replay import ReplayWindows
from ehrcore.rules import check_endorsed, check_transaction
from ehrcore.state import apply_order, is_order, open_registry, open_stakes


class Standing:
    """Registry and stakes after some final block."""

    def __init__(
        self, params: ChainParams, chain: bytes, certificates: tuple[Certificate, ...], crypto: Crypto
    ) -> None:
        self._params, self._chain, self._crypto = params, chain, crypto
        self.registry = open_registry(params, certificates, crypto)
        self.stakes = open_stakes(params, self.registry, crypto)
        self._replay = ReplayWindows()
        self._height = 0

    def follow(self, block: Block) -> None:
        """Carry out the orders of a final block, which may lack all else; blocks without orders may be left out."""
        self.advance(block.header.height - 1)
        for item in block.transactions:
            if is_order(item.transaction):
                self._carry_out(item, block.header)
        self.advance(block.header.height)

    def _carry_out(self, item: EndorsedTransaction, header: Header) -> None:
        crypto, registry, chain, now = self._crypto, self.registry, self._chain, header.timestamp
        order, tx_id = item.transaction, crypto.hash_struct(item.transaction.body)
        reason = check_endorsed(crypto, registry, self._params, chain, item, tx_id, now)
        reason = reason or check_transaction(crypto, registry, self._replay, chain, order, now)
        if not (reason or apply_order(registry, self.stakes, order.body, header.height, crypto, now)):
            self._replay.add(order.body.author, order.body.nonce)

    def advance(self, height: int) -> None:
        """All orders up to the block at ``height`` have been carried out."""
        if height > self._height + 1:
            # What the last block ordered is in force after the next one, however many follow.
            self.stakes.advance(height - 1)
        if height > self._height:
            self.stakes.advance(height)
            self._height = height
