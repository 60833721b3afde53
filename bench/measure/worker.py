"""A process of its own for the paired engine: takes a job on standard input, writes raw rows to standard output.

A fresh process has memory, hash seeds and caches of its own, so that several of them show what a single one would hide;
and it can be started with environment variables that count only then, such as OpenSSL's processor mask.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Final

from bench.measure.noise import NoiseLimits, NoiseWatch, void_reason
from bench.measure.paired import Block, Group, PairedMeasurement, Plan, repeat_call, repeat_nothing
from ehrcore.drive.extensions import load_inherited

#: The group that every process measures besides: what the engine itself adds to a call.
HARNESS: Final = "harness"
NOTHING: Final = "nothing"
#: Another one: work of many independent steps over work of one long chain.  A neighbour on the same core halves the
#: first and leaves the second; no counter shows it, and where variants differ in that, their ratio moves with it.
CANARY: Final = "canary"
_CANARY_BYTES: Final = 30_720
#: The kernel counts in hundredths of a second: of a shorter time one tick would be a large share.
LAP_S: Final = 1.0


def measure_rows(
    groups: Sequence[Group], plan: Plan, watch: NoiseWatch, limits: NoiseLimits, lap_s: float = LAP_S
) -> list[dict[str, Any]]:
    """Rows of one process: one about itself, one per block, one per variant that is missing.

    Rounds are judged together until they have lasted ``lap_s``, and what is left over at the end by itself.
    """
    groups = [*groups, Group(HARNESS, {NOTHING: repeat_nothing}), canary_group()]
    measurement = PairedMeasurement(groups, plan)
    measurement.calibrate()
    watch.lap()
    rows: list[dict[str, Any]] = []
    noises, void_rounds = [], 0
    pending: list[list[Block]] = []
    begin, parent = time.monotonic(), os.getppid()
    for number, blocks in enumerate(measurement.rounds(), start=1):
        if os.getppid() != parent:
            sys.exit("the run that asked for this has ended")  # a resumed one must not measure beside it
        pending.append(blocks)
        if number < plan.blocks and time.monotonic() - begin < lap_s:
            continue
        noise, begin = watch.lap(), time.monotonic()
        reason = void_reason(noise, limits)
        void_rounds += len(pending) * bool(reason)
        noises.append({"rounds": len(pending), **noise})
        status = {"status": "void", "reason": reason} if reason else {"status": "ok"}
        rows += [{**status, "kind": "block", **asdict(block)} for played in pending for block in played]
        pending = []
    about = {
        "status": "ok",
        "kind": "process",
        "hash_seed": os.environ.get("PYTHONHASHSEED", "random"),
        "openssl_ia32cap": os.environ.get("OPENSSL_ia32cap", ""),  # noqa: SIM112 - so is it spelt
        "seed": plan.seed,
        "groups": {group.name: describe_group(group, measurement.loops[group.name]) for group in groups},
        "void_rounds": void_rounds,
        "noise": noises,
    }
    return [about, *rows, *(row for group in groups for row in describe_missing(group))]


def canary_group() -> Group:
    """SHA-3, whose steps are many and independent, over MD5, whose steps wait for each other."""
    message = bytes(_CANARY_BYTES)
    md5 = partial(hashlib.md5, usedforsecurity=False)
    return Group(
        CANARY, {"md5": lambda: repeat_call(md5, message), "sha3": lambda: repeat_call(hashlib.sha3_256, message)}
    )


def describe_group(group: Group, loops: tuple[int, int]) -> dict[str, Any]:
    """What a reader of the blocks has to know of their group; loop counts of the first and the second calibration."""
    return {
        "base": group.base,
        "variants": [*group.variants],
        "labels": dict(group.labels),
        "details": {name: dict(values) for name, values in group.details.items()},
        "loops": list(loops),
    }


def describe_missing(group: Group) -> list[dict[str, Any]]:
    """A row for each variant that could not be measured here."""
    return [
        {"status": "skipped", "kind": "skipped", "group": group.name, "variant": name, "reason": reason}
        for name, reason in group.missing.items()
    ]


def main() -> None:
    """Do the job that standard input describes."""
    load_inherited()
    from bench.micro.groups import SUITES

    job = json.load(sys.stdin)
    groups = SUITES[job["suite"]](job["options"])
    rows = measure_rows(groups, Plan(**job["plan"]), NoiseWatch(), NoiseLimits(**job["limits"]))
    for row in rows:
        sys.stdout.write(json.dumps(row, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
