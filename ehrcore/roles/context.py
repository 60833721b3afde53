"""What a node is given when it starts, whatever its role."""

from dataclasses import dataclass, field

from ehrcore.block import Block, Header, Transaction
from ehrcore.consensus.seam import Tip
from ehrcore.consensus.validators import ValidatorSet
from ehrcore.crypto import Crypto
from ehrcore.effects import Effects
from ehrcore.identity import Certificate, Registry
from ehrcore.messages import Word
from ehrcore.params import ChainParams
from ehrcore.rules import check_transaction
from ehrcore.standing import Standing
from ehrcore.state import ChainState, apply_order, open_registry
from ehrcore.types import Role, node_id


@dataclass(frozen=True, slots=True)
class Kept:
    """What a node has kept over a restart; nothing when it starts for the first time.

    ``tip`` is an administrator's last final block, ``heard`` what was said at the height after it, by whomever, and
    ``settled`` are the ids of the transactions in its last blocks; ``ordering`` are all of its final blocks with
    orders, without their other transactions, in order; ``orders`` are an agent's, as it endorsed them.  ``recent`` are
    the headers of an administrator's last final blocks, oldest first: a retarget window of them, or all.  ``state`` is
    a ledger keeper's.
    """

    tip: Tip | None = None
    state: ChainState | None = None
    orders: tuple[Transaction, ...] = ()
    ordering: tuple[Block, ...] = ()
    heard: tuple[Word, ...] = ()
    settled: tuple[bytes, ...] = ()
    recent: tuple[Header, ...] = ()


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
        return tuple(node_id(role, index) for index in range(self.params.topology.count(role)))

    def open_standing(self) -> Standing:
        """Who may do what after the chain's first certificates and the orders that were kept."""
        standing = Standing(self.params, self.chain, self.certificates, self.crypto)
        for block in self.kept.ordering:
            standing.follow(block)
        if self.kept.tip is not None:
            standing.advance(self.kept.tip.height)
        return standing

    def open_registry(self) -> Registry:
        """The registry after the chain's first certificates and the orders that were kept, final or not."""
        registry = open_registry(self.params, self.certificates, self.crypto)
        for order in self.kept.orders:
            if not check_transaction(self.crypto, registry, None, self.chain, order, order.body.submitted_at):
                apply_order(registry, None, order.body, 0, self.crypto)
        return registry

    def open_state(self) -> ChainState:
        """The state that was kept, or that of a chain without blocks."""
        return self.kept.state or ChainState(self.params, self.chain, self.certificates, self.crypto)

    def validators(self) -> ValidatorSet:
        """The administrators as voters of the first block."""
        return Standing(self.params, self.chain, self.certificates, self.crypto).stakes.validators


class Machine:
    """What all roles have in common: they say nothing until something happens."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def start(self, now: int) -> Effects:
        """See `RoleMachine.start`: nothing to do."""
        del now
        return ()
