"""Engine `abuse`: a real network under one attack after the other, with an honest visitor and a newcomer all the while.

The honest visitor is the load generator's process, on a steady schedule over its links; the newcomer opens a connection
to the attacked node again and again, from its own address.  Attacks come from this process.  All share the machine.
"""

import asyncio
import contextlib
import itertools
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import median
from typing import Final

import msgspec

from bench.engines.base import Context, judge_noise
from bench.experiments.base import Case, Row
from bench.measure.noise import NoiseWatch
from bench.net.assault import ASSAULTS, ATTACKER, Target, build_bomb
from bench.net.network import MeasuredNetwork, await_final
from bench.net.sections import Abuse
from bench.net.step import Moment, plan_steady
from bench.workload import vital_signs
from ehrcore.codec import encode
from ehrcore.crypto import Crypto
from ehrcore.drive.net.client import Client
from ehrcore.drive.net.files import write_file
from ehrcore.drive.net.plan import NetworkConfig
from ehrcore.drive.net.web.exchange import BOUNDS_FILE, Bounds
from ehrcore.drive.net.web.views import TRANSACTION_MEDIA
from ehrcore.hashing import find_suite
from ehrcore.records import RecordKind
from ehrcore.signing import CURVES, derive_secret, find_scheme
from ehrcore.types import MILLISECOND, SECOND, Role

BOUNDED, UNBOUNDED = "bounded", "no bounds"
#: The bounds under attack: small, so that attacks of seconds reach them.
_BOUNDS: Final = {
    BOUNDED: Bounds(connections=512, of_address=256, headers_timeout_s=0.2, body_timeout_s=0.2),
    UNBOUNDED: Bounds(connections=1 << 20, of_address=1 << 20, headers_timeout_s=3_600.0, body_timeout_s=3_600.0),
}
_NODE: Final = "agent-0"
_MEMBERS: Final = tuple(f"visitor-m{number}" for number in range(4))
_LOOK_S: Final = 0.05
#: What is committed later than this after it was due does not count as throughput.
CAP_MS: Final = 1_000.0


@dataclass
class Window:
    """One attack, or the time without any before them: instants of the monotonic clock, and what was seen in it."""

    attack: str
    begin: int = 0
    end: int = 0
    tries: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    greeted_ms: list[float] = field(default_factory=list)
    turned_away: int = 0
    rss_bytes: list[int] = field(default_factory=list)
    cpu_s: float = 0.0


def run_abuse(context: Context, case: Case) -> list[Row]:
    """A row of kind ``abuse`` per attack and one without any; rows of kind ``course`` with throughput over time.

    Settings: ``variant`` of the node's bounds, and ``attacks`` by name.
    """
    scenario, plan = context.scenario, context.scenario.abuse
    names, variant = case.settings["attacks"], case.settings["variant"]
    config = NetworkConfig(curve=scenario.curve, visitors=1, max_wait_ms=50)
    records = vital_signs(1, 4, scenario.workload.seed).records
    with context.scratch() as scratch:
        network = MeasuredNetwork(scratch / "network", config, f"{scenario.seed}|abuse|{variant}", records)
        write_file(network.folder.node(_NODE) / BOUNDS_FILE, msgspec.json.encode(_BOUNDS[variant]))
        watch = NoiseWatch()
        with network:
            members = asyncio.run(_enrol(network, scenario.seed))
            seconds = plan.before_s + len(names) * (plan.seconds + plan.after_s)
            step = plan_steady(f"{scenario.seed}|{case.label}", plan.per_second, seconds, plan.settle_s)
            siege = Siege(network, members, names, plan, step.begin_at)
            with ThreadPoolExecutor(1) as pool:
                attacks = pool.submit(siege.run)
                played = network.play(step)
            attacks.result()
            noise = watch.lap()
            network.stop()
    rows = describe(siege.windows, played.moments, variant)
    course = count_course(played.moments, siege.windows, played.since, played.until, variant)
    if void := judge_noise(scenario, noise):
        return [row | void for row in (*rows, *course)]
    return [*rows, *course, _check(rows)]


