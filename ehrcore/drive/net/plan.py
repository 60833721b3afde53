"""A network as files: who its nodes are and where they live (public), and each node's own secrets.

`found` makes the folder once, from a `NetworkConfig`; each node then needs ``network.json`` and its own folder below
``nodes/``, so a network may live on several hosts.  The authority signs the plan: whoever changes an address or a link
key without it is found out when a node starts.
"""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from ehrcore.authority import Authority
from ehrcore.block import Genesis, genesis_hash
from ehrcore.codec import decode, encode
from ehrcore.consensus.work import LEAST_WINDOW
from ehrcore.consent import Organisation
from ehrcore.crypto import Crypto
from ehrcore.drive.net.files import indented, read_hex, read_json, write_file
from ehrcore.drive.net.keys import SIGNING_FILE, WRAP_FILE, Passphrase, open_signer
from ehrcore.errors import CodecError, DeploymentError, ParameterError
from ehrcore.hashing import find_suite
from ehrcore.network import Network, found_network, list_roles
from ehrcore.params import ChainParams, ConsensusRule, Dissemination, Limits, StakeRule, Topology, WorkRule, majority
from ehrcore.pseudonyms import PseudonymKind
from ehrcore.roles import Context
from ehrcore.rules import AUTHORITY
from ehrcore.signing import CURVES, derive_secret, find_scheme
from ehrcore.types import Role

FORMAT: Final = "ehrcore-network-1"
#: The paper's agents listen here (Algorithm 4); the other nodes follow, one port each.
FIRST_PORT: Final = 7777
PLAN_FILE: Final = "network.json"
STORE_FILE: Final = "store.json"
CERTIFICATE_FILE: Final = "certificate.pem"
AUTHORITY_CERTIFICATE_FILE: Final = "ca.pem"
_SEALED_TO: Final = frozenset({Role.VISITOR, Role.CONTRIBUTOR})
Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]


