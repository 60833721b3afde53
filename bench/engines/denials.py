"""Engine `identity-denials`: what an agent tells whom that it refuses, and how long that takes beside an acceptance.

Each name is asked for by its owner, who signs with the certified key, and by a stranger, who cannot.  What a stranger
is told must not depend on the name; how long the answer takes is stated.
"""

import time
from statistics import median
from typing import Final

import msgspec

from bench.engines.base import Context
from bench.engines.impostor import FULL, GATEWAY, LEAVER, VICTIM, Stage, play
from bench.experiments.attacks import Tally, check_attacks
from bench.experiments.base import Case, Row
from ehrcore.drive.net.web.problems import ProblemError
from ehrcore.effects import Received, RoleMachine, Send
from ehrcore.identity import FOREVER, Reason
from ehrcore.messages import Endorse, Refused, Submit
from ehrcore.rules import AUTHORITY
from ehrcore.types import MINUTE, SECOND, Role

OPEN: Final = "reasons for everyone"
#: Names that a stranger tries, by what they are.
_NAMES: Final = {
    "member": VICTIM, "sensor gateway": GATEWAY, "revoked": LEAVER, "expired": "visitor-7",
    "not yet valid": "visitor-8", "agent": "agent-1", "authority": AUTHORITY, "nobody": "visitor-77",
}  # fmt: skip


def run_denials(context: Context, case: Case) -> list[Row]:
    """A row of kind ``denial`` per name and asker, and attack rows.  Settings: ``tries`` per name and asker."""
    scenario, tries = context.scenario, case.settings["tries"]
    rows: list[Row] = []
    with play(f"{scenario.seed}|identity|denials", FULL, scenario.curve) as stage:
        agent = _prepare(stage)
        rows += _measure(stage, agent, tries)
        told = {name: [_ask(stage, agent, name, is_owner=False) for _ in range(tries)] for name in _NAMES}
    for protection in (FULL, OPEN):
        expected, note = ("refused", "") if protection == FULL else ("succeeds", "as it tells coordinators")
        tally = Tally("enumeration of names", "by answer and by its size", protection, expected, note)  # type: ignore[arg-type]  # one of its words
        given = [shown if protection == FULL else found for answers in told.values() for shown, found, _ in answers]
        for reason in given:
            tally.add("one answer for all" if _describe(reason) == _describe(given[0]) else None)
        rows.append(tally.row())
    return check_attacks(rows)


def _prepare(stage: Stage) -> RoleMachine:
    """An agent that has carried out the orders by which names are what they are."""
    agent = stage.network.machine("agent-0", stage.network.crypto("agent-0"), stage.simulation.store)
    authority = stage.network.authority
    periods = (("visitor-7", 0, stage.now + SECOND), ("visitor-8", 1 << 60, FOREVER))
    for subject, begin, end in periods:
        stage.keys[subject] = stage.stranger(len(stage.keys))
        public = stage.keys[subject].public_bytes
        certificate = authority.certify(subject, Role.VISITOR, public, not_before=begin, not_after=end)
        agent.handle(Received(AUTHORITY, Submit(authority.enrol(stage.chain, certificate, stage.now))), stage.now)
    agent.handle(Received(AUTHORITY, Submit(stage.revocation(LEAVER))), stage.now)
    stage.simulation.run(stage.now + MINUTE)
    return agent


def _ask(stage: Stage, agent: RoleMachine, name: str, *, is_owner: bool) -> tuple[Reason, Reason, int]:
    """What the asker is told, what coordinators are told, and how long that took (ns)."""
    author = _NAMES[name]
    tx = stage.write(author, key=stage.keys[author] if is_owner else stage.stranger())
    begin = time.perf_counter_ns()
    effects = agent.handle(Received("stranger", Submit(tx)), stage.now)
    spent = time.perf_counter_ns() - begin
    words = [item.message for item in effects if isinstance(item, Send)]
    told = next((word.reason for word in words if isinstance(word, Refused)), Reason.ACCEPTED)
    return told, next(word.reason for word in words if isinstance(word, Endorse)), spent


def _describe(reason: Reason) -> bytes:
    """The answer over HTTP but for the transaction's id, which is as long for all."""
    if not reason:
        return b""
    return msgspec.json.encode(ProblemError.refused(reason, f"transaction {'0' * 64}: refused by agent-0").view())


def _measure(stage: Stage, agent: RoleMachine, tries: int) -> list[Row]:
    """Names and askers in turns, so that all meet the same machine."""
    askers = [(name, is_owner) for name in _NAMES for is_owner in (True, False) if (name, is_owner) != ("nobody", True)]
    found: dict[tuple[str, bool], list[tuple[Reason, Reason, int]]] = {asker: [] for asker in askers}
    for _ in range(tries):
        for name, is_owner in askers:
            found[name, is_owner].append(_ask(stage, agent, name, is_owner=is_owner))
    accepted = median(spent for _, _, spent in found["member", True])
    return [
        {
            "kind": "denial", "name": name, "asker": "its owner" if is_owner else "a stranger",
            "told": answers[0][0].value or "accepted", "found": answers[0][1].value or "accepted",
            "answer_bytes": len(_describe(answers[0][0])), "spent_us": median(item[2] for item in answers) / 1_000,
            "over_accepted": median(item[2] for item in answers) / accepted, "tries": tries,
        }
        for (name, is_owner), answers in found.items()
    ]  # fmt: skip
