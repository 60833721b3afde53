"""A small network with faults, and everything that its nodes said, heard and kept."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Final

from ehrcore.block import Transaction
from ehrcore.codec import encode
from ehrcore.drive.cost import EXAMPLE
from ehrcore.drive.sim import SimSetup
from ehrcore.effects import Effect, Effects, Event, ObservedKind, Received, Requested, RoleMachine, Send
from ehrcore.faults.driver import FaultySimulation
from ehrcore.faults.plan import Fault, FaultPlan
from ehrcore.hashing import find_suite
from ehrcore.identity import Reason
from ehrcore.ledger import MemoryLedger
from ehrcore.messages import Endorse, Message, Propose, Vote
from ehrcore.network import Network, build_machine, found_network
from ehrcore.params import ChainParams, Limits, Topology
from ehrcore.records import ClinicalRecord, RecordKind
from ehrcore.types import MILLISECOND, SECOND, Role

ADMINS: Final = tuple(f"administrator-{index}" for index in range(4))
ALL: Final = ("visitor-0", "agent-0", "coordinator-0", *ADMINS, "contributor-0")
#: Two transactions or a tenth of a second make a block.
LIMITS: Final = Limits(2, 30_720, 100 * MILLISECOND)
SUITE: Final = find_suite("sha256")


def make_network(topology: tuple[int, ...] = (1, 1, 4, 1, 1), **changes: Any) -> Network:
    given = {"endorsements": 1, "approvals": 1, "is_modelled": True, "limits": LIMITS} | changes
    return found_network(ChainParams("faults", Topology(*topology), **given), "modelled", "faults")


NETWORK: Final = make_network()


@dataclass
class Recorder:
    """A role machine that writes down when it heard what; ``number`` tells a node's machines apart, in order."""

    inner: RoleMachine
    name: str
    number: int
    heard: list[tuple[int, Event]] = field(default_factory=list)

    def start(self, now: int) -> Effects:
        return self.inner.start(now)

    def handle(self, event: Event, now: int) -> Effects:
        self.heard.append((now, event))
        return self.inner.handle(event, now)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Trial:
    """One run under faults; visitor-0 submits ``count`` records, two a second."""

    def __init__(
        self, *faults: Fault, network: Network = NETWORK, seed: str = "seed", records: bool = False, **setup: Any
    ) -> None:
        self.network, self.plan = network, FaultPlan(faults)
        self.said: list[tuple[int, str, Effect]] = []
        self.recorders: list[Recorder] = []
        self.ledgers = {name: MemoryLedger(10_000) for name in ("coordinator-0", "contributor-0")}
        self.sim = FaultySimulation(
            network,
            SimSetup(seed, setup.pop("costs", EXAMPLE), **setup),
            ledgers=dict(self.ledgers),
            plan=self.plan,
            watch=lambda *said: self.watch(*said),  # noqa: PLW0108 - a test may replace it
            build=self._build if records else build_machine,
        )

    def watch(self, now: int, node: str, effect: Effect) -> None:
        self.said.append((now, node, effect))

    def _build(self, role: Role, context: Any, store: Any) -> Any:
        # Ledger keepers and agents stay what they are: the driver asks for their heights by their types.
        machine = build_machine(role, context, store)
        if role is not Role.ADMINISTRATOR:
            return machine
        number = sum(recorder.name == context.me for recorder in self.recorders)
        self.recorders.append(Recorder(machine, context.me, number))
        return self.recorders[-1]

    def submit(self, count: int = 6, start: int = 0) -> "Trial":
        for index in range(count):
            record = ClinicalRecord(RecordKind.SENSOR, "p", "Observation", f"/r/{index}", b"%d" % index)
            event = Requested(record, self.network.authority.pseudonym("p"))
            self.sim.inject(start + index * SECOND // 2, "visitor-0", event)
        return self

    def run(self, until: int = 200 * SECOND) -> "Trial":
        self.sim.run(until)
        return self

    # -- what was said -----------------------------------------------------------------------------------------

    def sent(self, kind: type, node: str = "") -> list[tuple[int, str, Send]]:
        return [
            (now, name, effect)
            for now, name, effect in self.said
            if isinstance(effect, Send) and isinstance(effect.message, kind) and node in ("", name)
        ]

    def heard(self, name: str, sender: str = "", number: int = 0) -> list[tuple[int, Message]]:
        """Messages that one machine of an administrator was given, with its own time."""
        (recorder,) = (item for item in self.recorders if (item.name, item.number) == (name, number))
        return [
            (now, event.message)
            for now, event in recorder.heard
            if isinstance(event, Received) and sender in ("", event.sender)
        ]

    def words(self, node: str) -> dict[tuple[Any, ...], set[bytes]]:
        """By height, round and step: the blocks that a node signed for."""
        found: dict[tuple[Any, ...], set[bytes]] = defaultdict(set)
        for _, _, send in self.sent(Vote | Propose, node):  # type: ignore[arg-type]  # as isinstance has it
            body = send.message.body
            if isinstance(send.message, Vote) and send.message.voter != node:
                continue
            if isinstance(send.message, Propose) and send.message.block.header.proposer != node:
                continue
            found[body.height, body.round, getattr(body, "step", 0)].add(body.block)
        return found

    # -- what is kept ------------------------------------------------------------------------------------------

    def ids(self, kind: ObservedKind, node: str) -> list[bytes]:
        seen = (effect for _, name, effect in self.said if name == node)
        return [subject for effect in seen if getattr(effect, "kind", "") is kind for subject in effect.subjects]

    def hashes(self, name: str) -> list[bytes]:
        """Block by block, what a node keeps."""
        finals = self.sim.log_of(name).finals(1)
        return [SUITE.hash(encode(final.block.header)) for final in finals]

    @property
    def accepted(self) -> set[bytes]:
        """What the agent has acknowledged."""
        verdicts = [send.message for _, _, send in self.sent(Endorse, "agent-0")]
        return {self.identify(verdict.transaction) for verdict in verdicts if verdict.reason is Reason.ACCEPTED}

    def identify(self, tx: Transaction) -> bytes:
        return SUITE.hash(encode(tx.body))

    def check_whole(self, *missing: str) -> None:
        """One chain everywhere but at ``missing``, and in it what was acknowledged, once."""
        names = [name for name in (*ADMINS, "coordinator-0", "contributor-0") if name not in missing]
        names = [name for name in (*ADMINS, "coordinator-0", "contributor-0") if name not in missing]
        chains = {name: tuple(self.hashes(name)) for name in names}
        assert len(set(chains.values())) == 1, {name: len(chain) for name, chain in chains.items()}
        blocks = [entry.block for entry in self.ledgers["contributor-0"].entries]
        ids = [self.identify(item.transaction) for block in blocks for item in block.transactions]
        assert sorted(ids) == sorted(self.accepted)
        assert ids
        states = [self.sim.machines[name][0].state for name in ("coordinator-0", "contributor-0")]
        assert states[0].digest == states[1].digest
