"""What the experiments on the paired engine share: fresh processes as cases, and the columns of their comparisons."""

import platform
from collections.abc import Mapping
from typing import Any, Final

from bench.experiments.base import Case, Column, Frame, Scenario

SHA_NI: Final = "SHA-NI"
MASKED: Final = "SHA-NI masked"
NO_SHA_NI: Final = "no SHA-NI"
#: OpenSSL's mask for the processor's features; it counts at start-up only.  Bit 29 of the third word is SHA-NI.
#: The words after it are given too, as they are: some versions switch off what is in a word that is not given.
MASK: Final = {"OPENSSL_ia32cap": ":~0x20000000:~0:~0:~0"}

#: Columns that name a row of any of these tables: `variant` is 'A/A control' for the base measured twice.
KEY_COLUMNS: Final = {"is_control": Column("A/A control"), "base": Column("Base")}
#: Columns about the library of a row.
LIBRARY_COLUMNS: Final = {"version": Column("Version"), "openssl": Column("OpenSSL in it")}
#: What every caption says of its numbers.
METHOD: Final = (
    "Measured in turns, in fresh processes; medians with exact sign-test intervals, those of ratios at 95 % for the "
    "whole experiment at once."
)


def find_instructions(flags: set[str] | None = None, machine: str | None = None) -> str:
    """What the processor offers for SHA-256, as far as the system tells: a word for tables and for case labels."""
    if flags is None:
        from bench.measure.environment import find_flags

        flags = find_flags()
    if (machine or platform.machine()).lower() in {"x86_64", "amd64"} and flags:
        return SHA_NI if "sha_ni" in flags else NO_SHA_NI
    return "ARMv8 SHA2" if "sha2" in flags else "as is"


def declare_processes(
    scenario: Scenario,
    suite: str,
    options: Mapping[str, Any],
    masked: Mapping[str, Any] | None = None,
    share: float = 1,
) -> list[Case]:
    """One case per fresh process of the paired engine, with these options of the suite.

    ``masked`` are the options of a second process beside each, in which OpenSSL leaves SHA-NI alone; none without it.
    Each measures ``share`` times as many blocks as the scenario's plan says: fewer where groups are slow or variants
    far apart, since processes count for more than blocks; more where an effect is small.
    """
    found = find_instructions()
    kinds: list[tuple[str, Mapping[str, Any], dict[str, str]]] = [(found, options, {})]
    if masked is not None and found == SHA_NI:
        kinds.append((MASKED, masked, MASK))
    return [
        Case(
            f"{name.lower().replace(' ', '-')}-p{process:02d}",
            "paired",
            {
                "suite": suite,
                "options": dict(chosen),
                "instructions": name,
                "environment": dict(environment),
                "process": process,
                "blocks": max(1, round(share * scenario.paired.blocks)),
            },
        )
        for process in range(scenario.paired.processes)
        for name, chosen, environment in kinds
    ]


def reach_of(part: Frame, column: str) -> list[Any]:
    """How far an interval reaches below and above the values of ``column``; not at all where there is none."""
    return [
        (part[column] - part[f"{column}_low"]).fillna(0).clip(lower=0),
        (part[f"{column}_high"] - part[column]).fillna(0).clip(lower=0),
    ]
