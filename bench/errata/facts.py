"""Demonstrations that check facts: E33 to E35, E38 to E41, E44 and E47, from words and numbers of the paper."""

from typing import Final

from bench.analysis.paper_table import OUTLIER_ROW, PaperRow, read_paper_table
from bench.errata.base import Line
from ehrcore.hashing import find_suite
from ehrcore.params import Limits
from ehrcore.spec.merkle import tree_hash

#: Section 4: nodes by role, and the number that the text gives for all of them.
TESTBED: Final = {"coordinating": 3, "authoritative": 3, "ordering": 5, "contributors": 2, "visitor": 1}
SAID_NODES: Final = 12
#: Section 4.1: the most operations "with the lowest load".
SAID_OPERATIONS: Final = 17
#: Who keeps the ledger: section 3, feature 1; and section 4.
KEEPERS_3: Final = frozenset({"contributors", "coordinators (may)"})
KEEPERS_4: Final = frozenset({"one coordinating node", "the ordering nodes"})
#: The five kinds of node: section 3; and section 4 with Table 1.
NAMES_3: Final = ("visitor", "agent", "coordinator", "administrator", "contributor")
NAMES_4: Final = ("visitor", "authoritative", "coordinating", "ordering", "contributor")
#: Section 4.1: what is measured; the abstract adds power.
METRICS: Final = ("throughput", "computation time", "power consumption")
#: Reference 39's title, and what section 2 says of it in its two places.
TITLE_39: Final = "Blockchain and PUF-based lightweight authentication protocol for wireless medical sensor networks"
SCHEMES_39: Final = {
    "authentication with physically unclonable functions": "PUF",
    "pairing-free certificateless scheme": "certificateless",
}


def show_keepers() -> list[Line]:
    """Who keeps the ledger, by section 4 and by section 3."""
    four, three = (", ".join(sorted(names)) for names in (KEEPERS_4, KEEPERS_3))
    return [Line("keepers of the ledger: section 4 (printed), section 3 (right)", four, three)]


def show_nodes() -> list[Line]:
    """The sum of the nodes that section 4 names."""
    terms = " + ".join(map(str, TESTBED.values()))
    return [Line(f"nodes: {terms}", str(SAID_NODES), str(sum(TESTBED.values())))]


def show_role_names() -> list[Line]:
    """Which names of nodes section 3 and section 4 share, and who is who."""
    shared = [name for name in NAMES_3 if name in NAMES_4]
    equal = ", ".join(f"{four} = {three}" for three, four in zip(NAMES_3, NAMES_4, strict=True) if three != four)
    return [Line("names that both sections use; right: who is who", ", ".join(shared), equal)]


def _columns(row: PaperRow) -> tuple[int, int, int, int]:
    return row.agents, row.coordinators, row.administrators, row.contributors


def show_table() -> list[Line]:
    """Table 1's own numbers: their order, the testbed's row, repeated rows, and row 1 beside a fit to the others."""
    import numpy as np

    rows = read_paper_table()
    numbers = [row.printed_conf for row in rows]
    testbed = tuple(TESTBED[name] for name in ("authoritative", "coordinating", "ordering", "contributors"))
    others = [row for row in rows if row.row != OUTLIER_ROW]
    design = np.array([[1, *_columns(row)] for row in others], dtype=float)
    solution, *_ = np.linalg.lstsq(design, np.array([row.tx_per_6min for row in others], dtype=float))
    first = rows[OUTLIER_ROW - 1]
    predicted = float(np.array([1, *_columns(first)]) @ solution)
    repeated = len(rows) - len({_columns(row) for row in rows})
    return [
        Line("numbers of the first five rows", ", ".join(map(str, numbers[:5])), ", ".join(map(str, range(1, 6)))),
        Line("throughput of row 1 (printed), and a linear fit to the other 17 (right)",
             str(first.tx_per_6min), f"{predicted:.1f}"),
        Line(f"rows of the testbed {testbed} that section 4 describes: in the table (printed), expected (right)",
             str(sum(_columns(row) == testbed for row in rows)), "1"),
        Line("rows (printed), and different configurations (right)", str(len(rows)), str(len(rows) - repeated)),
    ]  # fmt: skip


def show_operations() -> list[Line]:
    """The table's greatest throughput."""
    return [Line("most operations", str(SAID_OPERATIONS), str(max(row.tx_per_6min for row in read_paper_table())))]


def show_throughput() -> list[Line]:
    """Throughput and Merkle root of 15 transactions as they were sent, and with one altered."""
    sent = [f"transaction {number}".encode() for number in range(15)]
    altered = [*sent[:-1], sent[-1].replace(b"14", b"41")]
    suite = find_suite("sha256")
    rates = {len(block) for block in (sent, altered)}
    roots = {tree_hash(suite, block) for block in (sent, altered)}

    def word(values: "set[int] | set[bytes]") -> str:
        return "unaltered" if len(values) == 1 else "altered"

    return [Line("the data, by throughput (printed) and by Merkle root (right)", word(rates), word(roots))]


def show_size() -> list[Line]:
    """What 30 KB can mean, and what is left to each of 15 transactions; ours is the larger."""
    limits = Limits()
    sizes = (30 * 1000, 30 * 1024)
    ours = f"{limits.max_block_bytes} bytes, {limits.max_block_bytes // limits.max_transactions} for each"
    return [Line("a block", " or ".join(f"{size} bytes" for size in sizes), ours)]


def show_metrics() -> list[Line]:
    """How many of the metrics that are named have a number in the one table."""
    import csv
    from importlib import resources

    header = next(csv.reader(resources.files("bench").joinpath("paper_table1.csv").read_text().splitlines()))
    reported = [metric for metric in METRICS if any(metric.split()[0] in name for name in header)]
    return [Line("metrics named (printed) and reported (right)", ", ".join(METRICS), ", ".join(reported))]


def show_citation() -> list[Line]:
    """Which of the two schemes that are ascribed to reference 39 its title speaks of."""
    named = [scheme for scheme, word in SCHEMES_39.items() if word.lower() in TITLE_39.lower()]
    return [Line("schemes of reference 39, and those of its title", "; ".join(SCHEMES_39), "; ".join(named))]
