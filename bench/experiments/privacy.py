"""Who finds the patient: by trying ids, by guessing documents, by a visit or two, by what remains without a name.

Ids, documents and classes are really gone through; what a larger space would cost is extrapolated from the time of a
guess in this run, and for a graphics card from figures of the literature, which say so.  `bench.privacy` has the
attackers, `ehrcore.pseudonyms` what they attack.
"""

import math
from typing import TYPE_CHECKING, Final

from bench.analysis.paired import find_interval
from bench.experiments.attacks import attack_table
from bench.experiments.base import Case, Column, Experiment, Figure, Row, Table
from bench.experiments.catalogue import QUESTIONS
from bench.experiments.privacy_answer import answer, is_strong
from bench.experiments.privacy_figures import draw_anonymity, draw_linkage, draw_spaces
from bench.privacy.linkage import MODES
from bench.privacy.spaces import CARD_PER_S, CARD_SOURCE, SPACES

if TYPE_CHECKING:
    import pandas as pd

    from bench.scenario import Scenario

_KEY_BITS: Final = 256
_BASE: Final = ("bare", "sha256")


def declare_cases(scenario: "Scenario") -> list[Case]:
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


def _select(raw: "pd.DataFrame", kind: str, columns: dict[str, Column]) -> "pd.DataFrame":
    """Rows of a kind with a table's columns; what is counted is a whole number again where none is missing."""
    rows = raw[raw["kind"] == kind].reindex(columns=list(columns)).reset_index(drop=True)
    whole = [name for name, column in columns.items() if column.form.endswith("d") and rows[name].notna().all()]
    return rows.astype(dict.fromkeys(whole, int))


def build_rules(raw: "pd.DataFrame") -> "pd.DataFrame":
    """A row per kind of pseudonym: what it is and who may link what."""
    return _select(raw, "rule", RULE_COLUMNS)


RULE_COLUMNS: Final = {
    "pseudonym": Column("Pseudonym"),
    "formula": Column("What it is"),
    "revealed_to": Column("The patient is known to"),
    "linked_by": Column("Linked by"),
    "linked_across": Column("Linked across"),
    "is_weak": Column("Weak"),
}


def build_guesses(raw: "pd.DataFrame") -> "pd.DataFrame":
    """A row per pseudonym and function: the time of one guess, and over that of the bare SHA-256."""
    import pandas as pd

    rounds = raw[raw["kind"] == "guess"]
    base = rounds[(rounds["pseudonym"] == _BASE[0]) & (rounds["function"] == _BASE[1])].set_index("round")
    rows = []
    for (pseudonym, function), part in rounds.groupby(["pseudonym", "function"], sort=False):
        times = part["ns_per_guess"].tolist()
        ratios = (part.set_index("round")["ns_per_guess"] / base["ns_per_guess"]).dropna().tolist()
        low, high = find_interval(times)
        ratio_low, ratio_high = find_interval(ratios)
        middle = float(part["ns_per_guess"].median())
        rows.append({
            "pseudonym": pseudonym, "function": function, "rounds": len(times), "guesses": int(part["guesses"].sum()),
            "ns": middle, "ns_low": low, "ns_high": high, "per_s": 1e9 / middle,
            "factor": float(pd.Series(ratios).median()), "factor_low": ratio_low, "factor_high": ratio_high,
        })  # fmt: skip
    return pd.DataFrame(rows, columns=list(GUESS_COLUMNS))


GUESS_COLUMNS: Final = {
    "pseudonym": Column("Pseudonym"),
    "function": Column("Function"),
    "rounds": Column("Rounds", "", "d"),
    "guesses": Column("Guesses", "", ",d"),
    "ns": Column("Time of a guess, median", "ns", ",.0f"),
    "ns_low": Column("low", "ns", ",.0f"),
    "ns_high": Column("high", "ns", ",.0f"),
    "per_s": Column("Guesses", "1/s", ",.3g"),
    "factor": Column("Over bare SHA-256", "ratio", ",.3g"),
    "factor_low": Column("low", "ratio", ",.3g"),
    "factor_high": Column("high", "ratio", ",.3g"),
}


