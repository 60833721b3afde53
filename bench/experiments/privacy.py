"""Who finds the patient: by trying ids, by guessing documents, by a visit or two, by what remains without a name.

Ids, documents and classes are really gone through; what a larger space would cost is extrapolated from the time of a
guess in this run, and for a graphics card from figures of the literature, which say so.  `bench.privacy` has the
attackers, `ehrcore.pseudonyms` what they attack.
"""

from functools import partial
from typing import Final

from bench.experiments import privacy_tables as tables
from bench.experiments.attacks import attack_table
from bench.experiments.base import Case, Experiment, Figure, Scenario, Table
from bench.experiments.catalogue import QUESTIONS
from bench.experiments.privacy_answer import answer, is_strong
from bench.experiments.privacy_figures import draw_anonymity, draw_linkage, draw_spaces
from bench.experiments.rows import select_rows
from bench.privacy.linkage import MODES
from bench.privacy.spaces import CARD_SOURCE


def declare_cases(scenario: Scenario) -> list[Case]:
    """Guesses, enumerations, documents, linkage by each reach of a pseudonym, and what remains."""
    digits = scenario.privacy.digits
    return [
        Case("guesses", "privacy-guesses"),
        Case("ids-workload", "privacy-enumeration", {"digits": 0, "is_full": True}),
        *(
            Case(f"ids-{count}", "privacy-enumeration", {"digits": count, "is_full": count == min(digits)})
            for count in digits
        ),
        Case("documents", "privacy-documents"),
        *(Case(f"linkage-{mode.replace(' ', '-')}", "privacy-linkage", {"mode": mode}) for mode in MODES),
        Case("anonymity", "privacy-anonymity"),
    ]


_SEEDED: Final = "Made-up people and visits; the seed alone determines the numbers."
EXPERIMENT: Final = Experiment(
    "privacy", QUESTIONS["privacy"], ("C15", "C16", "C17"), declare_cases,
    (
        attack_table(
            "privacy_attacks",
            "Attacks on patients' privacy. All of them read the ledger alone, offline, so nobody could detect one: "
            "what counts is whether it finds anything.",
            "Tries are patients, documents or people that were looked for.",
            strongest=is_strong,
        ),
        Table(
            "privacy_rules",
            "What a patient is called, and the linkability of it, as `ehrcore.pseudonyms` states it. Weak kinds are "
            "measured variants; a network uses `keyed` unless its founder asks for another.",
            tables.RULE_COLUMNS, partial(select_rows, kind="rule", columns=tables.RULE_COLUMNS),
            ("pseudonym", "formula", "linked_by"),
            keys=("pseudonym",), exact=("formula", "revealed_to", "linked_by", "linked_across", "is_weak"),
        ),
        Table(
            "privacy_guesses",
            "Measured processor time of one guess of an id in Python, on one core, and over that of one at a bare "
            "SHA-256 in the same round; medians over rounds in which all take turns, with exact 95 % sign-test "
            "intervals each. Keyed: with the key, HMAC's two blocks hashed once for all.",
            tables.GUESS_COLUMNS, tables.build_guesses,
            ("pseudonym", "function", "ns", "ns_low", "ns_high", "factor"),
            keys=("pseudonym", "function"),
        ),
        Table(
            "privacy_enumeration",
            "Every id of a set was tried against pseudonyms of patients with such ids. Workload: the attacker has the "
            "list of its patients, as an insider would. Without the key, every kind that needs none was tried on the "
            "keyed ones, and keys that are easily guessed (none, a word, the public salt).",
            tables.ENUMERATION_COLUMNS, partial(select_rows, kind="enumeration", columns=tables.ENUMERATION_COLUMNS),
            ("ids", "pseudonym", "function", "leak", "patients", "found", "elapsed_s"),
            keys=("ids", "pseudonym", "function", "leak"), exact=("patients", "found", "tried"),
        ),
        Table(
            "privacy_spaces",
            "What all ids of a scheme cost: its size (computed from its rule) times the time of a guess in this run, "
            f"on one core; and on one card ({CARD_SOURCE}). Extrapolated, none of it was run. Keyed without the key: "
            "2^256 keys, whatever the ids.",
            tables.SPACE_COLUMNS, tables.build_spaces,
            ("space", "bits", "pseudonym", "core_s", "card_s"),
            keys=("space", "pseudonym"), exact=("bits", "guesses_bits"),
        ),
        Table(
            "privacy_linkage",
            "An attacker with the ledger knows some visits of one person. Singled out: one pseudonym alone fits; "
            "learnt: the share of the person's other records that this gives away. Per study: each hospital has names "
            f"of its own. Intervals: Wilson, 95 % each, over targets drawn at random. {_SEEDED}",
            tables.LINKAGE_COLUMNS, partial(select_rows, kind="linkage", columns=tables.LINKAGE_COLUMNS),
            ("mode", "knowledge", "precision", "known", "singled_share", "gained_share"),
            keys=("mode", "knowledge", "precision", "known"), exact=("targets", "singled_out"),
        ),
        Table(
            "privacy_anonymity",
            "Who remains alone once name and contact are dropped. Sample uniqueness is not population uniqueness: the "
            "last two columns say how often a match with somebody unique in the sample is right, as Skinner and Elliot "
            "(2002) estimate it from the sample, and in truth. The workload's own patients are too few for their "
            f"shares to mean anything, and have no diagnoses here. {_SEEDED}",
            tables.ANONYMITY_COLUMNS, partial(select_rows, kind="anonymity", columns=tables.ANONYMITY_COLUMNS),
            ("level", "data", "people", "smallest_class", "unique_share", "least_diagnoses"),
            keys=("level", "data"), exact=("people", "classes", "smallest_class"),
        ),
    ),
    (
        Figure(
            "privacy_spaces",
            "Time to try all ids of a scheme against each kind of pseudonym: points on one core (measured guesses, "
            f"extrapolated), crosses on one graphics card ({CARD_SOURCE}). Without the key, it is not the ids that "
            "would have to be tried but 2^256 keys; random UUIDs are not to be tried either (see the table).",
            draw_spaces,
        ),
        Figure(
            "privacy_linkage",
            "Share of people singled out, and of their other records learnt, by how many of their visits are known "
            "(hospital, kind, and time to the precision named). Bars: 95 % (Wilson). " + _SEEDED,
            draw_linkage,
        ),
        Figure(
            "privacy_anonymity",
            "Share of people who are alone, or among fewer than 11, with what remains of them once name and contact "
            "are dropped, in the whole population and in samples of it. " + _SEEDED,
            draw_anonymity,
        ),
    ),
    answer=answer, needs_records=True, weight=1.8,
)  # fmt: skip
