"""What a reader must be told of a comparison before its numbers: controls that failed, intervals that cannot be.

The words go into the table's caption, so that they stand wherever the table does: page, Markdown, LaTeX, terminal.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bench.analysis.paired import VIOLATED
from bench.errors import BenchError
from bench.experiments.base import Comparison, Row, Table
from bench.report.load import Manifest

if TYPE_CHECKING:
    import pandas as pd

FLAG: Final = "FLAGGED"
#: Unit costs that move more than this (greatest over least) within a run are worth a notice.
MOST_DRIFT: Final = 1.5
#: The same for what the canary of the paired engine moves between processes.
MOST_CONTENTION: Final = 1.1


def flag_table(table: Table, frame: "pd.DataFrame") -> Table:
    """``table`` with how its controls came out, and what is wrong with its comparisons, at the end of the caption."""
    if not table.comparisons:
        return table
    widest = [text for comparison in table.comparisons for text in _find_widest(comparison, frame)]
    found = [text for comparison in table.comparisons for text in _find_flaws(comparison, frame)]
    return replace(table, caption=" ".join([table.caption, *widest, *dict.fromkeys(found)]))


def find_flags(table: Table) -> str:
    """What `flag_table` has added to a caption; '' if nothing."""
    _, flag, text = table.caption.partition(FLAG)
    return flag + text


def _find_flaws(comparison: Comparison, frame: "pd.DataFrame") -> list[str]:
    controls = frame[frame["is_control"].astype(bool)]
    if controls.empty:
        return [f"{FLAG}: no A/A control was measured."]
    violated = controls[controls[comparison.verdict] == VIOLATED]
    flaws = [
        f"{FLAG}: the A/A control of {_name(comparison, row)} excludes 1: {row[comparison.ratio]:.3f} "
        f"[{row[comparison.low]:.3f}, {row[comparison.high]:.3f}]; as much may be wrong with its other rows."
        for row in violated.to_dict("records")
    ]
    if frame[comparison.low].isna().all():
        is_void = "processes" in frame and not frame["processes"].any()
        why = "All blocks are void: others took too much of the machine" if is_void else "Too few repeats for intervals"
        flaws.append(f"{why}: nothing here is resolved.")
    return flaws


def _find_widest(comparison: Comparison, frame: "pd.DataFrame") -> list[str]:
    """How far the controls tell: what is smaller than their widest interval could hide in it."""
    controls = frame[frame["is_control"].astype(bool) & frame[comparison.low].notna()]
    if controls.empty:
        return []
    low, high, what = controls[comparison.low].min(), controls[comparison.high].max(), comparison.prefix.strip("_")
    return [
        f"A/A controls{f' of {what}' if what else ''} ({len(controls)}): all intervals within [{low:.3f}, {high:.3f}]."
    ]


def _name(comparison: Comparison, row: dict[Any, Any]) -> str:
    """The keys of a row as text, and which quantity is compared if there are several."""
    keys = [str(row[key]) for key in comparison.keys if row[key] == row[key] and row[key] != ""]
    return " ".join([*keys, comparison.prefix.strip("_")]).strip()


def find_noise(manifest: Manifest) -> list[str]:
    """Notices about how quiet the machine was while the run lasted."""
    from bench.measure.noise import NoiseLimits, void_reason

    try:
        limits = msgspec.convert(manifest.scenario.get("noise", {}), NoiseLimits)
    except msgspec.ValidationError as error:
        raise BenchError(f"manifest.json: scenario.noise: {error}") from None
    reason = void_reason(manifest.noise, limits) if manifest.noise else ""
    notices = [f"the machine was not quiet: {reason}"] if reason else []
    drift = {name: value for name, value in manifest.calibration.get("drift", {}).items() if value > MOST_DRIFT}
    if drift:
        worst = max(drift, key=lambda name: drift[name])
        notices.append(
            f"unit costs of {len(drift)} operations moved by more than {MOST_DRIFT:g} times within the run (most: "
            f"{worst}, {drift[worst]:.2f} times): absolute values are of their moments; ratios are paired"
        )
    return notices


def find_contention(rows: Sequence[Row]) -> list[str]:
    """A notice if the canary of the paired engine moved: no counter shows a neighbour on the same core."""
    from bench.analysis.blocks import measure_contention

    moved = measure_contention(rows)
    if moved is None or moved <= MOST_CONTENTION:
        return []
    notice = (
        f"a ratio that should be the same everywhere (SHA-3 over MD5) moved {moved:.2f} times between processes: "
        "something took a part of the core unseen, and ratios of unlike work hold for that contention alone"
    )
    return [notice]
