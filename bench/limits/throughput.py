"""What a whole network commits: one node of each role on this machine, beside a replicated store on the same.

Every signature is real, every block is on disk before anyone is told of it, and a transaction counts once every
contributor has it.  Load generator or client share the cores with the nodes, on both sides.  The sides take turns; the
one that does not have its turn idles.
"""

import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from bench.limits.base import BLOCKS, Demand, Finding, Metric, Part, Unavailable, take_turns
from bench.limits.etcd import EtcdCluster
from bench.limits.saturation import RECORDS, Saturation, count_transaction_bytes
from bench.net.network import MeasuredNetwork
from ehrcore.drive.net.plan import NetworkConfig

#: Where more under way commits no more.
OUTSTANDING: Final = 480
CONNECTIONS: Final = 9
#: Connections -> seconds of a turn.
SECONDS: Final = {CONNECTIONS: 3.0, 1: 1.5}


def measure(folder: Path) -> list[Finding | Unavailable]:
    """Committed transactions per second, alone and beside etcd's puts."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))
        cluster = _enter_etcd(stack, scratch / "etcd")
        network = stack.enter_context(MeasuredNetwork(scratch / "network", NetworkConfig(), "limits", RECORDS))
        saturation = Saturation(network, OUTSTANDING)
        if isinstance(cluster, Unavailable):
            (ours,) = take_turns(BLOCKS, saturation.rate)
            beside: Finding | Unavailable = cluster
        else:
            puts = (partial(cluster.put_rate, connections, seconds) for connections, seconds in SECONDS.items())
            ours, peers, alone = take_turns(BLOCKS, saturation.rate, *puts)
            note = f"etcd {cluster.version()}, {cluster.check():,} values of {count_transaction_bytes()} bytes"
            beside = Finding(ours, peers, f"{note}; over 1 connection: {median(alone):.0f} per second")
        committed = saturation.finish()
    note = f"P-256; {OUTSTANDING} under way; {committed:,} transactions in all, replayed from the ledger"
    return [Finding(ours, note=note), beside]


def _enter_etcd(stack: ExitStack, folder: Path) -> EtcdCluster | Unavailable:
    try:
        return stack.enter_context(EtcdCluster(folder, count_transaction_bytes()))
    except Unavailable as reason:
        return reason


PART: Final = Part(
    (
        Metric("committed by (1,1,1,1), durable", "tx/s", "", Demand("at least", 1_600, "value")),
        Metric(
            "the same", "tx/s", f"etcd, 3 nodes, durable puts over {CONNECTIONS} connections", Demand("at least", 1)
        ),
    ),
    measure,
)
