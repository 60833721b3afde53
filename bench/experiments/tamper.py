"""What becomes of ledgers and stores that somebody changes: every byte and field, transactions, suffixes, objects.

Attacks are made on real SQLite ledgers and files and judged by the product's own checks: `ChainState`, `SqliteLedger`,
`ehrcore ledger verify`, `ehrcore audit`, the look-up contract and `ehrcore read`.
"""

from functools import partial
from typing import Final

from bench.experiments.attacks import answer_attacks, attack_table
from bench.experiments.attacks_figures import draw_matrix
from bench.experiments.base import Case, Column, Drawing, Experiment, Figure, Frame, Row, Scenario, Table, Tables
from bench.experiments.catalogue import QUESTIONS
from bench.experiments.rows import select_rows, to_frame

#: Layers of protection, as `bench.attacks.ledgers` has them, by their place.
LAYERS: Final = ("hashes alone", "hashes + ECDSA", "hashes + ECDSA + PoS")


def declare_cases(scenario: Scenario) -> list[Case]:
    """A case per group of attacks and hash suite, and of those on a ledger per layer of protection."""
    cases = []
    for suite in scenario.tamper.suites:
        cases += [
            Case(f"ledger-{suite}-{layer}", "tamper", {"group": "ledger", "suite": suite, "layer": layer})
            for layer in range(len(LAYERS))
        ]
        cases += [
            Case(f"{group}-{suite}", "tamper", {"group": group, "suite": suite})
            for group in ("replicas", "store", "trees")
        ]
    first = scenario.tamper.suites[0]
    return [*cases, Case("throughput", "tamper", {"group": "throughput", "suite": first})]


def build_fields(raw: Frame) -> Frame:
    """A row per field: what finds a change of it in place, and with hashes recomputed under each layer."""
    fields = raw.reindex(columns=[*raw.columns, *({"field", "way"} - {*raw.columns})])
    rows = []
    for name, part in fields[fields["kind"] == "field"].groupby("field", sort=False):
        in_place, again = part[part["way"] == "in place"], part[part["way"] == "recomputed"]
        row: Row = {"field": _shorten(str(name)), "tries": int(part["tries"].sum()), "in_place": _summarise(in_place)}
        for key, layer in zip(_LAYER_KEYS, LAYERS, strict=True):
            row[key] = _summarise(again[again["protection"] == layer])
        rows.append(row)
    return to_frame(rows, FIELD_COLUMNS)


def _shorten(name: str) -> str:
    """A field's name as a table has room for it."""
    for long, short in (
        ("block.", ""),
        ("transactions.transaction.", "transaction."),
        (".body.", "."),
        (".payload.", "."),
    ):
        name = name.replace(long, short)
    return name.replace("transactions.", "endorsed.")


def _summarise(part: Frame) -> str:
    """What found the changes of some rows, the commonest first; '(accepted)' for those that nothing found."""
    words = [str(where).partition(" (and")[0] for where in part["where"][part["detected"] > 0]]
    found = list(dict.fromkeys(words))
    if int(part["succeeded"].sum()):
        found.insert(0, "(accepted)")
    return ", ".join(found) or "–"


def draw_tamper(tables: Tables) -> Drawing:
    """Attacks on one ledger, by layer of protection."""
    frame = tables["tamper"]
    return draw_matrix(frame[frame["protection"].isin(LAYERS)])


def draw_replicas(tables: Tables) -> Drawing:
    """Rewritten suffixes, by replicas rewritten and keys stolen."""
    frame = tables["tamper_replicas"]
    frame = frame[frame["attack"].str.startswith("rewrite") & ~frame["protection"].str.contains(" stake ")]
    return draw_matrix(frame.assign(attack=frame["protection"], protection=frame["attack"].str.slice(20)))


def answer(tables: Tables) -> list[str]:
    """What the tables say, and whether equal throughput told the two runs apart."""
    lines = [line for name in _TABLES for line in answer_attacks(tables[name], _REASONS)]
    replicas = tables["tamper_replicas"]
    is_rewrite = replicas["attack"].str.startswith("rewrite")
    lines += [line for line in answer_attacks(replicas[is_rewrite]) if not line.startswith("Succeeded")]
    lines += answer_attacks(replicas[~is_rewrite], _REASONS)
    passed = replicas[is_rewrite & (replicas["succeeded"] > 0)]
    if len(passed):
        lines.append(
            f"A rewritten suffix passed under: {'; '.join(dict.fromkeys(passed['protection']))}. Who has the keys of "
            "more than two thirds of the stake, or needs none, writes history as well as its authors did: only who "
            "kept another copy or a tip can tell."
        )
    runs = tables["tamper_throughput"]
    if len(runs) == 2:
        same = "the same" if len({*runs["tx_per_s"]}) == 1 else "different"
        lines.append(
            f"C32: throughput of the honest and of the altered run was {same} "
            f"({runs['tx_per_s'].iloc[0]:.4g} and {runs['tx_per_s'].iloc[1]:.4g} tx/s), their records were not."
        )
    return lines


_TABLES: Final = ("tamper", "tamper_store", "tamper_trees", "tamper_equal")
#: Why theory lets an attack pass under a protection, by a part of that one's name.
_REASONS: Final = {
    "hashes alone": "Who can write can hash: digests find what changes, not who changed it.",
    "hashes + ECDSA + PoS: ledger verify": "A prefix of a chain is one, and a ledger answers to its own genesis.",
    "hashes + ECDSA + PoS: audit": "Where all copies end early, none shows what is missing.",
    "hashes + ECDSA": "Signatures bind who said what, not which of it is there and in which order: nobody has signed "
    "the block.",
    "restart of a node (PoS)": "A node believes its own disk when it starts; `ledger verify` and `audit` do not.",
    "path alone": "It asks whether something lies there, and not what.",
    "doubled last node": "Two lists of leaves have one root, and nothing says how long the list was.",
    "no prefixes": "The two digests that an inner node hashes are a leaf as good as any.",
    "equal throughput": "It counts transactions, whatever they say (C32).",
}
_SUITE: Final = "sha256"


