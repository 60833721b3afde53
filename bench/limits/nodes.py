"""A network of the paper's size on this machine: its share of what cryptography alone allows, its memory, its start.

The limit of its throughput is what all cores could do if they did nothing but the signatures and verifications that
its nodes count, each in the time that the C library takes for it.
"""

import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Final

from bench.engines.paired import plain_environment
from bench.errors import BenchError
from bench.limits.base import BLOCKS, Demand, Finding, Metric, Part, take_turns
from bench.limits.openssl import cryptography_text, p256_ns, versions_note
from bench.limits.processes import find_ports, measure_memory
from bench.limits.saturation import RECORDS, Saturation, count_per_tx, find_rate
from bench.measure.environment import count_cores
from bench.net.network import MeasuredNetwork
from ehrcore.drive.net.client import NoAnswerError, fetch_health
from ehrcore.drive.net.local import LocalNetwork
from ehrcore.drive.net.plan import NetworkConfig
from ehrcore.types import SECOND

CONFIG: Final = NetworkConfig(agents=3, coordinators=3, administrators=5, contributors=2)
NODES: Final = CONFIG.agents + CONFIG.coordinators + CONFIG.administrators + CONFIG.contributors
#: Where more under way commits no more.
OUTSTANDING: Final = 240
STARTS: Final = 3
_PATIENCE_S, _PAUSE_S = 60.0, 0.02


def measure(folder: Path) -> list[Finding]:
    """Transactions per second and their limit, megabytes after load, seconds of a start."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        scratch = Path(name)
        starts = [time_start(scratch / f"start-{index}") for index in range(STARTS)]
        with ExitStack() as stack:
            network = stack.enter_context(MeasuredNetwork(scratch / "network", CONFIG, "limits", RECORDS))
            share, memory = _measure_load(network)
    return [share, memory, Finding(starts, note="`ehrcore network up`, founding included, until every node is ready")]


def _measure_load(network: MeasuredNetwork) -> tuple[Finding, Finding]:
    saturation, counts, costs = (
        Saturation(network, OUTSTANDING),
        list[tuple[float, float]](),
        list[tuple[float, float]](),
    )

    def load() -> float:
        played = saturation.play()
        counts.append((count_per_tx(played, "signs"), count_per_tx(played, "verifies")))
        return find_rate(played)

    def price() -> float:
        costs.append(p256_ns())
        return 0.0

    ours, _ = take_turns(BLOCKS, load, price)
    resident, proportional = measure_memory(LocalNetwork(network.folder.path).running().values())
    committed = saturation.finish()
    limits = [compute_limit(count_cores(), *pair) for pair in zip(counts, costs, strict=True)]
    signs, verifies = (median(column) for column in zip(*counts, strict=True))
    note = (
        f"counted per transaction: {signs:.1f} signatures, {verifies:.1f} verifications; {count_cores()} cores; "
        f"{committed:,} transactions in all, replayed from a ledger; {versions_note(cryptography_text())}"
    )
    told = "not told here" if proportional is None else f"{proportional / 1e6:.0f} MB"
    after = f"after {committed:,} transactions; with shared pages counted once (PSS): {told}"
    return Finding(ours, limits, note), Finding([resident / 1e6], note=after)


def compute_limit(cores: int, counts: tuple[float, float], costs_ns: tuple[float, float]) -> float:
    """Transactions per second of so many cores that do nothing else: counted operations, and their costs."""
    signs, verifies = counts
    sign_ns, verify_ns = costs_ns
    return cores * SECOND / (signs * sign_ns + verifies * verify_ns)


def time_start(folder: Path) -> float:
    """Seconds from the command that founds and starts the network until every node is ready; it is stopped again."""
    words = [sys.executable, "-P", "-m", "ehrcore", "network", "up", "--folder", str(folder)]
    for role in ("agents", "coordinators", "administrators", "contributors"):
        words += [f"--{role}", str(getattr(CONFIG, role))]
    words += ["--first-port", str(find_ports(NODES + CONFIG.visitors).start)]
    log = folder.with_suffix(".log")
    with log.open("wb") as output:
        begin = time.monotonic()
        # Its nodes are its children and so of our family, as long as it runs.
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=plain_environment()
        )
    try:
        while not _is_ready(folder):
            if process.poll() is not None or time.monotonic() > begin + _PATIENCE_S:
                said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["it said nothing"]
                raise BenchError(f"network up: expected {NODES} nodes that are ready, found: {said[-1]}")
            time.sleep(_PAUSE_S)  # nodes say nothing of themselves: they have to be asked
        return time.monotonic() - begin
    finally:
        _end(process, folder)


def _is_ready(folder: Path) -> bool:
    if not (folder / "network.json").exists():
        return False
    local = LocalNetwork(folder)
    try:
        return all(fetch_health(local.folder, local.plan, name)["phase"] == "ready" for name in local.names())
    except NoAnswerError:
        return False


def _end(process: subprocess.Popen[bytes], folder: Path) -> None:
    """End the command, which stops its nodes; and those itself if it does not."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if (folder / "network.json").exists():
        LocalNetwork(folder).stop()


PART: Final = Part(
    (
        Metric("committed by (3,3,5,2), durable", "tx/s", "C signatures alone on all cores", Demand("at least", 0.6)),
        Metric(f"memory of {NODES} nodes after load (RSS)", "MB", "", Demand("at most", 1_500, "value")),
        Metric(f"start of {NODES} nodes", "s", "", Demand("at most", 5, "value")),
    ),
    measure,
)
