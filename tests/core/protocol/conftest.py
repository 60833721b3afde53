"""What the protocol's tests share: a scribe of messages, a council of bare machines, a run and its invariants.

Invariants speak of ids and recompute everything from the paper's rules with code of their own, so that a planted bug in
the framework cannot hide itself.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any, Final

import msgspec
import pytest

from ehrcore.block import (
    ApprovalBody,
    Attestation,
    Block,
    Bond,
    EndorsedTransaction,
    EndorsementBody,
    Enrolment,
    Evidence,
    Header,
    Payload,
    RecordRef,
    Revocation,
    StakeCertificate,
    Transaction,
    TransactionBody,
    Unbond,
    VoteBody,
    leaf_bytes,
)
from ehrcore.codec import encode
from ehrcore.consensus import Seat, Tip
from ehrcore.consensus.pos import ProofOfStake
from ehrcore.consensus.seam import ConsensusMessage, Decided, Step
from ehrcore.consensus.stakes import Stakes
from ehrcore.consensus.validators import ValidatorSet
from ehrcore.crypto import Crypto
from ehrcore.drive.cost import EXAMPLE, CostModel, HostModel
from ehrcore.drive.links import LinkModel, Partition
from ehrcore.drive.sim import SimSetup, Simulation
from ehrcore.effects import Effects, Observed, ObservedKind, Persist, Requested, Send, SetTimer
from ehrcore.errors import ValidationError
from ehrcore.hashing import find_suite
from ehrcore.identity import Certificate, Reason
from ehrcore.ledger import MemoryLedger
from ehrcore.messages import Approve, Endorse, Finalised, ProposalBody, Propose, Vote
from ehrcore.network import Network, found_network
from ehrcore.params import ChainParams, ConsensusRule, Topology
from ehrcore.records import ClinicalRecord, RecordKind
from ehrcore.rules import AUTHORITY
from ehrcore.spec.merkle import tree_hash
from ehrcore.state import ChainState
from ehrcore.types import SECOND, Role

#: Long after anything that a test starts has ended, in virtual nanoseconds.
END: Final = 10**15
PREVOTE: Final = 1
PRECOMMIT: Final = 2
#: A vote for no block.
NIL: Final = b""
PLAIN: Final = LinkModel()
OWN_HOSTS: Final = HostModel()
OUTCOME: Final = b"\x5a" * 32


def make_params(topology: tuple[int, ...] = (3, 3, 4, 2), **changes: Any) -> ChainParams:
    """Two of three endorsements and approvals, modelled signatures, unless a test says otherwise."""
    given: dict[str, Any] = {"endorsements": 2, "approvals": 2, "is_modelled": True} | changes
    return ChainParams("tests", Topology(*topology), **given)


def make_network(params: ChainParams, stakes: Sequence[int] = (), **more: Any) -> Network:
    """A network founded from a fixed label."""
    return found_network(params, "modelled" if params.is_modelled else "cryptography", "tests", stakes, **more)


class Scribe:
    """Writes what any node of a network could have written, and what it should not have."""

    def __init__(self, network: Network) -> None:
        self.network, self.params, self.chain = network, network.params, network.chain
        self.cryptos = {name: network.crypto(name) for name in (*network.roles, AUTHORITY)}
        self.crypto = self.cryptos[AUTHORITY]
        self.validators = network.context(next(iter(network.roles))).validators()

    def stakes(self) -> Stakes:
        """The voters of a chain without blocks."""
        return Stakes(self.crypto, self.params, self.validators)

    # -- transactions ------------------------------------------------------------------------------------------

    def transaction(self, nonce: int = 0, author: str = "visitor-0", signer: str = "", **changes: Any) -> Transaction:
        """A signed transaction about a record; ``changes`` replace fields of the body or of the record."""
        body = changes.pop("content", b"record")
        record: dict[str, Any] = {
            "kind": 7,
            "pseudonym": bytes(32),
            "location": f"/{author}/{nonce}",
            "size_bytes": len(body),
        }
        fields = {name: changes.pop(name) for name in record if name in changes}
        payload: Payload = RecordRef(**(record | fields), digest=changes.pop("digest", self.crypto.hash(body)))
        return self.signed(changes.pop("payload", payload), nonce, author, signer or author, **changes)

    def signed(self, payload: Payload, nonce: int, author: str, signer: str, **changes: Any) -> Transaction:
        body = TransactionBody(changes.pop("chain", self.chain), author, nonce, 0, payload)
        assert not changes, changes
        return Transaction(body, self.cryptos[signer].sign(body))

    def order(self, payload: Payload, nonce: int = 0) -> Transaction:
        """A transaction of the authority."""
        return self.signed(payload, nonce, AUTHORITY, AUTHORITY)

    def certify(self, name: str, role: Role = Role.VISITOR, key_of: str = "visitor-0", **more: Any) -> Certificate:
        """A new certificate of the authority."""
        kinds = tuple(map(int, RecordKind)) if role is Role.VISITOR else ()
        return self.network.authority.certify(
            name, role, self.network.keys[key_of].public_bytes, **({"kinds": kinds} | more)
        )

    def serial_of(self, name: str) -> int:
        return next(item.body.serial for item in self.network.certificates if item.body.subject == name)

    def tx_id(self, tx: Transaction) -> bytes:
        return self.crypto.hash_struct(tx.body)

    # -- attestations ------------------------------------------------------------------------------------------

    def endorsement(
        self, tx: Transaction, agent: str, reason: Reason = Reason.ACCEPTED, signer: str = ""
    ) -> Attestation:
        body = EndorsementBody(self.chain, self.tx_id(tx), agent, reason)
        return Attestation(agent, self.cryptos[signer or agent].sign(body))

    def endorse(self, tx: Transaction, agent: str, reason: Reason = Reason.ACCEPTED, signer: str = "") -> Endorse:
        return Endorse(tx, reason, self.endorsement(tx, agent, reason, signer))

    def endorsements(self, tx: Transaction, agents: Iterable[int] = range(2)) -> tuple[Attestation, ...]:
        return tuple(self.endorsement(tx, f"agent-{index}") for index in agents)

    def approval(self, tx: Transaction, coordinator: str, outcome: bytes = OUTCOME, signer: str = "") -> Attestation:
        body = ApprovalBody(self.chain, self.tx_id(tx), coordinator, outcome)
        return Attestation(coordinator, self.cryptos[signer or coordinator].sign(body))

    def approve(self, tx: Transaction, coordinator: str, outcome: bytes = OUTCOME, signer: str = "") -> Approve:
        return Approve(tx, self.endorsements(tx), outcome, self.approval(tx, coordinator, outcome, signer))

    def endorsed(self, tx: Transaction, outcome: bytes = OUTCOME) -> EndorsedTransaction:
        """Orderable: two endorsements and two approvals."""
        approvals = tuple(self.approval(tx, f"coordinator-{index}", outcome) for index in range(2))
        return EndorsedTransaction(tx, self.endorsements(tx), outcome, approvals)

    # -- blocks ------------------------------------------------------------------------------------------------

    def block(self, items: Sequence[EndorsedTransaction], parent: Header | None = None, **changes: Any) -> Block:
        """A block on ``parent`` (genesis if None) by the first administrator."""
        height = parent.height + 1 if parent else 1
        previous = self.crypto.hash_struct(parent) if parent else self.chain
        root = self.crypto.merkle_tree(tuple(map(leaf_bytes, items))).root
        header = Header(
            self.chain, height, previous, root, len(items), height * SECOND, "administrator-0",
            self.validators.digest, self.validators.digest, 0, bytes(8),
        )  # fmt: skip
        return Block(msgspec.structs.replace(header, **changes), tuple(items))

    def hash(self, block: Block) -> bytes:
        return self.crypto.hash_struct(block.header)

    def vote(self, voter: str, block: bytes, round_: int = 0, step: int = PRECOMMIT, height: int = 1) -> Vote:
        body = VoteBody(self.chain, height, round_, step, block)
        return Vote(body, voter, self.cryptos[voter].sign(body))

    def certificate(self, block: Block, voters: Iterable[str] = (), round_: int = 0) -> StakeCertificate:
        """Precommits of ``voters`` (of all administrators if none is named)."""
        names = tuple(voters) or tuple(member.node for member in self.validators.members)
        votes = (self.vote(name, self.hash(block), round_, height=block.header.height) for name in names)
        return StakeCertificate(round_, tuple(Attestation(vote.voter, vote.signature) for vote in votes))

    def final(self, items: Sequence[EndorsedTransaction], parent: Header | None = None, **changes: Any) -> Finalised:
        block = self.block(items, parent, **changes)
        return Finalised(block, self.certificate(block))

    def finals(self, count: int, size: int = 2) -> list[Finalised]:
        """A chain of ``count`` final blocks of ``size`` transactions each."""
        chain: list[Finalised] = []
        for height in range(count):
            items = [self.endorsed(self.transaction(height * size + index)) for index in range(size)]
            chain.append(self.final(items, chain[-1].block.header if chain else None))
        return chain

    def propose(
        self, block: Block, round_: int = 0, valid_round: int = -1, signer: str = "", height: int = 1
    ) -> Propose:
        proposer = self.validators.proposer(self.crypto, self.chain, height, round_).node
        body = ProposalBody(self.chain, height, round_, valid_round, self.hash(block))
        return Propose(body, block, self.cryptos[signer or proposer].sign(body))

    def state(self) -> ChainState:
        return ChainState(self.params, self.chain, self.network.certificates, self.network.crypto("contributor-0"))


def sends(effects: Iterable[object], kind: type) -> list[Send]:
    """What was sent of one kind of message."""
    return [effect for effect in effects if isinstance(effect, Send) and isinstance(effect.message, kind)]


def messages(effects: Iterable[object], kind: type) -> list[Any]:
    return [effect.message for effect in sends(effects, kind)]


def observed(effects: Iterable[object], kind: ObservedKind) -> list[Observed]:
    return [effect for effect in effects if isinstance(effect, Observed) and effect.kind is kind]


class FixedPool:
    """A pool that always has the same batch until a block is decided, and trusts everyone's but what it is told."""

    def __init__(self, crypto: Crypto, batch: tuple[EndorsedTransaction, ...]) -> None:
        self.crypto, self.ready = crypto, batch
        self.refuses: set[bytes] = set()

    def batch(self, now: int, exclude: Iterable[bytes] = ()) -> tuple[EndorsedTransaction, ...]:
        excluded = set(exclude)
        return tuple(item for item in self.ready if self.crypto.hash_struct(item.transaction.body) not in excluded)

    def check(self, transactions: tuple[EndorsedTransaction, ...], now: int) -> tuple[bytes, ...]:
        ids = tuple(self.crypto.hash_struct(item.transaction.body) for item in transactions)
        if self.refuses & set(ids):
            raise ValidationError("policy", "expected another, found one that this pool refuses")
        return ids


