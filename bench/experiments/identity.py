"""Who can act as whom, and who gets a record: strangers, former members, other roles, replays, stolen keys and links.

Simulated networks of unchanged roles with real signatures, every message as bytes, and one network of real nodes.  A
weakened variant is the same with one protection taken out (`bench.engines.impostor`).
"""

from functools import partial
from typing import Final

from bench.experiments.attacks import UNGROUPED, answer_attacks, attack_table
from bench.experiments.base import Case, Column, Experiment, Row, Scenario, Table, Tables
from bench.experiments.catalogue import QUESTIONS
from bench.experiments.rows import select_rows


def declare_cases(scenario: Scenario) -> list[Case]:
    """A case per part and protection; parts that a protection does not bear on are left out."""
    from bench.engines.impostor import FULL, NO_REGISTRY, NO_SIGNATURES, PROTECTIONS

    plan = scenario.identity
    cases = [Case(f"transactions, {name}", "identity", {"protection": name, "tries": plan.tries})
             for name in PROTECTIONS]  # fmt: skip
    cases += [Case(f"words, {name}", "identity-words", {"protection": name})
              for name in (FULL, NO_REGISTRY, NO_SIGNATURES)]  # fmt: skip
    cases += [Case(f"stolen key, {name}", "identity-stolen", {"protection": name, "readings": plan.readings})
              for name in (FULL, NO_REGISTRY)]  # fmt: skip
    cases.append(Case("nonces", "identity-nonces", {"tries": plan.tries, "messages": plan.messages}))
    cases.append(Case("denials", "identity-denials", {"tries": plan.denials}))
    return [*cases, Case("custody", "custody"), Case("real nodes", "identity-net")] if plan.net else cases


def answer(tables: Tables) -> list[str]:
    """What came of the attacks, and how long strangers wait for a refusal."""
    frame, denials = tables["identity"], tables["identity_denials"]
    is_control = (frame["attack"] + frame["variant"]).str.contains("control")
    lines, good = answer_attacks(frame[~is_control], _REASONS), frame[is_control]
    custody = tables["identity_custody"]
    lines += answer_attacks(custody[~custody["attack"].str.contains("control", regex=False)], _REASONS)
    if not good.empty:
        lines.append(f"Controls, who may do it and does: {int(good['holds'].sum())} of {len(good)} succeeded.")
    told = denials[denials["asker"] == "a stranger"]
    if not told.empty:
        low, high = told["spent_us"].min(), told["spent_us"].max()
        lines.append(
            f"Strangers get {told['told'].nunique()} answer of {told['answer_bytes'].nunique()} length for "
            f"{len(told)} kinds of name, after {low:.0f} to {high:.0f} us; an acceptance takes "
            f"{1 / told['over_accepted'].iloc[0] * told['spent_us'].iloc[0]:.0f} us."
        )
    return lines


#: Why theory lets an attack pass under a protection.
_REASONS: Final = {
    "no registry": "A signature says which key it was; whose it is, for what and until when, only the registry says.",
    "no replay windows": "What was signed once stays signed: only a memory tells the second time from the first.",
    "no low-S": "If (r, s) verifies so does (r, -s), which anyone can compute: one act under two signatures.",
    "no signatures": "A name costs nothing to write.",
    "all protections": "A stolen key is its owner until the revocation stands in a block; what limits it is its right.",
    "nonce of the signer's choice": "Two signatures under one nonce are two equations for two unknowns, one the key.",
    "accesses not judged": "A signature says who asks: that they may, only the chain's word on their access says.",
    "links believed": "Who has seen a link has it, as often and as long as they like.",
    "shares not compared": "One wrong share of those that make a key makes another.",
    "deposits replaced": "The last word counts, so a stolen key takes records away for good.",
    "erased in name only": "What nobody points to any more still lies on the disk.",
    "no limit per author": "What costs its sender nothing fills the keeper's disk.",
    "reasons for everyone": "A reason tells who is a member, and who was revoked.",
}


def _is_full(row: Row) -> bool:
    """Every protection in place; controls are no attacks."""
    is_control = "control" in f"{row['attack']} {row['variant']}"
    return row["protection"] in {"all protections", "RFC 6979"} and not is_control


DENIAL_COLUMNS: Final = {
    "name": Column("Name"),
    "asker": Column("Asked by"),
    "told": Column("Told"),
    "found": Column("Told to coordinators"),
    "answer_bytes": Column("Answer", "B"),
    "spent_us": Column("Time, median", "us", ".0f"),
    "over_accepted": Column("Over an acceptance", "", ".2f"),
    "tries": Column("Tries"),
}
EXPERIMENT: Final = Experiment(
    "identity", QUESTIONS["identity"], ("C05", "C14", "C18", "C20", "C38", "C42"), declare_cases,
    (
        attack_table(
            "identity",
            "Attacks on who is who. Simulated networks (3 agents, 3 coordinators, 4 administrators by proof of stake, "
            "3 contributors) with real signatures, each message through its bytes; rows of real nodes are "
            "measured. A try succeeds if the ledger holds its transaction as valid, or a node acts on its word.",
            "All protections: low-S ECDSA, the registry of certificates, replay windows. Weakened, for the attacks "
            "that the lost one is there for: 'no registry' takes any certificate of the authority for any role and "
            "right, at any time; 'no replay windows' forgets what is settled; 'no low-S' takes both valid s; 'no "
            "signatures' has a signer that binds name and digest and that anyone can imitate. Right roles and rotated "
            "keys are controls.",
            group=UNGROUPED,
            strongest=_is_full,
        ),
        attack_table(
            "identity_custody",
            "Attacks on custodians, who hold shares of records' keys, and on the links that they give out: real nodes "
            "(3 custodians, 2 of whose shares make a key), files and HTTP, all in one process. A try succeeds if the "
            "attacker has the share, the object, the list or the record; or, of shares and deposits, if the reader "
            "does not get it.",
            "Denied are told the same, whatever the reason; the reason here is the custodian's own count. Weakened: "
            "'accesses not judged' releases by any access; 'links believed' takes any link from anyone; 'shares not "
            "compared' is a reader that does not ask what the author pledged; 'deposits replaced' takes a second key; "
            "'erased in name only' strikes entries and leaves shares; 'no limit per author' keeps all deposits (limit: "
            "3 here, 4,096 as a rule).",
            group="custody",
            strongest=_is_full,
        ),
        Table(
            "identity_denials",
            "What an agent tells of a name to who signs with the name's key and to who cannot; measured on one bare "
            "agent, askers in turns. The answer's length is without HTTP's headers.",
            DENIAL_COLUMNS,
            partial(select_rows, kind="denial", columns=DENIAL_COLUMNS, types={"answer_bytes": int, "tries": int}),
            ("name", "asker", "told", "answer_bytes", "spent_us", "over_accepted"),
            keys=("name", "asker"), exact=("told", "answer_bytes"),
        ),
    ),
    answer=answer, weight=2.8,
)  # fmt: skip