def _is_final(row: Row) -> bool:
    return row["variant"] == _SUITE and row["protection"] in {LAYERS[-1], "restart of a node (PoS)"}


def _is_kept(row: Row) -> bool:
    """Of what passes with the keys of a quorum, the least: the fewest keys, and every copy rewritten."""
    is_partial = row["attack"].startswith(("rewrite a suffix on 1", "rewrite a suffix on 2"))
    is_least = row["expected"] != "succeeds" or not (is_partial or "4 of 4 keys" in row["protection"])
    return bool(row["variant"] == _SUITE and row["protection"].startswith(LAYERS[-1]) and is_least)


def _is_compared(row: Row) -> bool:
    return bool(row["variant"] == _SUITE and row["protection"].startswith("digest"))


def _is_rfc(row: Row) -> bool:
    return row["variant"] == _SUITE and row["protection"] in {
        "RFC 6962, size in the header",
        "RFC 6962 prefixes, size not bound",
    }


_LAYER_KEYS: Final = ("hashes", "ecdsa", "final")
FIELD_COLUMNS: Final = {
    "field": Column("Field"),
    "tries": Column("Tries"),
    "in_place": Column("In place, found by"),
    **{key: Column(f"Hashes recomputed, {layer}") for key, layer in zip(_LAYER_KEYS, LAYERS, strict=True)},
}
THROUGHPUT_COLUMNS: Final = {
    "run": Column("Run"),
    "variant": Column("Variant"),
    "transactions": Column("Transactions"),
    "altered": Column("Altered"),
    "tx_per_s": Column("Throughput", "tx/s", ".6g"),
    "verifies": Column("Ledger verifies"),
    "tip": Column("Tip"),
}
_LAYERS: Final = (
    "Layers: hashes alone (`ChainState.replay`: links, Merkle roots, kept hashes and digests of the state); with ECDSA "
    "(`ledger verify` on a chain whose blocks nobody signs: authors, agents and coordinators do); with PoS (`ledger "
    "verify`, certificates of more than two thirds of the stake)."
)
EXPERIMENT: Final = Experiment(
    "tamper", QUESTIONS["tamper"], ("C05", "C06", "C07", "C08", "C19", "C27", "C32", "C43"), declare_cases,
    (
        attack_table(
            "tamper",
            "Attacks on one ledger file, by somebody who can write to it: bits, fields and transactions, in place and "
            "with every hash after them recomputed.",
            _LAYERS + " Bits are flipped in bytes drawn by the seed (all bytes where the scenario's tamper.bytes is "
            "0); fields are all those of one block with every kind of transaction in it. A changed transaction "
            "succeeds only if it counts.",
            group="ledger",
            strongest=_is_final,
        ),
        attack_table(
            "tamper_replicas",
            "A suffix rewritten without one transaction on some replicas, with some administrators' keys stolen; a "
            "rollback; another chain altogether. Checked by the first file alone (`ledger verify`), by all (`audit`) "
            "and with a tip or chain known from elsewhere.",
            "All other signatures are genuine. Theory: a lone file without finality is accepted, with finality only "
            "for keys with more than two thirds of the stake; audit sees a difference while one replica is honest.",
            group="replicas",
            strongest=_is_kept,
        ),
        attack_table(
            "tamper_store",
            "A malicious store: what it serves in the place of every record of a chain.",
            "The paper's look-up contract asks whether something lies at a path; ours compares size and digest.",
            group="store",
            strongest=_is_compared,
        ),
        attack_table(
            "tamper_trees",
            "Merkle trees: CVE-2012-2459 (a doubled last leaf) and inner nodes shown as leaves, under the product's "
            "own validation and proofs with each protection by itself.",
            "Size: the header says how many leaves there are.",
            group="trees",
            strongest=_is_rfc,
        ),
        attack_table(
            "tamper_equal",
            "Claim C32: every record altered before it is signed, and what shows it.",
            group="throughput",
            strongest=_is_compared,
        ),
        Table(
            "tamper_fields",
            "What finds a change of each field: in place (the rules of all suites and layers), and with hashes "
            "recomputed under each layer. '(accepted)': nothing found it, or not always.",
            FIELD_COLUMNS, build_fields,
            ("field", "in_place", "final"),
            keys=("field",), exact=("in_place", *_LAYER_KEYS),
        ),
        Table(
            "tamper_throughput",
            "Simulated (fixed example costs): the same load twice, the second time with every record altered before it "
            "is signed. Throughput from the first to the last block in the ledger.",
            THROUGHPUT_COLUMNS,
            partial(select_rows, kind="throughput", columns=THROUGHPUT_COLUMNS,
                    types={"transactions": int, "altered": int}),
            ("run", "tx_per_s", "altered", "verifies"),
            keys=("run",), exact=("tx_per_s", "tip"),
        ),
    ),
    (
        Figure(
            "tamper",
            "Attacks on one ledger by layer of protection, over all hash suites: share of the tries that succeeded "
            "(in words: what found the others).",
            draw_tamper,
        ),
        Figure(
            "tamper_replicas",
            "A rewritten suffix, by replicas that hold it and by protection and check, over all hash suites.",
            draw_replicas,
        ),
    ),
    answer=answer, weight=1.8,
)  # fmt: skip
