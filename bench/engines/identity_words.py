"""Engine `identity-words`: each kind of signed word said by each role to the machine that acts on it (claim C38).

The word is what the rightful role would say, and its signature is valid; only who says it varies.  To show that the
word itself is good, the rightful role says it, too.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from bench.engines.base import Context
from bench.engines.impostor import FULL, NO_REGISTRY, VICTIM, Stage, play
from bench.experiments.attacks import Tally, check_attacks
from bench.experiments.base import Case, Row
from ehrcore.block import (
    ApprovalBody,
    Attestation,
    EndorsementBody,
    StakeCertificate,
    Transaction,
    TransactionBody,
    VoteBody,
)
from ehrcore.codec import decode, encode
from ehrcore.crypto import Crypto
from ehrcore.effects import (
    Effect,
    Observed,
    ObservedKind,
    Persist,
    Received,
    Requested,
    RoleMachine,
    Send,
    SetTimer,
    TimerFired,
)
from ehrcore.identity import Reason
from ehrcore.messages import Approve, Endorse, Finalised, Message, Propose, Receipt, Submit, Vote
from ehrcore.network import build_machine
from ehrcore.records import ClinicalRecord, RecordKind
from ehrcore.signing import PrivateKey
from ehrcore.types import Role

#: A speaker: the name under which it speaks, and the key with which it signs.
Speaker = tuple[str, PrivateKey]
_PREVOTE, _PRECOMMIT = 1, 2
#: No role consists of fewer nodes, and no policy or quorum of the stage asks for more.
_SPEAKERS: Final = 3


class Table:
    """Bare machines of a stage, and what one of them makes of words that others say."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.network = stage, stage.network
        body = b"a record that somebody waits for"
        self._record = ClinicalRecord(RecordKind.BILL, "patient", "Claim", "/hospital/report-store/one", body)
        stage.simulation.store.put(self._record.location, body)
        #: Why the last word was not acted on, as the machine that heard it says; '' if it said nothing.
        self.why = ""
        self.tx: Transaction = messages(self._request(self.machine(VICTIM)), Submit)[0].transaction
        self._hash = stage.crypto.hash_struct
        self.tx_id = self._hash(self.tx.body)

    def _request(self, visitor: RoleMachine) -> tuple[Effect, ...]:
        """Have a visitor ask for the one transaction that all words are about."""
        pseudonym = self.network.authority.pseudonym(self._record.patient_id)
        return visitor.handle(Requested(self._record, pseudonym), self.stage.now)

    def sign(self, key: PrivateKey, body: Any) -> bytes:
        return key.sign(self._hash(body))

    def machine(self, name: str) -> RoleMachine:
        """A node that has heard nothing yet."""
        return self.network.machine(name, self.network.crypto(name), self.stage.simulation.store)

    def tell(self, machine: RoleMachine, sender: str, word: Any) -> tuple[Effect, ...]:
        """What a machine does about a word that has gone through its bytes."""
        event = Received(sender, decode(encode(word), Message))  # type: ignore[arg-type]  # a union is a type form
        found = machine.handle(event, self.stage.now)
        for effect in found:
            if isinstance(effect, Observed) and effect.kind is ObservedKind.DROPPED:
                self.why = _shorten(effect.detail)
        return found

    def rightful(self, role: Role) -> list[Speaker]:
        return [(name, self.stage.keys[name]) for name in self.stage.names(role)[:_SPEAKERS]]

    # -- words -----------------------------------------------------------------------------------------------------

    def submit(self, speakers: Sequence[Speaker]) -> bool:
        """To an agent, which endorses."""
        name, key = speakers[0]
        body = TransactionBody(self.stage.chain, name, 1_000, self.stage.now, self.tx.body.payload)
        from_it = Submit(Transaction(body, self.sign(key, body)))
        done = messages(self.tell(self.machine("agent-0"), name, from_it), Endorse)
        return any(word.reason is Reason.ACCEPTED for word in done)

    def endorse(self, speakers: Sequence[Speaker]) -> bool:
        """To a coordinator, which approves."""
        machine, done = self.machine("coordinator-0"), list[Effect]()
        for given in self.endorsements(speakers):
            done += self.tell(machine, given.node, Endorse(self.tx, Reason.ACCEPTED, given))
        return bool(messages(done, Approve))

    def endorsements(self, speakers: Sequence[Speaker]) -> tuple[Attestation, ...]:
        chain = self.stage.chain
        return tuple(
            Attestation(name, self.sign(key, EndorsementBody(chain, self.tx_id, name, Reason.ACCEPTED)))
            for name, key in speakers
        )

    def approve(self, speakers: Sequence[Speaker]) -> bool:
        """To the administrator whose turn it is, which proposes a block."""
        return bool(self.propose(speakers))

    def propose(self, speakers: Sequence[Speaker]) -> list[Propose]:
        given = tuple(sorted(self.endorsements(self.rightful(Role.AGENT)), key=lambda item: item.node))
        ((_, sample),) = self.stage.approve(self.tx)[:1]
        machine, done = self.machine(self.proposer()), list[Effect]()
        for name, key in speakers:
            body = ApprovalBody(self.stage.chain, self.tx_id, name, sample.outcome)
            word = Approve(self.tx, given, sample.outcome, Attestation(name, self.sign(key, body)))
            done += self.tell(machine, name, word)
        for timer in [item for item in done if isinstance(item, SetTimer)]:
            done += machine.handle(TimerFired(timer.name), self.stage.now + timer.delay_ns)
        return messages(done, Propose)

    def proposer(self) -> str:
        validators = self.network.context(VICTIM).validators()
        return validators.proposer(self.network.crypto(VICTIM), self.stage.chain, 1, 0).node

    def block(self) -> tuple[Propose, bytes]:
        """What an honest proposer proposes, and the block's hash."""
        proposal = self.propose(self.rightful(Role.COORDINATOR))[0]
        return proposal, self._hash(proposal.block.header)

    def vote(self, speakers: Sequence[Speaker]) -> bool:
        """To an administrator that has the proposal: it makes the block final."""
        (proposal, block_hash), proposer = self.block(), self.proposer()
        busy = {proposer, *dict(speakers)}
        machine = self.machine(next(name for name in self.stage.names(Role.ADMINISTRATOR) if name not in busy))
        done = list(self.tell(machine, proposer, proposal))
        for step in (_PREVOTE, _PRECOMMIT):
            for name, key in speakers:
                body = VoteBody(self.stage.chain, 1, 0, step, block_hash)
                done += self.tell(machine, name, Vote(body, name, self.sign(key, body)))
        return bool(messages(done, Finalised))

    def finalised(self, speakers: Sequence[Speaker]) -> Finalised:
        proposal, block_hash = self.block()
        body = VoteBody(self.stage.chain, 1, 0, _PRECOMMIT, block_hash)
        votes = tuple(Attestation(name, self.sign(key, body)) for name, key in speakers)
        return Finalised(proposal.block, StakeCertificate(0, votes))

    def finalise(self, speakers: Sequence[Speaker]) -> bool:
        """To a contributor, which appends the block."""
        done = self.tell(self.machine("contributor-0"), speakers[0][0], self.finalised(speakers))
        return any(isinstance(item, Persist) for item in done)

    def receipt(self, speakers: Sequence[Speaker]) -> bool:
        """To the visitor whose transaction it is, which takes it for final."""
        final = self.finalised(self.rightful(Role.ADMINISTRATOR))
        visitor = self.machine(VICTIM)
        self._request(visitor)
        done: list[Effect] = []
        for name, key in speakers:
            crypto = Crypto(self.stage.crypto.suite, self.stage.crypto.scheme, key)
            # Whoever it is, it acts as a contributor would.
            keeper = build_machine(Role.CONTRIBUTOR, self.network.context(name, crypto), self.stage.simulation.store)
            for word in messages(keeper.handle(Received("", final), self.stage.now), Receipt):
                done += self.tell(visitor, name, word)
        return any(isinstance(item, Observed) and item.kind is ObservedKind.FINAL for item in done)


