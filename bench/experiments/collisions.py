"""Claim C04, seen to happen: published MD5 and SHA-1 collisions as contents of records, and what finding more costs.

The pairs are data files that are checked by computation; a user's own come from a folder (scenario key
``collisions.pairs``).  What is beyond this machine is quoted from the literature, and scaled down on cut digests.
"""

from typing import Any, Final

from bench.attacks.birthday import MEAN_FACTOR
from bench.experiments.attacks import answer_attacks, attack_table
from bench.experiments.attacks_figures import draw_birthday, draw_matrix
from bench.experiments.base import Case, Column, Drawing, Experiment, Figure, Frame, Row, Scenario, Table, Tables
from bench.experiments.catalogue import QUESTIONS
from bench.experiments.columns import with_ends
from bench.experiments.rows import select_rows, to_frame

_LEAST_SEARCHES: Final = 2


def declare_cases(scenario: Scenario) -> list[Case]:
    """A case per variant with all pairs, one per size of the search, and the literature."""
    plan = scenario.collisions
    cases = [Case(f"pairs-{suite}", "collisions", {"suite": suite}) for suite in plan.suites]
    for bits in plan.bits:
        affordable = int(plan.hashes / (MEAN_FACTOR * 2 ** (bits / 2)))
        count = max(min(plan.searches, affordable), _LEAST_SEARCHES)
        cases.append(Case(f"search-{bits}", "collisions", {"bits": bits, "searches": count}))
    return [*cases, Case("costs", "collisions", {})]


def build_pairs(raw: Frame) -> Frame:
    """A row per pair, and the variants in which it collides."""
    names = [*PAIR_COLUMNS, "variant", "collides"]
    pairs = raw[raw["kind"] == "pair"].reindex(columns=[name for name in names if name != "where"])
    rows = []
    for _, part in pairs.groupby("pair", sort=False):
        where = ", ".join(part["variant"][part["collides"].astype(bool)])
        rows.append({**part.iloc[0].to_dict(), "where": where or "none"})
    return to_frame(rows, PAIR_COLUMNS).astype({"size_bytes": int})


def build_searches(raw: Frame) -> Frame:
    """A row per size and protection: tries against theory, with the exact interval that its distribution gives.

    Tries over 2^(n/2) follow Rayleigh's distribution, so the sum of their halved squares is gamma distributed.  The
    intervals of all rows hold together with 95 %.
    """
    from scipy import stats

    rows = []
    found = raw[raw["kind"] == "birthday"].reindex(columns=["bits", "protection", "tries", "made", "seconds"])
    groups = found.groupby(["bits", "protection"], sort=False)
    tail = 0.025 / max(groups.ngroups, 1)
    for (_, protection), part in groups:
        tries, count, bits = part["tries"].astype(float), len(part), int(part["bits"].iloc[0])
        total = float((tries**2).sum()) / 2 ** (bits + 1)
        low, high = (total / (stats.chi2.ppf(share, 2 * count) / 2) for share in (1 - tail, tail))
        rows.append({
            "bits": bits, "protection": protection, "searches": count, "tries": tries.mean(),
            "theory": MEAN_FACTOR * 2 ** (bits / 2), "ratio": (total / count) ** 0.5,
            "ratio_low": low**0.5, "ratio_high": high**0.5,
            "hashes_per_s": part["made"].sum() / part["seconds"].sum(),
        })  # fmt: skip
    return to_frame(rows, SEARCH_COLUMNS)


def build_fit(raw: Frame) -> Frame:
    """How tries grow with bits: slope of their logarithm to base 2, over all searches; 95 % for all intervals."""
    import numpy as np
    from scipy import stats

    rows = []
    found = raw[raw["kind"] == "birthday"].reindex(columns=["bits", "protection", "tries"])
    groups = found.groupby("protection", sort=False)
    for protection, part in groups:
        fit = stats.linregress(part["bits"].astype(float), np.log2(part["tries"].astype(float)))
        reach = stats.t.ppf(1 - 0.025 / groups.ngroups, len(part) - 2) * fit.stderr
        rows.append({
            "protection": protection, "searches": len(part), "exponent": fit.slope,
            "exponent_low": fit.slope - reach, "exponent_high": fit.slope + reach,
        })  # fmt: skip
    return to_frame(rows, FIT_COLUMNS)


def build_costs(raw: Frame) -> Frame:
    """The literature beside the generic bound of the suite's digest."""
    frame = select_rows(raw, "cost", COST_COLUMNS)
    generic = {"md5": 64.0, "sha1": 80.0, "sha256": 128.0}
    return frame.assign(generic=frame["suite"].map(generic), with_prefix=frame["log2"])


def draw_pairs(tables: Tables) -> Drawing:
    """What each pair does, by suite; checks of a record that only compare its digest stand together."""
    import pandas as pd

    ids, records = tables["collisions_ids"], tables["collisions"]
    hidden = ids["protection"].str.contains("prefix|HMAC")
    behind = ids["protection"] + " " + ids["attack"].str.extract(r"(\(.*\))", expand=False)
    digests = ids.assign(attack=ids["attack"].where(~hidden, behind))
    bare = records[~records["protection"].str.contains("FHIR")]
    frame = pd.concat([digests, bare], ignore_index=True)
    return draw_matrix(frame.assign(protection=frame["variant"]).sort_values("attack", kind="stable"))


def answer(tables: Tables) -> list[str]:
    """What the tables of attacks say, and how the search grows."""
    lines = [line for name in ("collisions", "collisions_ids") for line in _summarise(tables[name])]
    for _, row in tables["collisions_fit"].iterrows():
        lines.append(
            f"Search, {row['protection']}: tries grow as 2^({row['exponent']:.3f} n), 95 % interval "
            f"{row['exponent_low']:.3f} to {row['exponent_high']:.3f}; theory 0.5."
        )
    return lines


