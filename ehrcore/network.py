"""From parameters to a founded chain: keys, certificates, the chain's id, and a role for each node.

Keys come from labels, so a simulated network is the same in every run; a real deployment hands in keys of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from ehrcore.authority import Authority
from ehrcore.block import genesis_hash
from ehrcore.crypto import Crypto
from ehrcore.effects import RoleMachine
from ehrcore.errors import ParameterError
from ehrcore.hashing import find_suite
from ehrcore.identity import Certificate
from ehrcore.params import ChainParams
from ehrcore.pseudonyms import PseudonymKind, require_stable
from ehrcore.records import RecordKind
from ehrcore.roles import Administrator, Agent, Context, Contributor, Coordinator, Visitor
from ehrcore.rules import AUTHORITY
from ehrcore.signing import CURVES, PrivateKey, derive_secret, find_scheme
from ehrcore.storage import ObjectStore
from ehrcore.types import Role, node_id


@dataclass(frozen=True, slots=True)
class Network:
    """A founded chain with everybody's keys: for simulations, tests and local networks."""

    params: ChainParams
    chain: bytes
    certificates: tuple[Certificate, ...]
    authority: Authority
    authority_crypto: Crypto
    scheme: str
    keys: Mapping[str, PrivateKey]
    roles: Mapping[str, Role]

    def crypto(self, name: str) -> Crypto:
        """A fresh, unmetered `Crypto` with the key of ``name``."""
        return Crypto(find_suite(self.params.hash_suite), find_scheme(self.scheme), self.keys[name])

    def context(self, name: str, crypto: Crypto | None = None) -> Context:
        """What the node ``name`` is given when it starts."""
        return Context(name, self.params, self.chain, self.certificates, crypto or self.crypto(name))

    def machine(self, name: str, crypto: Crypto, store: ObjectStore) -> RoleMachine:
        """The state machine of the node ``name``."""
        return build_machine(self.roles[name], self.context(name, crypto), store)


def build_machine(role: Role, context: Context, store: ObjectStore) -> RoleMachine:
    """The state machine of a node in ``role``; coordinators' contracts read ``store``."""
    if role is Role.COORDINATOR:
        return Coordinator(context, store)
    makers: dict[Role, Any] = {
        Role.VISITOR: Visitor,
        Role.AGENT: Agent,
        Role.ADMINISTRATOR: Administrator,
        Role.CONTRIBUTOR: Contributor,
    }
    machine: RoleMachine = makers[role](context)
    return machine


def found_network(
    params: ChainParams,
    backend: str,
    label: str,
    stakes: Sequence[int] = (),
    rights: Mapping[str, Sequence[RecordKind]] | None = None,
    organisations: Mapping[str, str] | None = None,
    wrap_keys: Mapping[str, bytes] | None = None,
    pseudonyms: PseudonymKind = PseudonymKind.KEYED,
) -> Network:
    """Found a chain whose keys derive from ``label``.

    ``backend`` signs on the chain's curve (``modelled`` exactly if the chain is).  ``stakes`` are the administrators'
    in order; equal ones if empty.  ``rights`` narrows the kinds that a visitor may submit; all of them if it is not
    named.  ``organisations`` and ``wrap_keys`` are those of nodes by name, none for who is not named.  ``pseudonyms``
    says how patients are named.  Raises `ParameterError` if the stakes do not fit the topology.
    """
    if (backend == "modelled") != params.is_modelled:
        raise ParameterError(f"signature backend: expected modelled={params.is_modelled}, found {backend!r}")
    topology = params.topology
    stakes = tuple(stakes) or (1,) * topology.administrators
    if len(stakes) != topology.administrators or min(stakes) < 1:
        raise ParameterError(f"stakes: expected {topology.administrators} positive integers, found {list(stakes)}")
    scheme, curve = find_scheme(f"{params.curve}/{backend}"), CURVES[params.curve]
    roles = list_roles(params)
    keys: dict[str, PrivateKey] = {
        name: scheme.private_key(derive_secret(curve, f"{label}|{name}")) for name in (AUTHORITY, *roles)
    }
    params = msgspec.structs.replace(params, authority_key=keys[AUTHORITY].public_bytes)
    params.validate()
    suite = find_suite(params.hash_suite)
    crypto = Crypto(suite, scheme, keys[AUTHORITY])
    secret = suite.hash(f"pseudonyms|{label}".encode())
    authority = Authority(params.name, crypto, secret, require_stable(pseudonyms), params.authority_key)
    weights = {node_id(Role.ADMINISTRATOR, index): stake for index, stake in enumerate(stakes)}
    kinds = {name: tuple(RecordKind) for name, role in roles.items() if role is Role.VISITOR} | dict(rights or {})
    certificates = tuple(
        authority.certify(
            name,
            role,
            keys[name].public_bytes,
            kinds=tuple(map(int, kinds.get(name, ()))),
            stake=weights.get(name, 0),
            organisation=(organisations or {}).get(name, ""),
            wrap_key=(wrap_keys or {}).get(name, b""),
        )
        for name, role in roles.items()
    )
    chain = genesis_hash(crypto, params, certificates)
    return Network(params, chain, certificates, authority, crypto, scheme.name, keys, roles)


def list_roles(params: ChainParams) -> dict[str, Role]:
    """Role of every node by name, in the order of the paper's pipeline."""
    roles = [role for role in Role if role is not Role.AUTHORITY]
    return {node_id(role, index): role for role in roles for index in range(params.topology.count(role))}