class Council:
    """Bare consensus machines with a bag of messages between them: the test is the network and the clock."""

    def __init__(
        self, size: int, stakes: Sequence[int] = (), rule: Callable[[Seat, Tip], Any] = ProofOfStake, **changes: Any
    ) -> None:
        self.scribe = Scribe(make_network(make_params((3, 3, size, 1), **changes), stakes))
        self.names = tuple(f"administrator-{index}" for index in range(size))
        scribe = self.scribe
        self.pools: dict[str, FixedPool] = {}
        self.machines: dict[str, Any] = {}
        for index, name in enumerate(self.names):
            # Every node would order something else, so that agreement is not a matter of course.
            pool = FixedPool(scribe.crypto, (scribe.endorsed(scribe.transaction(index)),))
            peers = tuple(peer for peer in self.names if peer != name)
            crypto = scribe.network.crypto(name)
            seat = Seat(name, peers, scribe.params, scribe.chain, scribe.stakes(), crypto, pool)
            self.pools[name], self.machines[name] = pool, rule(seat, Tip(0, scribe.chain, 0))
        self.bag: list[tuple[str, str, ConsensusMessage]] = []
        self.timers: list[tuple[int, str, str]] = []
        self.steps: dict[str, list[Step]] = {name: [] for name in self.names}
        self.decided: dict[str, list[Decided]] = {name: [] for name in self.names}
        self.now = 0

    def proposer(self, round_: int = 0, height: int = 1) -> str:
        return self.scribe.validators.proposer(self.scribe.crypto, self.scribe.chain, height, round_).node

    def bystander(self, rounds: int) -> str:
        """A member that proposes in none of the first rounds."""
        busy = {self.proposer(round_) for round_ in range(rounds)}
        return next(name for name in self.names if name not in busy)

    def take(self, name: str, steps: list[Step]) -> list[Step]:
        """Carry out what a machine asks for."""
        self.steps[name] += steps
        for step in steps:
            if isinstance(step, Send):
                self.bag += [(name, peer, step.message) for peer in step.to]  # type: ignore[misc]
            elif isinstance(step, SetTimer):
                self.timers.append((self.now + step.delay_ns, name, step.name))
            elif isinstance(step, Decided):
                self.decided[name].append(step)
                self.pools[name].ready = self.next_batch(name, step)
        if any(isinstance(step, Decided) for step in steps):
            self.take(name, self.machines[name].on_ready(self.now))
        return steps

    def next_batch(self, name: str, decided: Decided) -> tuple[EndorsedTransaction, ...]:
        """What waits at a node once it has decided a block: nothing."""
        del name, decided
        return ()

    def ready(self, *names: str) -> None:
        for name in names or tuple(self.machines):
            self.take(name, self.machines[name].on_ready(self.now))

    def tell(self, name: str, *given: ConsensusMessage, sender: str = "") -> list[Step]:
        """Hand messages to a machine; all that it does about them."""
        done: list[Step] = []
        for message in given:
            origin = sender or getattr(message, "voter", "") or self.names[0]
            done += self.take(name, self.machines[name].on_message(origin, message, self.now))
        return done

    def deliver(self, index: int = 0, *, is_kept: bool = False) -> None:
        sender, receiver, message = self.bag[index]
        if not is_kept:
            del self.bag[index]
        if receiver in self.machines:
            self.tell(receiver, message, sender=sender)

    def fire(self, choice: int = 0) -> None:
        """Let the next timer run out, or any other."""
        self.timers.sort()
        at, name, timer = self.timers.pop(choice % len(self.timers))
        # Clocks may differ, but what is repeated ever more rarely must not take time out of range.
        self.now = min(max(self.now, at), END)
        if name in self.machines:
            self.take(name, self.machines[name].on_timer(timer, self.now))

    def fire_all(self, name: str, kind: str) -> list[Step]:
        """Let all timers of a kind on one machine run out."""
        mine = [timer for timer in self.timers if timer[1] == name and timer[2].startswith(kind)]
        self.timers = [timer for timer in self.timers if timer not in mine]
        return [step for _, _, timer in mine for step in self.take(name, self.machines[name].on_timer(timer, self.now))]

    def settle(self, most: int = 20_000) -> None:
        """Deliver everything in order and let time pass until everybody has decided."""
        for _ in range(most):
            if all(self.decided[name] for name in self.machines):
                return
            if self.bag:
                self.deliver()
            elif self.timers:
                self.fire()
            else:
                return

    def hashes(self) -> set[bytes]:
        """Hashes of all blocks decided at height 1."""
        return {given[0].block_hash for given in self.decided.values() if given}

    def votes_of(self, steps: Iterable[Step]) -> list[tuple[int, int, bytes]]:
        """Round, step and block of the votes among ``steps``."""
        bodies = [vote.body for vote in messages(steps, Vote)]
        return [(body.round, body.step, body.block) for body in bodies]


