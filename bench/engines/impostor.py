"""Where experiment `identity` plays: a simulated network of unchanged roles, real signatures, every message as bytes.

A weakened variant is this network with one protection taken out: a row of `WEAKENED` names what is replaced while an
attack is played.  It is a model of a system without that protection, no mode of ours.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from bench.experiments.attacks import Tally
from ehrcore import rules
from ehrcore.block import Payload, RecordRef, Transaction, TransactionBody, Validator
from ehrcore.bounded import RecentSet
from ehrcore.codec import decode, encode
from ehrcore.consensus.validators import ValidatorSet
from ehrcore.drive.cost import EXAMPLE
from ehrcore.drive.sim import SimSetup, Simulation
from ehrcore.effects import Effect, Effects, Event, Observed, ObservedKind, Received, Send
from ehrcore.errors import CodecError
from ehrcore.faults.mutants import Patch, patched
from ehrcore.identity import Certificate, CertificateBody, Reason, Registry
from ehrcore.ledger import MemoryLedger
from ehrcore.messages import Approve, Endorse, Message, Receipt, Submit
from ehrcore.network import found_network
from ehrcore.params import ChainParams, Limits, Topology
from ehrcore.records import RecordKind
from ehrcore.replay import ReplayWindows
from ehrcore.roles.visitor import Visitor
from ehrcore.rules import AUTHORITY
from ehrcore.signing import CURVES, PrivateKey, derive_secret, openssl
from ehrcore.signing.base import SCALAR_BYTES, SIGNATURE_BYTES, Curve
from ehrcore.signing.modelled import ModelledKey
from ehrcore.types import MILLISECOND, SECOND, Role

FULL: Final = "all protections"
NO_REGISTRY: Final = "no registry"
NO_WINDOWS: Final = "no replay windows"
ANY_S: Final = "no low-S"
NO_SIGNATURES: Final = "no signatures"
PROTECTIONS: Final = (FULL, NO_REGISTRY, NO_WINDOWS, ANY_S, NO_SIGNATURES)
#: Who is who: a hospital that is impersonated, a gateway of sensors, and a member of the network that attacks it.
VICTIM, GATEWAY, INSIDER, LEAVER = "visitor-0", "visitor-1", "visitor-2", "visitor-3"
_TOPOLOGY: Final = Topology(3, 3, 4, 3, visitors=4)
#: Virtual time that a try is given to come to rest, and before the first.
_REST_NS: Final = 10 * SECOND
#: More than any attack takes.
_MOST_BLOCKS: Final = 1 << 20
_hear: Final = Visitor.handle


class Stage:
    """A network under one protection, from a fixed ``label``, and what its ledger holds; virtual time."""

    def __init__(self, label: str, protection: str, curve: str = "p256") -> None:
        self.is_open = protection == NO_SIGNATURES
        self.curve = CURVES[curve]
        params = ChainParams(
            "identity", _TOPOLOGY, 2, 2, curve=curve, is_modelled=self.is_open, limits=Limits(max_wait_ns=MILLISECOND)
        )
        rights = {GATEWAY: (RecordKind.SENSOR,)}
        self.network = found_network(params, "modelled" if self.is_open else "cryptography", label, rights=rights)
        self.chain, self.keys = self.network.chain, dict(self.network.keys)
        self.crypto = self.network.crypto(VICTIM)
        self._label, self._ledger = label, MemoryLedger(keep=_MOST_BLOCKS)
        self.dropped: dict[bytes, str] = {}
        setup = SimSetup(label, EXAMPLE, is_wired=True)
        self.simulation = Simulation(self.network, setup, self._observe, {"contributor-0": self._ledger})
        self._nonces: dict[str, int] = defaultdict(int)
        self.rest()

    def _observe(self, at: int, node: str, observed: Observed) -> None:
        del at
        if observed.kind is ObservedKind.DROPPED:
            for subject in observed.subjects:
                self.dropped.setdefault(subject, f"{node.rpartition('-')[0]}: {observed.detail}")

    @property
    def now(self) -> int:
        """Virtual nanoseconds."""
        return self.simulation.kernel.now

    def names(self, role: Role) -> tuple[str, ...]:
        """All nodes of a role."""
        return tuple(name for name, found in self.network.roles.items() if found is role)

    # -- what anyone may write -------------------------------------------------------------------------------------

    def stranger(self, number: int = 0) -> PrivateKey:
        """A key that nobody has certified."""
        return self.crypto.scheme.private_key(derive_secret(self.curve, f"{self._label}|stranger {number}"))

    def pose(self, name: str, own: PrivateKey | None = None) -> PrivateKey:
        """What an attacker signs with as ``name``: a key of its own, or, where signatures prove nothing, as good as."""
        if self.is_open:
            return ModelledKey(self.keys[name].public_bytes)
        return own or self.stranger()

    def refer(self, content: bytes, kind: int = RecordKind.BILL) -> RecordRef:
        """A reference to an object that lies where it says."""
        digest = self.crypto.suite.hash(content)
        location = f"/hospital/report-store/{digest.hex()}"
        self.simulation.store.put(location, content)
        return RecordRef(int(kind), self.network.authority.pseudonym("patient"), digest, location, len(content))

    def write(
        self, author: str, payload: Payload | None = None, *, key: PrivateKey | None = None, chain: bytes | None = None
    ) -> Transaction:
        """A transaction of ``author`` with a fresh nonce, signed by its own key if by no other."""
        nonce = self._nonces[author]
        self._nonces[author] += 1
        payload = payload or self.refer(b"%s %d" % (author.encode(), nonce))
        body = TransactionBody(chain or self.chain, author, nonce, self.now, payload)
        return Transaction(body, (key or self.keys[author]).sign(self.crypto.suite.hash(encode(body))))

    # -- what happens ----------------------------------------------------------------------------------------------

    def tell(self, to: tuple[str, ...], sender: str, message: Any) -> None:
        """Hand a message to nodes as bytes; `CodecError` if it is none that they would read."""
        event = Received(sender, decode(encode(message), Message))  # type: ignore[arg-type]  # a union is a type form
        for name in to:
            self.simulation.inject(self.now + 1, name, event)

    def submit(self, tx: Transaction, sender: str = "stranger") -> None:
        """Hand a transaction to every agent."""
        self.tell(self.names(Role.AGENT), sender, Submit(tx))

    def rest(self) -> None:
        """Let the network come to rest."""
        self.simulation.run(self.now + _REST_NS)

    def order(self, tx: Transaction) -> None:
        """Have an order of the authority carried out."""
        self.submit(tx, AUTHORITY)
        self.rest()

    def enrol(self, subject: str, key: PrivateKey, **more: Any) -> Certificate:
        """Have the authority certify a visitor, with all rights unless ``more`` says otherwise, and enrol it."""
        kinds = more.pop("kinds", tuple(map(int, RecordKind)))
        authority = self.network.authority
        certificate = authority.certify(subject, Role.VISITOR, key.public_bytes, kinds=kinds, **more)
        self.keys[subject] = key
        self.order(authority.enrol(self.chain, certificate, self.now))
        return certificate

    def revocation(self, subject: str) -> Transaction:
        """The authority's order that withdraws the certificate that ``subject`` began with."""
        serial = next(item.body.serial for item in self.network.certificates if item.body.subject == subject)
        return self.network.authority.revoke(self.chain, serial, self.now)

    def endorse(self, tx: Transaction) -> list[tuple[str, Endorse]]:
        """What agents that know of no order yet say of a transaction, held back on its way."""
        return [item for name in self.names(Role.AGENT) for item in self._ask(name, [("", Submit(tx))], Endorse)]

    def approve(self, tx: Transaction) -> list[tuple[str, Approve]]:
        """The same of coordinators."""
        words = self.endorse(tx)
        return [item for name in self.names(Role.COORDINATOR) for item in self._ask(name, words, Approve)]

    def _ask(self, name: str, told: list[Any], kind: type[Any]) -> list[tuple[str, Any]]:
        machine = self.network.machine(name, self.network.crypto(name), self.simulation.store)
        effects: list[Effect] = []
        for sender, message in told:
            effects += machine.handle(Received(sender, message), self.now)
        return [(name, item.message) for item in effects if isinstance(item, Send) and isinstance(item.message, kind)]

    # -- what became of it -----------------------------------------------------------------------------------------

    def places(self, tx: Transaction) -> list[tuple[int, int, Reason]]:
        """Where in the ledger a transaction stands with this very signature: height, index, verdict."""
        return [
            (persist.block.header.height, index, persist.reasons[index])
            for persist in self._ledger.entries
            for index, item in enumerate(persist.block.transactions)
            if item.transaction == tx
        ]

    def judge(self, tx: Transaction, times: int = 1) -> str | None:
        """Who refused a transaction and why; None if the ledger holds it as valid, ``times`` times."""
        verdicts = [reason for _, _, reason in self.places(tx)]
        if verdicts.count(Reason.ACCEPTED) >= times:
            return None
        last = next((reason for reason in verdicts if reason), None)
        tx_id = self.crypto.suite.hash(encode(tx.body))
        return f"ledger keeper: {last}" if last else self.dropped.get(tx_id, "settled before")

    def attempt(self, tally: Tally, tx: Transaction, sender: str = "stranger", times: int = 1) -> None:
        """One try: submit, wait, and see whether the ledger holds it as valid."""
        try:
            self.submit(tx, sender)
        except CodecError:
            tally.add("codec")
            return
        self.rest()
        tally.add(self.judge(tx, times))


