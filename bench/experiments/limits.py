"""How near this implementation comes to what the machine could do: each part beside its limit or a peer."""

from typing import Final

from bench.experiments.base import Case, Column, Experiment, Frame, Scenario, Table
from bench.experiments.catalogue import QUESTIONS


def declare_cases(scenario: Scenario) -> list[Case]:
    """A case per part."""
    del scenario
    from bench.limits import PARTS

    return [Case(name, "limit", {"limit": name}) for name in PARTS]


def build_limits(raw: Frame) -> Frame:
    """Every metric with its peer, as recorded."""
    from bench.limits.base import NUMBERS

    return raw[list(COLUMNS)].astype(dict.fromkeys(NUMBERS, float)).reset_index(drop=True)


COLUMNS: Final = {
    "limit": Column("Part"),
    "metric": Column("Metric"),
    "measured": Column("Measured", "", ".4g"),
    "measured_min": Column("Least", "", ".4g"),
    "measured_max": Column("Greatest", "", ".4g"),
    "unit": Column("Unit"),
    "peer": Column("Limit or peer"),
    "peer_value": Column("Its value", "", ".4g"),
    "ratio": Column("Ratio", "", ".3f"),
    "ratio_min": Column("Least ratio", "", ".3f"),
    "ratio_max": Column("Greatest ratio", "", ".3f"),
    "blocks": Column("Blocks"),
    "demanded": Column("Demanded"),
    "met": Column("Met"),
    "note": Column("Note"),
}

EXPERIMENT: Final = Experiment(
    "limits", QUESTIONS["limits"], (), declare_cases,
    (
        Table(
            "limits",
            "Measured: the speed of each part beside a limit or a peer that was measured in turns with it, block by "
            "block. Values and ratios (the part by its peer) are medians over blocks, with the least and the greatest. "
            "openssl speed is the C library in a loop, in processor time; 'unavailable' says what the machine lacks.",
            COLUMNS, build_limits,
            ("metric", "measured", "unit", "peer_value", "ratio", "demanded", "met"),
        ),
    ),
)  # fmt: skip
