"""One network's measurement as rows: load, what it came to, what others did meanwhile, and the audit at the end."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bench.engines.base import Context, judge_noise
from bench.experiments.base import Row
from bench.measure.energy import Meter, Window, attribute
from bench.measure.environment import count_cores
from bench.measure.latency import build_columns
from bench.measure.noise import NoiseWatch
from bench.net.audit import audit_ledgers
from bench.net.network import MeasuredNetwork
from bench.net.step import Arrivals, Played, Step
from bench.net.usage import ROLES, describe_processes, describe_throughput, describe_use
from ehrcore.drive.net.plan import NetworkConfig
from ehrcore.types import SECOND

if TYPE_CHECKING:
    from bench.scenario import Scenario

#: Transactions that are built for each second of a closed loop; nothing here comes near it.
_MOST_PER_S: Final = 4_000
#: Blocks that a closed loop should see at least.
_LEAST_BLOCKS: Final = 30
#: For so long an open loop goes on at least, if it has to, after its last measured transaction.
_TAIL_S: Final = 4.0
#: Idle windows around a step, where energy is counted.
_REST_S: Final = 1.0
_NOISE: Final = ("steal_share", "foreign_cpu_share", "throttled_periods")


class Measurement:
    """A network under load.  Each method plays a step: its row first, then one per process; void ones say why.

    A step during which others took too much of the machine is played again, as often as the scenario says: the rule
    does not see what came of it, and ``voided`` has a row for each.  ``played`` is the last step, ``audited_tx`` how
    many transactions the ledgers held once the network had stopped.
    """

    def __init__(self, scenario: "Scenario", network: MeasuredNetwork, persist_ns: int) -> None:
        self._scenario, self._network, self._persist_ns = scenario, network, persist_ns
        self.played: Played
        self.voided: list[Row] = []
        self.audited_tx = 0

    def saturate(self, block_s: float = 0.0, confirmations: int = 0) -> list[Row]:
        """Closed loop: what the network commits with so many transactions under way.

        Where blocks are expected every ``block_s`` seconds, and are final under so many others, it lasts longer.
        """
        plan = self._scenario.net
        warm_s = plan.warm_s + 2 * (confirmations + 2) * block_s
        seconds = max(plan.seconds, _LEAST_BLOCKS * block_s)
        stock = plan.outstanding + round(_MOST_PER_S * (warm_s + seconds))
        step = Step(
            seed="closed", seconds=seconds, warm_s=warm_s, timeout_s=plan.timeout_s,
            outstanding=plan.outstanding, stock=stock,
        )  # fmt: skip
        return self._play(step, self._scenario.net.attempts)

    def offer(
        self, seed: str, per_s: float, seconds: float, arrivals: Arrivals = "poisson", attempts: int | None = None
    ) -> list[Row]:
        """Open loop at this rate: commit latency from the intended instant, once a third of the time has gone by."""
        warm_s = seconds / 3
        stock = round(per_s * 1.5 * (warm_s + seconds + _TAIL_S)) + 100
        step = Step(
            seed=seed, seconds=seconds, warm_s=warm_s, timeout_s=self._scenario.net.timeout_s, per_s=per_s,
            arrivals=arrivals, stock=stock,
        )  # fmt: skip
        return self._play(step, attempts or self._scenario.net.attempts)

    def _play(self, step: Step, attempts: int) -> list[Row]:
        for _ in range(attempts - 1):
            rows = self._play_once(step)
            if "status" not in rows[0]:
                return rows
            self.voided.append({"kind": "attempt", **rows[0]})
        return self._play_once(step)

    def _play_once(self, step: Step) -> list[Row]:
        watch = NoiseWatch()
        meter, played = Meter(cpu_clock=watch.ours_s), list[Played]()
        before = meter.rest(_REST_S)
        watch.lap()
        window = meter.measure(lambda: played.append(self._network.play(step)))
        noise = watch.lap()
        self.played = played[0]
        idle = [before, meter.rest(_REST_S)]
        is_closed = step.outstanding > 0
        timeout_ns = round(step.timeout_s * SECOND)
        row = describe_throughput(self.played, timeout_ns, seconds=None if is_closed else step.seconds)
        processes = describe_processes(self.played)
        row |= describe_use(processes, self._persist_ns, count_cores())
        row |= self._describe_energy(row, window, idle)
        row |= {name: noise[name] for name in _NOISE}
        if not is_closed:
            samples = [moment.to_sample() for moment in self.played.moments]
            row |= build_columns(samples, self.played.ended_at, timeout_ns)
        status = judge_noise(self._scenario, noise)
        return [{**status, **item} for item in (row, *processes)]

    def _describe_energy(self, row: Row, window: Window, idle: list[Window]) -> Row:
        """Joules of a transaction, in all and by role, shared out as processor time is."""
        use = attribute(window, idle, self._scenario.energy)
        found: Row = {"energy_status": use.status, "energy_reason": use.reason}
        for bound in ("low", "mid", "high"):
            joules_per_cpu_s = getattr(use, f"joules_{bound}") / max(use.cpu_s, 1e-9)
            found[f"energy_j_per_tx_{bound}"] = joules_per_cpu_s * row["cpu_s_per_tx"]
            if bound == "mid":
                found |= {f"energy_j_per_tx_{role}": joules_per_cpu_s * row[f"cpu_s_per_tx_{role}"] for role in ROLES}
        return found


@contextmanager
def measure_network(context: Context, label: str, counts: Mapping[str, int], **variant: Any) -> Iterator[Measurement]:
    """A network with so many nodes of each role, started anew; at the end its ledgers are audited.

    ``variant`` are further fields of its `NetworkConfig`.  `BenchError` or `LedgerError` if the audit finds anything.
    """
    plan = context.scenario.net
    fields = {role: counts[role] for role in ("agents", "coordinators", "administrators", "contributors")}
    common = {"curve": context.scenario.curve, "max_wait_ms": plan.max_wait_ms}
    config = msgspec.convert({**common, **fields, **variant}, NetworkConfig)
    persist_ns = context.calibration.control.persist_ns  # measured before anything else runs
    records = context.workload.records[: plan.records]
    with context.scratch() as scratch:
        seed = f"{context.scenario.seed}|net|{label}"
        with MeasuredNetwork(scratch / "network", config, seed, records) as network:
            measurement = Measurement(context.scenario, network, persist_ns)
            yield measurement
            finished = network.stop()
        ledgers = [network.folder.node(name) / "ledger.sqlite" for name in network.contributors()]
        measurement.audited_tx = audit_ledgers(ledgers, finished)
