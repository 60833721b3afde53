"""Contributor: keeps the ledger, sends receipts, and passes blocks down its hierarchy (paper section 3, items 1, 4)."""

from ehrcore.effects import Effect, Effects, Event, Observed, ObservedKind, Received, Send
from ehrcore.messages import Finalised, Receipt, ReceiptEntry, sign_receipt
from ehrcore.params import Dissemination
from ehrcore.roles.context import Context
from ehrcore.roles.keeper import Appended, LedgerKeeper
from ehrcore.state import is_order
from ehrcore.types import Role


class Contributor(LedgerKeeper):
    """Validates each final block once more, appends it durably, and only then tells anyone."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._children = self._tree_children()
        self._visitors = frozenset(context.names(Role.VISITOR))

    def _tree_children(self) -> tuple[str, ...]:
        """The next level of the hierarchy: a complete tree of the chain's fan-out over all contributors."""
        params = self._context.params
        names = self._context.names(Role.CONTRIBUTOR)
        if params.dissemination is not Dissemination.TREE:
            return ()
        first = names.index(self._context.me) * params.fanout + 1
        return names[first : first + params.fanout]

    def handle(self, event: Event, now: int) -> Effects:
        """Final blocks; anything else is not for a contributor."""
        del now
        match event:
            case Received(message=Finalised() as message):
                appended, error = self.take(message)
                effects = [effect for item in appended for effect in self._after(item)]
                if error is not None:
                    effects.append(Observed(ObservedKind.DROPPED, (), str(error)))
                return tuple(effects)
            case _:
                return ()

    def _after(self, item: Appended) -> list[Effect]:
        effects: list[Effect] = [item.persist, Observed(ObservedKind.COMMITTED, item.verdict.tx_ids)]
        if self._children:
            effects.append(Send(self._children, item.final))
        effects += (Send((author,), receipt) for author, receipt in self._receipts(item).items())
        return effects

    def _receipts(self, item: Appended) -> dict[str, Receipt]:
        """One receipt per visitor with transactions in the block; persons, who are no nodes, ask for theirs."""
        block, verdict = item.final.block, item.verdict
        entries: dict[str, list[ReceiptEntry]] = {}
        for index, endorsed in enumerate(block.transactions):
            author = endorsed.transaction.body.author
            if author in self._visitors and not is_order(endorsed.transaction):
                path = verdict.tree.prove_inclusion(index)
                entry = ReceiptEntry(verdict.leaves[index], index, path, verdict.reasons[index])
                entries.setdefault(author, []).append(entry)
        context, final = self._context, (block.header, item.final.certificate)
        return {
            name: sign_receipt(context.crypto, context.me, final, verdict.block_hash, tuple(given), self.state.trail)
            for name, given in entries.items()
        }