def _summarise(frame: Frame) -> list[str]:
    """The first lines of `answer_attacks`, and by variant how many of the attacks succeeded."""
    lines = [line for line in answer_attacks(frame) if not line.startswith("Succeeded")]
    for variant, part in frame.groupby("variant", sort=False):
        bare = part[~part["protection"].str.contains("prefix|HMAC|FHIR")]
        done = int((bare["succeeded"] > 0).sum())
        lines.append(f"{variant}: {done} of {len(bare)} attacks on what a bare digest binds succeeded.")
    if (frame["succeeded"] > 0).any():
        lines.append(
            "What succeeded binds a digest alone: a pair that shares it shares id, signature and place on the chain, "
            "however good the signature and the agreement are."
        )
    return lines


def _is_sha256(row: Row) -> bool:
    return bool(row["variant"] == "sha256")


PAIR_COLUMNS: Final = {
    "pair": Column("Pair"),
    "pair_suite": Column("Made for"),
    "what": Column("Kind"),
    "size_bytes": Column("Size", "B"),
    "is_extensible": Column("Collides whatever follows"),
    "where": Column("Collides under"),
    "source": Column("Source"),
}
SEARCH_COLUMNS: Final = {
    "bits": Column("Digest", "bit"),
    "protection": Column("Protection"),
    "searches": Column("Searches"),
    "tries": Column("Tries, mean", "", ".4g"),
    "theory": Column("Theory", "", ".4g"),
    **with_ends("ratio", "Over theory", "", ".3f"),
    "hashes_per_s": Column("Hashes per second", "1/s", ".3g"),
}
FIT_COLUMNS: Final = {
    "protection": Column("Protection"),
    "searches": Column("Searches"),
    **with_ends("exponent", "Exponent", "1/bit", ".4f"),
}
COST_COLUMNS: Final[dict[str, Any]] = {
    "suite": Column("Hash"),
    "attack": Column("Attack"),
    "log2": Column("Cost", "log2 hashes", ".1f"),
    "with_prefix": Column("With a known prefix or key", "log2 hashes", ".1f"),
    "generic": Column("Birthday bound", "log2 hashes", ".0f"),
    "source": Column("Source"),
}
EXPERIMENT: Final = Experiment(
    "collisions", QUESTIONS["collisions"], ("C04",), declare_cases,
    (
        attack_table(
            "collisions",
            "One document goes on the chain, endorsed, approved and certified; then the store serves the other one of "
            "the pair, which reads differently.",
            "Expected: it passes under the suite that the pair was made for, and under no other. The ledger verifies "
            "all the while. What it takes of the format: bytes at the beginning that nobody looks at, and content "
            "that selects by one of them what is shown (as PostScript, PDF and images allow). FHIR's JSON does not "
            "take binary pairs, which is luck rather than protection: a pair of letters and digits has been published.",
            group="record",
            strongest=_is_sha256,
        ),
        attack_table(
            "collisions_ids",
            "Ids of contents, and a signature over one of them, under each suite.",
            "A prefix or a secret key makes other digests of the published pair, which was computed for the bare hash. "
            "Identical-prefix attacks start from any state of the hash, so for who knows what comes before, a new pair "
            "costs what the first did.",
            group="digest",
            strongest=_is_sha256,
        ),
        attack_table("collisions_search", "Searches for collisions on cut digests.", group="search"),
        Table(
            "collisions_searches",
            "Measured: hashes tried until two digests of SHA-256, cut to so many bits, agree. Theory: "
            "sqrt(pi/2) 2^(n/2). Over theory: root mean squares, with exact intervals that hold together with 95 %.",
            SEARCH_COLUMNS, build_searches,
            ("bits", "protection", "searches", "tries", "theory", "ratio", "ratio_low", "ratio_high"),
            keys=("bits", "protection"), exact=("tries",),
        ),
        Table(
            "collisions_fit",
            "How the tries of all searches grow with the bits of the digest (least squares on their logarithms, with "
            "intervals that hold together with 95 %); theory says 0.5 per bit.",
            FIT_COLUMNS, build_fit,
            tuple(FIT_COLUMNS),
            keys=("protection",), exact=("exponent",),
        ),
        Table(
            "collisions_costs",
            "From the literature, not measured: what a collision costs. A known prefix or key changes where the attack "
            "starts and not its cost; HMAC with a secret key is not attacked so, for its owner alone can search.",
            COST_COLUMNS, build_costs,
            ("suite", "attack", "log2", "with_prefix", "generic"),
        ),
        Table(
            "collisions_pairs",
            "The pairs: published ones, and those of the scenario's folder. All are checked by computation.",
            PAIR_COLUMNS, build_pairs,
            ("pair", "pair_suite", "size_bytes", "is_extensible", "where"),
            keys=("pair",), exact=("where",),
        ),
    ),
    (
        Figure(
            "collisions_pairs",
            "What each pair does to chains with each suite: ids behind a prefix or key, ids and signatures over bare "
            "digests, and documents in records (contract, read and audit together).",
            draw_pairs,
        ),
        Figure(
            "collisions",
            "Measured: hashes until a collision of digests cut to n bits (root mean squares), and their ratio to "
            "theory with exact intervals that hold together with 95 %; dashed: sqrt(pi/2) 2^(n/2). Known prefixes and "
            "keys change nothing.",
            draw_birthday,
        ),
    ),
    answer=answer, weight=1.2,
)  # fmt: skip
