"""What a simulation has used up to an instant, and what one transaction took between two instants."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.experiments.base import Row
from ehrcore.types import SECOND, Role

if TYPE_CHECKING:
    from bench.engines.load import LoadedSimulation


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Cumulative use at one instant."""

    at: int
    finished: int
    decided: int
    cpu_ns: dict[str, int]
    legs: dict[str, tuple[int, int]]


def take_snapshot(loaded: "LoadedSimulation") -> Snapshot:
    """Where the run stands now."""
    simulation = loaded.simulation
    return Snapshot(
        simulation.kernel.now,
        loaded.collector.finished,
        loaded.collector.decided,
        {node.name: simulation.cpu_ns(node) for node in simulation.nodes},
        {f"{a.value}>{b.value}": (leg.messages, leg.size_bytes) for (a, b), leg in simulation.legs.items()},
    )


def compare_snapshots(loaded: "LoadedSimulation", begin: Snapshot, end: Snapshot) -> Row:
    """What one committed transaction took between two instants: CPU-seconds by role, messages and bytes by leg."""
    done, elapsed = end.finished - begin.finished, end.at - begin.at
    row: Row = {"cpu_s_per_tx": 0.0, "messages_per_tx": 0.0, "bytes_per_tx": 0.0}
    busiest = ("", 0.0)
    for role in (Role.VISITOR, Role.AGENT, Role.COORDINATOR, Role.ADMINISTRATOR, Role.CONTRIBUTOR):
        spent = [
            end.cpu_ns[node.name] - begin.cpu_ns[node.name] for node in loaded.simulation.nodes if node.role is role
        ]
        row[f"cpu_s_per_tx_{role.value}"] = sum(spent) / SECOND / done
        row["cpu_s_per_tx"] += sum(spent) / SECOND / done
        busiest = max(busiest, (role.value, max(spent) / elapsed), key=lambda item: item[1])
    row["busiest_role"], row["busiest_share"] = busiest
    for leg, (messages, size) in sorted(end.legs.items()):
        before = begin.legs.get(leg, (0, 0))
        row[f"messages:{leg}"] = (messages - before[0]) / done
        row[f"bytes:{leg}"] = (size - before[1]) / done
        row["messages_per_tx"] += row[f"messages:{leg}"]
        row["bytes_per_tx"] += row[f"bytes:{leg}"]
    return row
