"""What a node is given when it starts, whatever its role."""

from dataclasses import dataclass, field

from ehrcore.block import Transaction
from ehrcore.consensus.seam import Tip
from ehrcore.consensus.validators import ValidatorSet
from ehrcore.crypto import Crypto
from ehrcore.identity import Certificate, Registry
from ehrcore.messages import Propose, Vote
from ehrcore.params import ChainParams
from ehrcore.rules import check_transaction
from ehrcore.state import ChainState, apply_authority, open_registry
from ehrcore.types import Role, node_id


@dataclass(frozen=True, slots=True)
class Kept:
    """What a node has kept over a restart; nothing when it starts for the first time.

    ``tip`` is an administrator's last final block, ``heard`` what was said at the height after it, by whomever, and
    ``settled`` are the ids of the transactions in its last blocks; ``state`` is a ledger keeper's; ``orders`` are the
    authority's transactions that were carried out, in order.
    """

    tip: Tip | None = None
    state: ChainState | None = None
    orders: tuple[Transaction, ...] = ()
    heard: tuple[Propose | Vote, ...] = ()
    settled: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Context:
    """One node's name, key and view of the chain it belongs to, and what it has kept."""

    me: str
    params: ChainParams
    chain: bytes
    certificates: tuple[Certificate, ...]
    crypto: Crypto
    kept: Kept = field(default_factory=Kept)

    def names(self, role: Role) -> tuple[str, ...]:
        """All nodes of a role, in order of index."""
        counts = {
            Role.VISITOR: self.params.topology.visitors,
            Role.AGENT: self.params.topology.agents,
            Role.COORDINATOR: self.params.topology.coordinators,
            Role.ADMINISTRATOR: self.params.topology.administrators,
            Role.CONTRIBUTOR: self.params.topology.contributors,
        }
        return tuple(node_id(role, index) for index in range(counts[role]))

    def open_registry(self) -> Registry:
        """A fresh registry of the chain's first certificates, and of the orders that were kept."""
        registry = open_registry(self.params, self.certificates, self.crypto)
        for order in self.kept.orders:
            if not check_transaction(self.crypto, registry, None, self.chain, order, order.body.submitted_at):
                apply_authority(registry, order.body, self.crypto)
        return registry

    def open_state(self) -> ChainState:
        """The state that was kept, or that of a chain without blocks."""
        return self.kept.state or ChainState(self.params, self.chain, self.certificates, self.crypto)

    def validators(self) -> ValidatorSet:
        """The administrators as voters: fixed at genesis."""
        first = open_registry(self.params, self.certificates, self.crypto)
        return ValidatorSet.of(self.crypto, first.members(Role.ADMINISTRATOR))