class Address(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a node listens."""

    host: str = "127.0.0.1"
    port: Port | None = None


class StoreConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where off-chain objects are kept, if not in the network's folder: ``s3://bucket/prefix`` and the like.

    ``endpoint`` is the server's URL where the provider's own is not meant.  A call fails ``timeout_s`` after the
    store's last sign of life.  Credentials are no part of it: see `ehrcore.drive.net.stores`.
    """

    url: str
    endpoint: str = ""
    region: str = ""
    timeout_s: Annotated[int, msgspec.Meta(ge=1, le=3_600)] = 10


class NetworkConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a network is founded from: the fields of its TOML file.

    ``nodes`` places single nodes by name; all others listen on ``host`` from ``first_port`` on, in order of role.
    ``max_wait_ms`` cuts a block that is not full: the paper waits for 6 minutes (360,000), people at a terminal do not.
    Proof of stake goes on to the next round after ``propose_timeout_ms`` without a proposal and ``vote_timeout_ms``
    without a decision, each by ``timeout_step_ms`` longer from round to round.
    Proof of work begins with 2 ** ``difficulty_bits`` hashes per block and calls a block final under ``confirmations``
    more; every ``retarget_window`` blocks (0: never) it aims at one block per ``block_interval_ms``.
    ``organisations`` says by name which nodes are whose, such as ``visitor-0 = "st-mary"``.
    ``pseudonyms`` says how patients are named (`ehrcore.pseudonyms`); what needs no key is there to be measured.
    """

    name: str = "ehr"
    agents: int = 1
    coordinators: int = 1
    administrators: int = 1
    contributors: int = 1
    visitors: int = 1
    endorsements: int | None = None
    approvals: int | None = None
    consensus: str = ConsensusRule.PROOF_OF_STAKE
    dissemination: Dissemination = Dissemination.ALL
    hash_suite: str = "sha256"
    curve: str = "p256"
    pseudonyms: PseudonymKind = PseudonymKind.KEYED
    max_transactions: int = 15
    max_block_bytes: int = 30_720
    max_wait_ms: int = 250
    propose_timeout_ms: int = 3_000
    vote_timeout_ms: int = 1_000
    timeout_step_ms: int = 500
    difficulty_bits: Annotated[int, msgspec.Meta(ge=0, le=61)] = 16
    retarget_window: Annotated[int, msgspec.Meta(ge=0, le=4_096)] = 0
    block_interval_ms: Annotated[int, msgspec.Meta(ge=1, le=86_400_000)] = 10_000
    confirmations: int = 6
    tls: bool = False
    host: str = "127.0.0.1"
    first_port: Port = FIRST_PORT
    nodes: dict[str, Address] = {}
    store: StoreConfig | None = None
    organisations: dict[str, Organisation] = {}

    def params(self, genesis_time: int) -> ChainParams:
        """The chain's parameters; policies default to a majority.  `ParameterError` for a window without a duration."""
        if 0 < self.retarget_window < LEAST_WINDOW:
            raise ParameterError(
                f"retarget_window: expected 0 or at least {LEAST_WINDOW}, found {self.retarget_window}"
            )
        topology = Topology(self.agents, self.coordinators, self.administrators, self.contributors, self.visitors)
        return ChainParams(
            self.name,
            topology,
            majority(self.agents) if self.endorsements is None else self.endorsements,
            majority(self.coordinators) if self.approvals is None else self.approvals,
            hash_suite=self.hash_suite,
            curve=self.curve,
            consensus=self.consensus,
            dissemination=self.dissemination,
            limits=Limits(self.max_transactions, self.max_block_bytes, self.max_wait_ms * 1_000_000),
            stake=StakeRule(
                *(1_000_000 * part for part in (self.propose_timeout_ms, self.vote_timeout_ms, self.timeout_step_ms))
            ),
            work=WorkRule(
                1 << self.difficulty_bits, 1_000_000 * self.block_interval_ms, self.retarget_window, self.confirmations
            ),
            genesis_time=genesis_time,
        )


class NodePlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One node: its address, and the X25519 public key (hex) that its links are authenticated with."""

    host: str
    port: Port
    link_key: str


class NetworkPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All that is public about a network: ``network.json``.

    ``genesis`` is base64 of the canonical `Genesis`; ``signature`` (hex) is the authority's over all else.
    """

    format: str
    name: str
    chain: str
    tls: bool
    pseudonyms: PseudonymKind = PseudonymKind.KEYED
    nodes: dict[str, NodePlan]
    genesis: str
    signature: str

    def url(self, node: str) -> str:
        """Where ``node`` answers; `DeploymentError` for a name that is not in the plan."""
        if node not in self.nodes:
            raise DeploymentError(f"node: expected one of {', '.join(self.nodes)}, found {node!r}")
        place = self.nodes[node]
        host = f"[{place.host}]" if ":" in place.host else place.host
        return f"{'https' if self.tls else 'http'}://{host}:{place.port}"

    def open_genesis(self) -> Genesis:
        """The chain's beginning, checked against the chain's id and the authority's signature over this plan."""
        try:
            genesis = decode(base64.b64decode(self.genesis, validate=True), Genesis)
            crypto = Crypto(find_suite(genesis.params.hash_suite), find_scheme(f"{genesis.params.curve}/cryptography"))
            signature = bytes.fromhex(self.signature)
        except (CodecError, ParameterError, ValueError) as error:
            raise DeploymentError(f"{PLAN_FILE}: expected a genesis, found: {error}") from None
        found = genesis_hash(crypto, genesis.params, genesis.certificates).hex()
        if found != self.chain:
            raise DeploymentError(f"{PLAN_FILE}: expected chain {self.chain}, found {found}")
        if not crypto.verify(genesis.params.authority_key, _signed_content(self), signature):
            raise DeploymentError(f"{PLAN_FILE}: expected the authority's signature, found another")
        return genesis

    def roles(self) -> dict[str, Role]:
        """Role of every node, by name."""
        return {name: Role(name.rpartition("-")[0]) for name in self.nodes}

    def names(self, wanted: Role) -> list[str]:
        return [name for name, role in self.roles().items() if role is wanted]


def _signed_content(plan: NetworkPlan) -> tuple[Any, ...]:
    nodes = tuple((name, place.host, place.port, place.link_key) for name, place in plan.nodes.items())
    return ("network-plan", plan.format, plan.name, plan.chain, int(plan.tls), plan.pseudonyms, nodes)


class NetworkFolder:
    """Where everything lies below one folder."""

    def __init__(self, path: Path) -> None:
        self.path, self.plan_path = path, path / PLAN_FILE
        #: The authority's own folder: its key, the pseudonyms' secret, the TLS authority; no node reads it.
        self.authority = path / "authority"
        #: The off-chain store that all nodes of this host share (the paper's cloud).
        self.objects = path / "objects"

    def node(self, name: str) -> Path:
        return self.path / "nodes" / name

    def read_plan(self) -> NetworkPlan:
        """The plan; `DeploymentError` if there is none or it is not one."""
        plan = read_json(self.plan_path, NetworkPlan, "a network's plan")
        if plan.format != FORMAT:
            raise DeploymentError(f"{self.plan_path}: expected format {FORMAT}, found {plan.format!r}")
        try:
            bytes.fromhex(plan.chain), plan.roles()
        except ValueError as error:
            raise DeploymentError(f"{self.plan_path}: expected a chain and names of nodes, found: {error}") from None
        return plan

    def context(self, plan: NetworkPlan, name: str) -> Context:
        """What the node ``name`` is given when it starts: its key from its own folder."""
        genesis, path = plan.open_genesis(), self.node(name) / SIGNING_FILE
        key, crypto = open_signer(path, genesis.params)
        certified = {certificate.body.subject: certificate.body.public_key for certificate in genesis.certificates}
        if certified.get(name) != key.public_bytes:
            raise DeploymentError(f"{path}: expected the private key that {name} is certified for, found another")
        return Context(name, genesis.params, bytes.fromhex(plan.chain), genesis.certificates, crypto)

    def open_authority(self, plan: NetworkPlan, passphrase: Passphrase | None = None) -> Authority:
        """The AAA itself, for pseudonyms and orders; only where its folder is."""
        params = plan.open_genesis().params
        _, crypto = open_signer(self.authority / SIGNING_FILE, params, passphrase)
        secret = read_hex(self.authority / "pseudonyms.key", "a secret")
        return Authority(params.name, crypto, secret, plan.pseudonyms, params.authority_key)


def found(path: Path, config: NetworkConfig, genesis_time: int, label: str | None = None) -> NetworkPlan:
    """Found a network in a new folder: keys, certificates, plan.  Nothing is left behind if it fails.

    ``label`` derives all keys, for measurements that are to be repeated; without it they are random.
    """
    folder = NetworkFolder(path)
    if folder.plan_path.exists():
        raise DeploymentError(f"{folder.plan_path}: expected no network, found one")
    label = label or secrets.token_hex(32)
    params = config.params(genesis_time)
    roles = list_roles(params)
    places = place_nodes(config, roles)
    # Who reads (a visitor), and who holds parts of records' keys (a contributor), is sent secrets.
    sealed = {name: _link_secret(f"wrap|{label}", name) for name, role in roles.items() if role in _SEALED_TO}
    wrap_keys = {name: bytes.fromhex(_link_public(secret)) for name, secret in sealed.items()}
    network = found_network(
        params, "cryptography", label, organisations=config.organisations, pseudonyms=config.pseudonyms,
        wrap_keys=wrap_keys,
    )  # fmt: skip
    links = {name: _link_secret(label, name) for name in network.roles}
    nodes = {name: NodePlan(place.host, place.port or 0, _link_public(links[name])) for name, place in places.items()}
    genesis = base64.b64encode(encode(Genesis(network.params, network.certificates))).decode()
    plan = NetworkPlan(
        format=FORMAT, name=config.name, chain=network.chain.hex(), tls=config.tls, pseudonyms=config.pseudonyms,
        nodes=nodes, genesis=genesis, signature="",
    )  # fmt: skip
    plan = msgspec.structs.replace(plan, signature=network.authority_crypto.sign(_signed_content(plan)).hex())
    _write_secrets(folder, network, label, links, sealed)
    _write_certificates(folder, network)
    if config.tls:
        from ehrcore.drive.net.tls import issue_certificates  # noqa: PLC0415 - X.509 is slow to import

        issue_certificates(folder, plan)
    folder.objects.mkdir(mode=0o700, exist_ok=True)
    if config.store is not None:
        write_file(path / STORE_FILE, indented(config.store))
    # Last, for it is what makes the folder a network.
    write_file(folder.plan_path, indented(plan))
    return plan


def place_nodes(config: NetworkConfig, roles: Mapping[str, Role]) -> dict[str, Address]:
    """Every node's address; a port may not be given twice on one host."""
    unknown = sorted({*config.nodes, *config.organisations} - set(roles))
    if unknown:
        raise ParameterError(f"nodes: expected names of this network's nodes, found {', '.join(unknown)}")
    order = sorted(roles, key=lambda name: roles[name] is Role.VISITOR)
    places: dict[str, Address] = {}
    port = config.first_port
    for name in order:
        given = config.nodes.get(name, Address(config.host))
        places[name] = Address(given.host, given.port or port)
        port += given.port is None
    if port > 1 << 16:
        raise ParameterError(f"first_port: expected room for {len(order)} ports below 65536, found {config.first_port}")
    seen: dict[tuple[str, int | None], str] = {}
    for name, place in places.items():
        other = seen.setdefault((place.host, place.port), name)
        if other != name:
            raise ParameterError(
                f"nodes: expected distinct addresses, found {place.host}:{place.port} for {other} and {name}"
            )
    return places


def _write_secrets(
    folder: NetworkFolder, network: Network, label: str, links: dict[str, bytes], sealed: dict[str, bytes]
) -> None:
    curve = CURVES[network.params.curve]
    for name, secret in sealed.items():
        write_file(folder.node(name) / WRAP_FILE, secret.hex().encode(), is_secret=True)
    for name in network.roles:
        scalar = derive_secret(curve, f"{label}|{name}")
        write_file(folder.node(name) / SIGNING_FILE, f"{scalar:064x}".encode(), is_secret=True)
        write_file(folder.node(name) / "link.key", links[name].hex().encode(), is_secret=True)
    authority = derive_secret(curve, f"{label}|authority-0")
    pseudonyms = find_suite(network.params.hash_suite).hash(f"pseudonyms|{label}".encode())
    write_file(folder.authority / SIGNING_FILE, f"{authority:064x}".encode(), is_secret=True)
    write_file(folder.authority / "pseudonyms.key", pseudonyms.hex().encode(), is_secret=True)


def _write_certificates(folder: NetworkFolder, network: Network) -> None:
    """What everybody is certified for, as X.509: public."""
    from ehrcore.x509 import Issuer  # noqa: PLC0415 - X.509 is slow to import
    from ehrcore.x509_parts import to_pem  # noqa: PLC0415

    params = network.params
    issuer = Issuer(params.name, params.curve, params.authority_key, network.keys[AUTHORITY])
    write_file(folder.authority / AUTHORITY_CERTIFICATE_FILE, to_pem("CERTIFICATE", issuer.authority()))
    for item in network.certificates:
        pem = to_pem("CERTIFICATE", issuer.certificate(item.body))
        write_file(folder.node(item.body.subject) / CERTIFICATE_FILE, pem)


def _link_secret(label: str, name: str) -> bytes:
    return hashlib.sha256(f"link|{label}|{name}".encode()).digest()


def _link_public(secret: bytes) -> str:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey  # noqa: PLC0415

    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw().hex()