# -- protections taken out ---------------------------------------------------------------------------------------------


def _check_any(self: Registry, subject: str, _role: Role, *_: Any) -> tuple[Reason, CertificateBody | None]:
    """As if nobody kept a registry: who has a certificate of the authority may act, whatever it says."""
    certificate = self._by_subject.get(subject)
    return (Reason.ACCEPTED, certificate.body) if certificate else (Reason.UNKNOWN_AUTHOR, None)


def _hear_anyone(self: Visitor, event: Event, now: int) -> Effects:
    """As if a visitor did not know the contributors from the chain's beginning."""
    if isinstance(event, Received) and isinstance(event.message, Receipt):
        return self._receipt(event.sender, event.message, now)
    return _hear(self, event, now)


def _split_any(curve: Curve, signature: bytes) -> tuple[int, int] | None:
    """``(r, s)`` with either of the two valid ``s``, as libraries take them."""
    r, s = int.from_bytes(signature[:SCALAR_BYTES]), int.from_bytes(signature[SCALAR_BYTES:])
    is_good = len(signature) == SIGNATURE_BYTES and 0 < r < curve.order and 0 < s < curve.order
    return (r, s) if is_good else None


def _patches(protection: str, keys: dict[str, bytes]) -> tuple[Patch, ...]:
    known = ValidatorSet.find

    def find_any(self: ValidatorSet, node: str) -> Validator | None:
        return known(self, node) or (Validator(node, 1, keys[node]) if node in keys else None)

    weakened: dict[str, tuple[Patch, ...]] = {
        NO_REGISTRY: (
            (Registry, "check", _check_any),
            (rules, "has_right", lambda *_: True),
            (ValidatorSet, "find", find_any),
            (Visitor, "handle", _hear_anyone),
        ),
        # Ids of what is settled are remembered for a while, too: without either, nothing tells an old one.
        NO_WINDOWS: ((ReplayWindows, "is_fresh", lambda *_: True), (RecentSet, "__contains__", lambda *_: False)),
        ANY_S: ((openssl, "split", _split_any),),
    }
    return weakened.get(protection, ())


@contextmanager
def play(label: str, protection: str, curve: str = "p256") -> Iterator[Stage]:
    """A stage while it lacks what its ``protection`` says; everything is as it was afterwards."""
    stage = Stage(label, protection, curve)
    keys = {item.body.subject: item.body.public_key for item in stage.network.certificates}
    with patched(_patches(protection, keys)):
        yield stage


def replace(tx: Transaction, signature: bytes) -> Transaction:
    """The transaction under another signature."""
    return msgspec.structs.replace(tx, signature=signature)