def _shorten(detail: str) -> str:
    """What was expected, without what differs from try to try."""
    return detail.partition(", found")[0].rpartition(": expected ")[2].partition(" by ")[0]


def messages(effects: Sequence[Effect], kind: type[Any]) -> list[Any]:
    """What was sent of one kind."""
    return [item.message for item in effects if isinstance(item, Send) and isinstance(item.message, kind)]


#: Each kind of word: whose it is, who hears it, and how it is said.
WORDS: Final[dict[str, tuple[Role, Role, Callable[[Table, Sequence[Speaker]], bool]]]] = {
    "submit": (Role.VISITOR, Role.AGENT, Table.submit),
    "endorse": (Role.AGENT, Role.COORDINATOR, Table.endorse),
    "approve": (Role.COORDINATOR, Role.ADMINISTRATOR, Table.approve),
    "vote": (Role.ADMINISTRATOR, Role.ADMINISTRATOR, Table.vote),
    "finalise": (Role.ADMINISTRATOR, Role.CONTRIBUTOR, Table.finalise),
    "receipt": (Role.CONTRIBUTOR, Role.VISITOR, Table.receipt),
}
_ROLES: Final = tuple(role for role in Role if role is not Role.AUTHORITY)


def run_words(context: Context, case: Case) -> list[Row]:
    """Every word by every role, in its own name and in that of the role whose word it is.  Settings: ``protection``."""
    scenario, protection = context.scenario, case.settings["protection"]
    with play(f"{scenario.seed}|identity|words", protection, scenario.curve) as stage:
        table = Table(stage)
        rows = [row for word in WORDS for row in _try_word(table, word, protection)]
    return check_attacks(rows)


def _try_word(table: Table, word: str, protection: str) -> list[Row]:
    stage, (rightful, listener, say) = table.stage, WORDS[word]
    control = Tally(f"{word} by the right role", "control", protection, "succeeds")
    control.add(None if say(table, table.rightful(rightful)) else listener.value)
    own = Tally(f"{word} by another role", "in its own name", protection,
                "succeeds" if protection == NO_REGISTRY else "refused")  # fmt: skip
    posing = Tally(f"{word} by another role", "in a rightful name", protection,
                   "succeeds" if stage.is_open else "refused")  # fmt: skip
    for role in (role for role in _ROLES if role is not rightful):
        _try(table, own, word, table.rightful(role))
        pairs = zip(table.rightful(rightful), table.rightful(role), strict=True)
        _try(table, posing, word, [(name, stage.pose(name, key)) for (name, _), (_, key) in pairs])
    return [tally.row() for tally in (control, own, posing) if protection == FULL or tally.expected == "succeeds"]


def _try(table: Table, tally: Tally, word: str, speakers: Sequence[Speaker]) -> None:
    """Say it, and count who refused it and for which reason; who gives none has passed it over."""
    table.why = ""
    _, listener, say = WORDS[word]
    tally.add(None if say(table, speakers) else f"{listener.value}: {table.why or 'passed over'}")
