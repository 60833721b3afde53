"""Keeping the ledger: what coordinators and contributors share (paper, step 4).

Blocks may arrive early, twice or from anyone; each is validated in its turn against the state before it.
"""

from dataclasses import dataclass
from typing import Final

from ehrcore.effects import Persist
from ehrcore.errors import ValidationError
from ehrcore.messages import Finalised
from ehrcore.roles.context import Context, Machine
from ehrcore.state import Verdict

#: How far ahead of the ledger blocks are kept until those before them come.
EARLY_LIMIT: Final = 64


@dataclass(frozen=True, slots=True)
class Appended:
    """A block that has become part of the ledger."""

    final: Finalised
    verdict: Verdict
    persist: Persist


class LedgerKeeper(Machine):
    """A role with a chain ``state``, as far as this node knows it, and a buffer for early blocks."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.state = context.open_state()
        self._early: dict[int, Finalised] = {}

    def take(self, final: Finalised) -> tuple[list[Appended], ValidationError | None]:
        """Append what can be appended, in order; the error tells of the block that was refused, if one was."""
        height = final.block.header.height
        if not self.state.height < height <= self.state.height + EARLY_LIMIT or height in self._early:
            return [], None
        if height > self.state.height + 1:
            # Checked before it is kept: a forgery must not take the place of the block that it pretends to be.
            try:
                self.state.validate_final(final.block, final.certificate)
            except ValidationError as error:
                return [], error
        self._early[height] = final
        appended: list[Appended] = []
        while (following := self._early.pop(self.state.height + 1, None)) is not None:
            try:
                appended.append(self._append(following))
            except ValidationError as error:
                return appended, error
        return appended, None

    def _append(self, final: Finalised) -> Appended:
        verdict = self.state.validate(final.block, final.certificate)
        digest = self.state.apply(final.block, verdict)
        return Appended(final, verdict, Persist(final.block, final.certificate, verdict.reasons, digest))
