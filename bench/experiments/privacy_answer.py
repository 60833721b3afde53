"""What the tables of experiment `privacy` say of the paper's claims, in sentences of their own numbers."""

from collections.abc import Mapping

from bench.experiments.attacks import answer_attacks
from bench.experiments.base import Frame, Tables
from bench.privacy.anonymity import FINEST
from bench.privacy.linkage import ONCE, STABLE, STUDY


def answer(tables: Tables) -> list[str]:
    """C15, C16, C17, then what the attack table says."""
    lines = [*_answer_ids(tables), *_answer_linkage(tables["privacy_linkage"])]
    lines += _answer_anonymity(tables["privacy_anonymity"])
    return lines + answer_attacks(tables["privacy_attacks"], _REASONS)


#: Why theory lets an attack find somebody, by a part of the protection's name.
_REASONS = {
    "key leaked": "With its key a keyed name is a hash like any other.",
    "bare": "Ids can be listed, and a hash of each takes no time.",
    "salted": "The salt is on the chain: it stops tables made beforehand, and no list of ids.",
    "slow": "Each guess is dear, and a national id has few bits: a price, not a wall.",
    "none": "Equal content has equal digests, so a guess can be compared.",
    "pseudonym: ": "Names that last tie visits together, and some visits are known: no hash changes that.",
    "name and contact dropped": "What remains is a name where nobody else has it.",
}
_STRONG = ("keyed", "per-study", "one-time", "sealed", "pseudonym: ")


def is_strong(row: Mapping[str, object]) -> bool:
    """Whether a row is of what a network does unless it is told otherwise, or of something stronger."""
    protection, variant = str(row["protection"]), str(row["variant"])
    return protection.startswith(_STRONG) and "leaked" not in protection and not variant.endswith(("sha1", "md5"))


def _answer_ids(tables: Tables) -> list[str]:
    lines, tried, guesses = list[str](), tables["privacy_enumeration"], tables["privacy_guesses"]
    bare = tried[(tried["pseudonym"] == "bare") & (tried["function"] == "sha256")]
    for row in bare[bare["ids"] != "workload"].to_dict("records"):
        lines.append(
            f"C15: {row['found']} of {row['patients']} patients behind bare SHA-256 hashes of {row['ids']} were found, "
            f"all {row['tried']:,} ids tried in {row['elapsed_s'] * 1e3:,.3g} ms."
        )
    factors = {(row["pseudonym"], row["function"]): row for row in guesses.to_dict("records")}
    if lines and {("salted", "sha256"), ("slow", "scrypt")} <= factors.keys():
        salted, slow = factors["salted", "sha256"], factors["slow", "scrypt"]
        lines.append(
            f"A public salt changes nothing (a guess takes {salted['factor']:.2g} times as long), scrypt makes each "
            f"guess {slow['factor']:,.2g} times as dear: a delay, no protection of ids that can be listed."
        )
    keyed = tried[(tried["function"] == "hmac-sha256") & (tried["leak"] == "")]
    leaked = tried[tried["leak"] == "the key leaked"]
    if len(keyed) and len(leaked):
        lines.append(
            f"Keyed: {int(keyed['found'].sum())} of {int(keyed['patients'].sum())} found without the key, "
            f"{int(leaked['found'].sum())} of {int(leaked['patients'].sum())} with it."
        )
    return lines


def _answer_linkage(linkage: Frame) -> list[str]:
    part = linkage[
        (linkage["knowledge"] == "time, hospital, kind") & (linkage["precision"] == "day") & (linkage["known"] == 2)
    ].set_index("mode")
    if not {STABLE, STUDY, ONCE} <= set(part.index):
        return []
    people = int(part["people"].iloc[0])
    said = "; ".join(
        f"{mode}: {float(part['singled_share'][mode]):.0%} singled out, "
        f"{float(part['gained_share'][mode]):.0%} of their other records learnt"
        for mode in (STABLE, STUDY, ONCE)
    )
    return [f"C16: of {people:,} people, by whoever knows two visits of each (day, hospital, kind): {said}."]


def _answer_anonymity(anonymity: Frame) -> list[str]:
    finest = anonymity[(anonymity["level"] == FINEST) & (anonymity["data"] == "population")]
    if finest.empty:
        return []
    row = finest.iloc[0]
    alone = f"C17: with {FINEST} kept, {row['unique_share']:.0%} of {row['people']:,} people are unique though name "
    return [f"{alone}and contact are gone, and {row['under_11_share']:.0%} are among fewer than 11."]