class TwoFaced:
    """An adversary that runs two honest machines with one key, one for each group of the others."""

    def __init__(self, council: Council, name: str, groups: Sequence[Sequence[int]]) -> None:
        self.council, self.name = council, name
        self.groups = [{council.names[index] for index in group} for group in groups]
        self.faces = [council.machines.pop(name), self._second_face()]
        self.bags: list[list[tuple[str, str, Any]]] = [[], []]
        self.timers: list[tuple[int, str, str]] = []

    def _second_face(self) -> ProofOfStake:
        scribe = self.council.scribe
        pool = FixedPool(scribe.crypto, (scribe.endorsed(scribe.transaction(99)),))
        peers = tuple(name for name in self.council.names if name != self.name)
        crypto = scribe.network.crypto(self.name)
        seat = Seat(self.name, peers, scribe.params, scribe.chain, scribe.stakes(), crypto, pool)
        return ProofOfStake(seat, Tip(0, scribe.chain, 0))

    def play(self, most: int = 400) -> None:
        """Each half hears its face and itself alone, and time passes when there is nothing to hear."""
        council = self.council
        for face, machine in enumerate(self.faces):
            self._take(face, machine.on_ready(0))
        council.ready(*council.machines)
        for _ in range(most):
            while council.bag or any(self.bags):
                self._exchange()
            self.timers.sort()
            council.timers.sort()
            if self.timers and (not council.timers or self.timers[0] < council.timers[0]):
                at, face_name, name = self.timers.pop(0)
                council.now, face = max(council.now, at), int(face_name)
                self._take(face, self.faces[face].on_timer(name, council.now))
            elif council.timers:
                council.fire()

    def _exchange(self) -> None:
        council = self.council
        bag, council.bag = council.bag, []
        bags, self.bags = self.bags, [[], []]
        for sender, receiver, message in bag:
            face = next(index for index, group in enumerate(self.groups) if sender in group)
            if receiver in self.groups[face]:
                council.tell(receiver, message, sender=sender)
            elif receiver == self.name:
                self._take(face, self.faces[face].on_message(sender, message, council.now))
        for face, given in enumerate(bags):
            for sender, receiver, message in given:
                if receiver in self.groups[face]:
                    council.tell(receiver, message, sender=sender)

    def _take(self, face: int, steps: list[Step]) -> None:
        for step in steps:
            if isinstance(step, Send):
                self.bags[face] += [(self.name, peer, step.message) for peer in step.to]
            elif isinstance(step, SetTimer):
                self.timers.append((self.council.now + step.delay_ns, str(face), step.name))


