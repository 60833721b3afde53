"""The tables of experiment `privacy`, from its raw rows."""

import math
from typing import Final

from bench.analysis.paired import find_interval
from bench.experiments.base import Column, Frame, Row
from bench.experiments.columns import with_ends
from bench.experiments.rows import to_frame
from bench.privacy.spaces import CARD_PER_S, SPACES

_KEY_BITS: Final = 256
_BASE: Final = ("bare", "sha256")

RULE_COLUMNS: Final = {
    "pseudonym": Column("Pseudonym"),
    "formula": Column("What it is"),
    "revealed_to": Column("The patient is known to"),
    "linked_by": Column("Linked by"),
    "linked_across": Column("Linked across"),
    "is_weak": Column("Weak"),
}


def build_guesses(raw: Frame) -> Frame:
    """A row per pseudonym and function: the time of one guess, and over that of the bare SHA-256."""
    rounds = raw[raw["kind"] == "guess"]
    base = rounds[(rounds["pseudonym"] == _BASE[0]) & (rounds["function"] == _BASE[1])].set_index("round")
    rows = []
    for (pseudonym, function), part in rounds.groupby(["pseudonym", "function"], sort=False):
        times = part["ns_per_guess"].tolist()
        ratios = (part.set_index("round")["ns_per_guess"] / base["ns_per_guess"]).dropna()
        low, high = find_interval(times)
        ratio_low, ratio_high = find_interval(ratios.tolist())
        middle = float(part["ns_per_guess"].median())
        rows.append({
            "pseudonym": pseudonym, "function": function, "rounds": len(times), "guesses": int(part["guesses"].sum()),
            "ns": middle, "ns_low": low, "ns_high": high, "per_s": 1e9 / middle,
            "factor": float(ratios.median()), "factor_low": ratio_low, "factor_high": ratio_high,
        })  # fmt: skip
    return to_frame(rows, GUESS_COLUMNS)


GUESS_COLUMNS: Final = {
    "pseudonym": Column("Pseudonym"),
    "function": Column("Function"),
    "rounds": Column("Rounds", "", "d"),
    "guesses": Column("Guesses", "", ",d"),
    **with_ends("ns", "Time of a guess, median", "ns", ",.0f", is_short=True),
    "per_s": Column("Guesses", "1/s", ",.3g"),
    **with_ends("factor", "Over bare SHA-256", "ratio", ",.3g", is_short=True),
}
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


def build_spaces(raw: Frame) -> Frame:
    """A row per id space and kind: seconds for all of it on one core as measured here, and on a card as published."""
    guesses = build_guesses(raw)
    rows: list[Row] = []
    for space in SPACES:
        for row in guesses.to_dict("records"):
            if row["function"] in {"sha1", "md5"}:
                continue
            # scrypt and the two kinds of hash are in the literature; HMAC of so short a text is not.
            card, size, pseudonym = CARD_PER_S.get(row["function"]), float(space.size), row["pseudonym"]
            common = {"space": space.name, "bits": space.bits, "rule": space.rule, "source": space.source,
                      "card_s": size / card if card else math.nan}  # fmt: skip
            tried = [(pseudonym, space.bits, size)]
            if pseudonym == "keyed":  # whoever lacks the key has to find it first
                tried = [("keyed, the key leaked", space.bits, size), (pseudonym, float(_KEY_BITS), 2.0**_KEY_BITS)]
            rows += [
                {**common, "pseudonym": name, "guesses_bits": bits, "core_s": guesses * row["ns"] / 1e9,
                 "core_low_s": guesses * row["ns_low"] / 1e9, "core_high_s": guesses * row["ns_high"] / 1e9}
                for name, bits, guesses in tried
            ]  # fmt: skip
    return to_frame(rows, SPACE_COLUMNS)


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