def build_enumeration(raw: "pd.DataFrame") -> "pd.DataFrame":
    """A row per set of ids and kind of pseudonym: what was found, after how many tries and seconds."""
    return _select(raw, "enumeration", ENUMERATION_COLUMNS)


ENUMERATION_COLUMNS: Final = {
    "ids": Column("Ids"),
    "pseudonym": Column("Pseudonym"),
    "function": Column("Function"),
    "leak": Column("Attacker has besides"),
    "patients": Column("Patients", "", "d"),
    "found": Column("Found", "", "d"),
    "tried": Column("Tried", "", ",d"),
    "elapsed_s": Column("Processor time", "s", ".3g"),
}


def build_spaces(raw: "pd.DataFrame") -> "pd.DataFrame":
    """A row per id space and kind: seconds for all of it on one core as measured here, and on a card as published."""
    import pandas as pd

    guesses = build_guesses(raw)
    rows: list[Row] = []
    for space in SPACES:
        for row in guesses.to_dict("records"):
            if row["function"] in {"sha1", "md5"}:
                continue
            is_keyed = row["pseudonym"] == "keyed"
            # scrypt and the two kinds of hash are in the literature; HMAC of so short a text is not.
            card = CARD_PER_S.get(row["function"])
            size = float(space.size)
            rows.append({
                "space": space.name, "bits": space.bits, "rule": space.rule, "source": space.source,
                "pseudonym": "keyed, the key leaked" if is_keyed else row["pseudonym"], "guesses_bits": space.bits,
                "core_s": size * row["ns"] / 1e9, "core_low_s": size * row["ns_low"] / 1e9,
                "core_high_s": size * row["ns_high"] / 1e9, "card_s": size / card if card else math.nan,
            })  # fmt: skip
            if is_keyed:  # whoever lacks the key has to find it first
                keys = 2.0**_KEY_BITS
                rows.append(rows[-1] | {
                    "pseudonym": "keyed", "guesses_bits": float(_KEY_BITS), "core_s": keys * row["ns"] / 1e9,
                    "core_low_s": keys * row["ns_low"] / 1e9, "core_high_s": keys * row["ns_high"] / 1e9,
                })  # fmt: skip
    return pd.DataFrame(rows, columns=list(SPACE_COLUMNS))


SPACE_COLUMNS: Final = {
    "space": Column("Ids"),
    "bits": Column("Size", "bit", ".1f"),
    "pseudonym": Column("Pseudonym"),
    "guesses_bits": Column("Guesses", "bit", ".1f"),
    "core_s": Column("All of them, one core", "s", ".3g"),
    "core_low_s": Column("low", "s", ".3g"),
    "core_high_s": Column("high", "s", ".3g"),
    "card_s": Column("One graphics card (literature)", "s", ".3g"),
    "rule": Column("Rule"),
    "source": Column("Source"),
}


def build_linkage(raw: "pd.DataFrame") -> "pd.DataFrame":
    """A row per reach of the pseudonym, knowledge, precision and number of visits known."""
    return _select(raw, "linkage", LINKAGE_COLUMNS)


LINKAGE_COLUMNS: Final = {
    "mode": Column("Pseudonym"),
    "knowledge": Column("Known of a visit"),
    "precision": Column("Time to the"),
    "known": Column("Visits known", "", "d"),
    "targets": Column("Targets", "", "d"),
    "singled_out": Column("Singled out", "", "d"),
    "singled_share": Column("Share singled out", "", ".3f"),
    "singled_low": Column("low", "", ".3f"),
    "singled_high": Column("high", "", ".3f"),
    "candidates_median": Column("Pseudonyms that fit, median", "", ".0f"),
    "gained_share": Column("Share of the other records learnt", "", ".3f"),
    "people": Column("People", "", ",d"),
    "records": Column("Records", "", ",d"),
}


def build_anonymity(raw: "pd.DataFrame") -> "pd.DataFrame":
    """A row per level of generalisation and set of people."""
    return _select(raw, "anonymity", ANONYMITY_COLUMNS)