class Broken(AssertionError):  # noqa: N818 - read as `pytest.raises(Broken)`
    """An invariant that does not hold; ``rule`` names it."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule


class Run:
    """A simulated network with everything that it said and kept."""

    def __init__(
        self,
        params: ChainParams,
        stakes: Sequence[int] = (),
        *,
        seed: str = "seed",
        costs: CostModel = EXAMPLE,
        links: LinkModel = PLAIN,
        host: HostModel = OWN_HOSTS,
        partitions: tuple[Partition, ...] = (),
        is_wired: bool = False,
        keep: int = 100_000,
        grinder: str = "hashlib",
    ) -> None:
        self.network = make_network(params, stakes)
        self.params = self.network.params
        keepers = [name for name, role in self.network.roles.items() if role is Role.CONTRIBUTOR]
        self.ledgers = {name: MemoryLedger(keep) for name in (*keepers, "coordinator-0")}
        self.seen: list[tuple[int, str, Observed]] = []
        self.submitted = 0
        setup = SimSetup(seed, costs, links, host, partitions, is_wired, grinder)
        self.sim = Simulation(self.network, setup, lambda *seen: self.seen.append(seen), dict(self.ledgers))

    def submit(self, count: int, start: int = 0, every: int = 1_000, visitor: str = "visitor-0") -> "Run":
        for index in range(count):
            number = self.submitted + index
            record = ClinicalRecord(RecordKind.SENSOR, "p", "Observation", f"/r/{number}", b"%d" % number)
            event = Requested(record, self.network.authority.pseudonym("p"))
            self.sim.inject(start + index * every, visitor, event)
        self.submitted += count
        return self

    def run(self, until: int | None = None) -> "Run":
        """Run until then; by default, until long after everything has ended."""
        self.sim.run(self.sim.kernel.now + END if until is None else until)
        return self

    def node(self, name: str) -> Any:
        return next(node for node in self.sim.nodes if node.name == name)

    def of(self, kind: ObservedKind, name: str = "") -> list[tuple[int, str, Observed]]:
        return [seen for seen in self.seen if seen[2].kind is kind and name in ("", seen[1])]

    def ids(self, kind: ObservedKind) -> list[bytes]:
        return [subject for _, _, item in self.of(kind) for subject in item.subjects]

    def decided(self) -> dict[str, list[bytes]]:
        """Block hashes by administrator, in the order of decision."""
        found: dict[str, list[bytes]] = defaultdict(list)
        for _, name, item in self.of(ObservedKind.DECIDED):
            found[name] += item.subjects
        return dict(found)

    def hashes(self, name: str = "contributor-0") -> list[bytes]:
        suite = find_suite(self.params.hash_suite)
        return [suite.hash(encode(entry.block.header)) for entry in self.ledgers[name].entries]


def check_invariants(run: Run, *, is_complete: bool = True, deciders: Iterable[str] | None = None) -> None:
    """Raise `Broken` unless all ledgers are prefixes of one valid chain and agree with what administrators decided.

    ``is_complete``: all has been delivered, so that nothing may be missing anywhere either.  ``deciders`` are the
    administrators whose word counts (all of them if None).
    """
    _check_agreement(run, run.decided() if deciders is None else {n: run.decided().get(n, []) for n in deciders})
    for name, ledger in run.ledgers.items():
        entries = list(ledger.entries)
        _check_chain(run, entries)
        if run.params.consensus is ConsensusRule.PROOF_OF_STAKE:
            _check_quorums(run, entries)
        _check_rights(run, entries)
        _check_once(run, name, entries, is_complete=is_complete)


def _check_agreement(run: Run, decided: dict[str, list[bytes]]) -> None:
    places: dict[int, set[bytes]] = defaultdict(set)
    states: dict[int, set[bytes]] = defaultdict(set)
    for chain in (*decided.values(), *map(run.hashes, run.ledgers)):
        for height, block_hash in enumerate(chain, start=1):
            places[height].add(block_hash)
    for ledger in run.ledgers.values():
        for entry in ledger.entries:
            states[entry.block.header.height].add(entry.state)
    for rule, found in (("agreement", places), ("state", states)):
        for height, values in found.items():
            if len(values) > 1:
                raise Broken(rule, f"height {height} has {sorted(value.hex()[:8] for value in values)}")


def _check_chain(run: Run, entries: list[Persist]) -> None:
    suite, previous = find_suite(run.params.hash_suite), run.network.chain
    for height, entry in enumerate(entries, start=1):
        header, items = entry.block.header, entry.block.transactions
        if (header.height, header.previous) != (height, previous):
            raise Broken("link", f"block {height} does not follow the one before it")
        if (header.merkle_root, header.size) != (tree_hash(suite, [encode(item) for item in items]), len(items)):
            raise Broken("content", f"block {height} does not hold what its header says")
        previous = suite.hash(encode(header))


def _check_quorums(run: Run, entries: list[Persist]) -> None:
    members = {item.body.subject: item.body for item in run.network.certificates if item.body.stake}
    voters_at = naive_stakes(run, entries)
    crypto = run.network.crypto("visitor-0")
    for entry in entries:
        certificate, header = entry.certificate, entry.block.header
        if not isinstance(certificate, StakeCertificate):
            raise Broken("quorum", f"block {header.height} is not certified by stake")
        body = VoteBody(run.network.chain, header.height, certificate.round, PRECOMMIT, crypto.hash(encode(header)))
        voters = {vote.node for vote in certificate.votes}
        for vote in certificate.votes:
            if not crypto.verify(members[vote.node].public_key, body, vote.signature):
                raise Broken("quorum", f"{vote.node} did not vote for block {header.height}")
        stakes = voters_at[header.height]
        share = Fraction(sum(stakes.get(name, 0) for name in voters), sum(stakes.values()))
        if share <= Fraction(2, 3):
            raise Broken("quorum", f"block {header.height} has {share} of the stake")


def naive_stakes(run: Run, entries: list[Persist]) -> dict[int, dict[str, int]]:
    """Stake by height: what an accepted order of block h changes counts from h + 2 on; who offends loses everything."""
    first = {item.body.subject: item.body.stake for item in run.network.certificates if item.body.stake}
    found = {1: first, 2: first}
    for entry in entries:
        stakes, height = dict(found[entry.block.header.height + 1]), entry.block.header.height
        for item, reason in zip(entry.block.transactions, entry.reasons, strict=True):
            match item.transaction.body.payload:
                case Bond(node=node, amount=amount) if not reason:
                    stakes[node] = stakes.get(node, 0) + amount
                case Unbond(node=node, amount=amount) if not reason:
                    stakes[node] -= amount
                case Evidence(offender=node) if not reason:
                    stakes[node] = 0
                case _:
                    pass
        found[height + 2] = stakes
    return found


def _check_rights(run: Run, entries: list[Persist]) -> None:
    """Who was revoked in one place of the chain does nothing in a later one."""
    serials = {item.body.subject: item.body.serial for item in run.network.certificates}
    revoked: set[int] = set()
    for entry in entries:
        for item, reason in zip(entry.block.transactions, entry.reasons, strict=True):
            body = item.transaction.body
            if reason:
                continue
            if serials.get(body.author) in revoked:
                raise Broken("revocation", f"{body.author} acts in block {entry.block.header.height}")
            if isinstance(body.payload, Revocation):
                revoked.add(body.payload.serial)
            elif isinstance(body.payload, Enrolment):
                serials[body.payload.certificate.body.subject] = body.payload.certificate.body.serial


def _check_once(run: Run, name: str, entries: list[Persist], *, is_complete: bool) -> None:
    suite = find_suite(run.params.hash_suite)
    accepted = [
        suite.hash(encode(item.transaction.body))
        for entry in entries
        for item, reason in zip(entry.block.transactions, entry.reasons, strict=True)
        if not reason and isinstance(item.transaction.body.payload, RecordRef)
    ]
    submitted = run.ids(ObservedKind.SUBMITTED)
    if len(set(accepted)) != len(accepted):
        raise Broken("once", f"{name} holds a transaction twice")
    if not set(accepted) <= set(submitted):
        raise Broken("invented", f"{name} holds what nobody submitted")
    if is_complete and set(accepted) != set(submitted):
        raise Broken("lost", f"{name} lacks {len(set(submitted) - set(accepted))} transactions")


def make_votes(validators: ValidatorSet, *names: str) -> int:
    """The stake of some administrators together."""
    return sum(member.stake for member in validators.members if member.node in names)


def handle(machine: Any, event: Any, now: int = 0) -> Effects:
    effects: Effects = machine.handle(event, now)
    return effects


@pytest.fixture
def scribe() -> Scribe:
    """The scribe of three agents, three coordinators, four administrators and two contributors."""
    return Scribe(make_network(make_params()))


@pytest.fixture
def real_scribe() -> Scribe:
    """The same with real signatures."""
    return Scribe(make_network(make_params(is_modelled=False)))