async def _enrol(network: MeasuredNetwork, seed: str) -> dict[str, Crypto]:
    """Members of the network whose keys the attacker has; their enrolments are final."""
    genesis = network.plan.open_genesis()
    authority, curve = network.folder.open_authority(network.plan), CURVES[genesis.params.curve]
    suite, scheme = find_suite(genesis.params.hash_suite), find_scheme(f"{curve.name}/cryptography")
    members, chain, kinds = {}, bytes.fromhex(network.plan.chain), tuple(map(int, RecordKind))
    async with Client(network.folder, network.plan) as client:
        orders = []
        for serial, name in enumerate(_MEMBERS, 1_000):
            key = scheme.private_key(derive_secret(curve, f"{seed}|{name}"))
            members[name] = Crypto(suite, scheme, key, memo_size=0)
            certificate = authority.certify(name, Role.VISITOR, key.public_bytes, kinds=kinds, serial=serial)
            order = authority.enrol(chain, certificate, time.time_ns())
            orders.append(members[name].hash_struct(order.body))
            await client.request(_NODE, "/v1/transactions", encode(order), media=TRANSACTION_MEDIA)
        if not await await_final(client, orders):
            raise TimeoutError("members: expected their enrolments in the ledger, found some missing")
    return members


class Siege:
    """Plays the attacks, one after the other, from an instant on."""

    def __init__(
        self, network: MeasuredNetwork, members: dict[str, Crypto], names: Sequence[str], plan: Abuse, begin_at: int
    ) -> None:
        self._network, self._members, self._plan, self._begin = network, members, plan, begin_at
        self.windows = [Window(""), *map(Window, names)]
        build_bomb()
        self._nonces = {name: itertools.count() for name in members}

    def run(self) -> None:
        """Play all; for a thread of its own."""
        asyncio.run(self._play())

    async def _play(self) -> None:
        plan, at = self._plan, self._begin
        for window in self.windows:
            length = plan.before_s if not window.attack else plan.seconds
            window.begin, window.end = at, at + round(length * SECOND)
            await _sleep_until(window.begin)
            async with asyncio.TaskGroup() as group:
                group.create_task(_sample(window, self._network.local.running()[_NODE]))
                group.create_task(asyncio.to_thread(self._knock, window))
                group.create_task(self._assault(window))
            at = window.end + (round(plan.after_s * SECOND) if window.attack else 0)

    async def _assault(self, window: Window) -> None:
        if not window.attack:
            return
        target = self._aim()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout((window.end - time.monotonic_ns()) / SECOND):
                await ASSAULTS[window.attack].play(target)
        window.tries, window.counts = target.tries, dict(target.counts)

    def _aim(self) -> Target:
        place = self._network.plan.nodes[_NODE]
        return Target(place.host, place.port, bytes.fromhex(self._network.plan.chain), self._members,
                      self._network.find_reference(), find_source(place.host), self._nonces)  # fmt: skip

    def _knock(self, window: Window) -> None:
        """A newcomer asks for the node's health over a new connection each time; in a thread of its own."""
        place = self._network.plan.nodes[_NODE]
        while (begin := time.monotonic_ns()) < window.end:
            try:
                with socket.create_connection((place.host, place.port), timeout=2.0) as knock:
                    knock.sendall(b"GET /v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    is_good = knock.recv(64).startswith(b"HTTP/1.1 200")
            except OSError:
                is_good = False
            if is_good:
                window.greeted_ms.append((time.monotonic_ns() - begin) / MILLISECOND)
            else:
                window.turned_away += 1
            time.sleep(_LOOK_S)  # a pace of its own


def find_source(host: str) -> str:
    """Another address of this machine than ``host``, if the system has one."""
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.bind((ATTACKER, 0))
        return ATTACKER
    return host


async def _sleep_until(instant: int) -> None:
    while (wait := instant - time.monotonic_ns()) > 0:  # noqa: ASYNC110 - timers may be early
        await asyncio.sleep(wait / SECOND)


async def _sample(window: Window, pid: int) -> None:
    """What the attacked process uses."""
    import psutil

    process = psutil.Process(pid)

    def used_s() -> float:
        times = process.cpu_times()
        return float(times.user + times.system)

    before = used_s()
    while time.monotonic_ns() < window.end:
        window.rss_bytes.append(process.memory_info().rss)
        await asyncio.sleep(_LOOK_S)
    window.cpu_s = used_s() - before


# -- what came of it ---------------------------------------------------------------------------------------------------


def describe(windows: Sequence[Window], moments: Sequence[Moment], variant: str) -> list[Row]:
    """A row per window: what the attack was answered, and what the honest visitor, the newcomer and the node had."""
    rows = [_describe(window, moments, variant) for window in windows]
    for row in rows:
        base = rows[0]
        # Of what was due, so that the ends of a window do not count.
        row["throughput_ratio"] = row["timely_share"] / base["timely_share"] if base["timely_share"] else None
        row["rss_growth_mib"] = row["peak_rss_mib"] - base["peak_rss_mib"]
    return rows


def _describe(window: Window, moments: Sequence[Moment], variant: str) -> Row:
    due = [moment for moment in moments if window.begin <= moment.intended < window.end]
    seconds = (window.end - window.begin) / SECOND
    late = [(moment.quorum - moment.intended) / MILLISECOND for moment in due if moment.quorum is not None]
    timely = sum(wait <= CAP_MS for wait in late)
    held = ASSAULTS[window.attack].held if window.attack else frozenset[str]()
    answers = sum(window.counts.values())
    knocks = len(window.greeted_ms) + window.turned_away
    return {
        "kind": "abuse", "attack": window.attack or "none", "variant": variant, "tries": window.tries,
        "answered": answers, "throttled": sum(count for name, count in window.counts.items() if name in held),
        "taken": sum(count for name, count in window.counts.items() if name.startswith("2")),
        "how": ", ".join(f"{name}: {count:,}" for name, count in sorted(window.counts.items())),
        "committed_per_s": timely / seconds, "timely_share": timely / len(due) if due else 0.0,
        "due": len(due), "lost": sum(moment.quorum is None for moment in due),
        "latency_p50_ms": median(late) if late else None, "latency_max_ms": max(late, default=None),
        "newcomer_share": len(window.greeted_ms) / knocks if knocks else None,
        "newcomer_ms": median(window.greeted_ms) if window.greeted_ms else None,
        "peak_rss_mib": max(window.rss_bytes, default=0) / (1 << 20), "cpu_cores": window.cpu_s / seconds,
    }  # fmt: skip


def count_course(
    moments: Sequence[Moment], windows: Sequence[Window], since: int, until: int, variant: str, bin_s: float = 0.25
) -> list[Row]:
    """Honest commits per second in intervals of ``bin_s``, and the attack under way."""
    width = round(bin_s * SECOND)
    rows = []
    for begin in range(since, until, width):
        commits = sum(moment.quorum is not None and begin <= moment.quorum < begin + width for moment in moments)
        attack = next((item.attack for item in windows if item.begin <= begin < item.end), "")
        at_s = (begin - since) / SECOND
        rows.append(
            {"kind": "course", "variant": variant, "at_s": at_s, "under": attack, "commits_per_s": commits / bin_s}
        )
    return rows


def _check(rows: Sequence[Row]) -> Row:
    from bench.experiments.abuse import is_held

    wrong = [row["attack"] for row in rows if not is_held(row)]
    name = "abuse stays within its bounds" + (": not " + ", ".join(wrong) if wrong else "")
    return {"kind": "check", "check": name, "holds": not wrong}
