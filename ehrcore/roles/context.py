"""What a node is given when it starts, whatever its role."""

from dataclasses import dataclass

from ehrcore.consensus.validators import ValidatorSet
from ehrcore.crypto import Crypto
from ehrcore.identity import Certificate, Registry
from ehrcore.params import ChainParams
from ehrcore.state import open_registry
from ehrcore.types import Role, node_id


@dataclass(frozen=True, slots=True)
class Context:
    """One node's name, key and view of the chain it belongs to."""

    me: str
    params: ChainParams
    chain: bytes
    certificates: tuple[Certificate, ...]
    crypto: Crypto

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
        """A fresh registry of the chain's first certificates."""
        return open_registry(self.params, self.certificates, self.crypto)

    def validators(self) -> ValidatorSet:
        """The administrators as voters."""
        return ValidatorSet.of(self.crypto, self.open_registry().members(Role.ADMINISTRATOR))