ANONYMITY_COLUMNS: Final = {
    "level": Column("What remains"),
    "data": Column("Of"),
    "people": Column("People", "", ",d"),
    "classes": Column("Classes", "", ",d"),
    "smallest_class": Column("k: smallest class", "", "d"),
    "unique_share": Column("Unique", "", ".4f"),
    "under_5_share": Column("In classes below 5", "", ".4f"),
    "under_11_share": Column("In classes below 11", "", ".4f"),
    "least_diagnoses": Column("l: fewest diagnoses", "", ".0f"),
    "given_away_share": Column("In classes of one diagnosis", "", ".4f"),
    "match_estimate": Column("A unique match is right, from the sample", "", ".3f"),
    "match_true": Column("in truth", "", ".3f"),
}

_SEEDED: Final = "Made-up people and visits; the seed alone determines the numbers."
EXPERIMENT: Final = Experiment(
    "privacy",
    QUESTIONS["privacy"],
    ("C15", "C16", "C17"),
    declare_cases,
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
            RULE_COLUMNS,
            build_rules,
            ("pseudonym", "formula", "linked_by"),
            keys=("pseudonym",),
            exact=("formula", "revealed_to", "linked_by", "linked_across", "is_weak"),
        ),
        Table(
            "privacy_guesses",
            "Measured processor time of one guess of an id in Python, on one core, and over that of one at a bare "
            "SHA-256 in the same round; medians over rounds in which all take turns, with exact 95 % sign-test "
            "intervals each. Keyed: with the key, HMAC's two blocks hashed once for all.",
            GUESS_COLUMNS,
            build_guesses,
            ("pseudonym", "function", "ns", "ns_low", "ns_high", "factor"),
            keys=("pseudonym", "function"),
        ),
        Table(
            "privacy_enumeration",
            "Every id of a set was tried against pseudonyms of patients with such ids. Workload: the attacker has the "
            "list of its patients, as an insider would. Without the key, every kind that needs none was tried on the "
            "keyed ones, and keys that are easily guessed (none, a word, the public salt).",
            ENUMERATION_COLUMNS,
            build_enumeration,
            ("ids", "pseudonym", "function", "leak", "patients", "found", "elapsed_s"),
            keys=("ids", "pseudonym", "function", "leak"),
            exact=("patients", "found", "tried"),
        ),
        Table(
            "privacy_spaces",
            "What all ids of a scheme cost: its size (computed from its rule) times the time of a guess in this run, "
            f"on one core; and on one card ({CARD_SOURCE}). Extrapolated, none of it was run. Keyed without the key: "
            "2^256 keys, whatever the ids.",
            SPACE_COLUMNS,
            build_spaces,
            ("space", "bits", "pseudonym", "core_s", "card_s"),
            keys=("space", "pseudonym"),
            exact=("bits", "guesses_bits"),
        ),
        Table(
            "privacy_linkage",
            "An attacker with the ledger knows some visits of one person. Singled out: one pseudonym alone fits; "
            "learnt: the share of the person's other records that this gives away. Per study: each hospital has names "
            f"of its own. Intervals: Wilson, 95 % each, over targets drawn at random. {_SEEDED}",
            LINKAGE_COLUMNS,
            build_linkage,
            ("mode", "knowledge", "precision", "known", "singled_share", "gained_share"),
            keys=("mode", "knowledge", "precision", "known"),
            exact=("targets", "singled_out"),
        ),
        Table(
            "privacy_anonymity",
            "Who remains alone once name and contact are dropped. Sample uniqueness is not population uniqueness: the "
            "last two columns say how often a match with somebody unique in the sample is right, as Skinner and Elliot "
            "(2002) estimate it from the sample, and in truth. The workload's own patients are too few for their "
            f"shares to mean anything, and have no diagnoses here. {_SEEDED}",
            ANONYMITY_COLUMNS,
            build_anonymity,
            ("level", "data", "people", "smallest_class", "unique_share", "least_diagnoses"),
            keys=("level", "data"),
            exact=("people", "classes", "smallest_class"),
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
    answer=answer,
    needs_records=True,
    weight=2.4,
)  # fmt: skip
