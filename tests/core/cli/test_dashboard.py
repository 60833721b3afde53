"""The live view fits its window, counts over time and says who is down; what is not known is a dash."""

import time
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from ehrcore.cli.dashboard import build_screen, plain_line
from ehrcore.cli.history import SPAN_S, History, Sample
from ehrcore.cli.status import build_rows, processes
from ehrcore.drive.net.client import Told
from ehrcore.drive.net.local import LocalNetwork
from ehrcore.drive.net.plan import NetworkConfig, found
from ehrcore.drive.net.status import CommitLatency, NodeStatus
from ehrcore.types import SECOND


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> LocalNetwork:
    path = tmp_path_factory.mktemp("net")
    found(path, NetworkConfig(agents=3, coordinators=3, administrators=5, contributors=2), time.time_ns(), "screens")
    return LocalNetwork(path)


def status_of(name: str, **given: object) -> NodeStatus:
    """A node that has done nothing, but for what is given."""
    zeros = {field.name: 0 for field in msgspec.structs.fields(NodeStatus) if field.type is int}
    role = name.rpartition("-")[0]
    texts = {"name": name, "role": role, "phase": "ready", "tip": "", "state": ""}
    flows: dict[str, object] = {word: {} for word in ("received", "sent", "http", "problems", "dropped")}
    nothing = {"transactions": None, "waiting": None, "commit_latency_ms": None, "cpu_s": 0.0}
    return NodeStatus(**(zeros | texts | flows | nothing | given))  # type: ignore[arg-type]


def history_of(local: LocalNetwork, *samples: Sample) -> History:
    history = History(local.plan)
    for sample in samples:
        history.add(sample)
    return history


def busy(local: LocalNetwork, at_s: float, blocks: int, *down: str) -> Sample:
    """Every node but those ``down``, ``at_s`` after a start, with so many blocks of ten transactions."""
    given = {"height": blocks, "now_ns": int(at_s * SECOND), "cpu_s": at_s / 4, "rss_bytes": 62_000_000, "pid": 7}
    nodes = {name: status_of(name, **given) for name in processes(local.plan) if name not in down}
    keeper = {"transactions": 10 * blocks, "commit_latency_ms": CommitLatency(12.4, 30.6, 40.0, 50.0, 99)}
    for name in ("contributor-0", "contributor-1", "coordinator-0"):
        if name in nodes:
            nodes[name] = msgspec.structs.replace(nodes[name], **keeper)
    return Sample(at_s, nodes)


def test_rates_and_loads_are_over_the_last_seconds(local: LocalNetwork) -> None:
    history = history_of(local, *(busy(local, float(second), 3 * second) for second in range(60)))
    assert history.samples[-1].at_s - history.samples[0].at_s == SPAN_S
    assert history.rates() == (3.0, 30.0)
    assert history.cpu_percent("agent-0") == pytest.approx(25.0)
    assert history.latency_ms() == (12.4, 30.6)
    assert history.down() == []
    line = plain_line(history)
    assert line[8:] == "  13 of 13 nodes up  block 177  3.0 blocks/s  1,770 tx  30.0 tx/s  p50 12 ms  p95 31 ms"


def test_what_is_not_known_yet_is_a_dash(local: LocalNetwork) -> None:
    history = history_of(local, busy(local, 1.0, 4))
    assert history.rates() == (None, None)
    assert history.cpu_percent("agent-0") is None
    assert "– blocks/s  40 tx  – tx/s" in plain_line(history)
    nobody = history_of(local, Sample(1.0, {}), Sample(2.0, {}))
    assert nobody.rates() == (None, None)
    assert nobody.latency_ms() == (None, None)
    assert "0 of 13 nodes up  block –  – blocks/s  – tx  – tx/s  p50 – ms  p95 – ms  down: agent-0" in plain_line(
        nobody
    )


def test_a_node_that_was_started_again_is_measured_from_there(local: LocalNetwork) -> None:
    before = busy(local, 10.0, 4)
    first = status_of("agent-0", pid=8, now_ns=11 * SECOND, cpu_s=0.5)
    last = status_of("agent-0", pid=8, now_ns=13 * SECOND, cpu_s=0.6)
    history = history_of(local, before, Sample(11.0, {"agent-0": first}), Sample(13.0, {"agent-0": last}))
    assert history.cpu_percent("agent-0") == pytest.approx(5.0)
    assert history.cpu_percent("agent-1") is None


def shown(local: LocalNetwork, history: History, width: int, height: int) -> list[str]:
    console = Console(width=width, height=height, record=True, force_terminal=True, color_system=None, file=None)
    with console.capture() as capture:
        console.print(build_screen(local, history, width, height))
    return capture.get().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (160, 50), (80, 12), (200, 12)])
def test_the_screen_fits_its_window_and_names_all_or_sums_them(local: LocalNetwork, width: int, height: int) -> None:
    history = history_of(local, busy(local, 0.0, 0), busy(local, 10.0, 12_345))
    lines = shown(local, history, width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    has_room = height >= 24
    for name in processes(local.plan):
        assert (f" {name} " in text) == has_room
    assert ("administrators" in text) != has_room
    assert ("http://127.0.0.1:7777" in text) == (has_room and width >= 120)
    assert "13 of 13 nodes up" in text
    assert "block 12,345  1,234.5 blocks/s  123,450 tx  12,345.0 tx/s  p50 12 ms  p95 31 ms" in text
    agent = next(line for line in lines if line.startswith((" agent-0 ", " agents ")))
    assert "–" in agent, "agents do not follow the chain"
    assert " 25 " in agent or " 75 " in agent


def test_who_is_down_is_said_with_its_last_word(local: LocalNetwork) -> None:
    (local.folder.node("contributor-1") / "log").write_text("first\nno room on the disk\n\n")
    history = history_of(local, busy(local, 0.0, 0), busy(local, 10.0, 5, "contributor-1", "agent-2"))
    lines = shown(local, history, 80, 24)
    assert len(lines) <= 24
    assert any("11 of 13 nodes up" in line for line in lines)
    assert "contributor-1 is down; its last word: no room on the disk" in "\n".join(lines)
    row = next(line for line in lines if line.startswith(" contributor-1 "))
    assert row.split() == ["contributor-1", "down", *"–––––"]
    assert "1 ready, 1 down" in "\n".join(shown(local, history, 100, 16))


def test_the_table_of_nodes_has_a_row_for_each(local: LocalNetwork) -> None:
    sample = busy(local, 2.0, 3, "agent-1")
    rows = build_rows(local.plan, Told(dict(sample.nodes), {"agent-1": "agent-1: no answer"}))
    assert [row[0] for row in rows] == processes(local.plan)
    assert rows[1] == ("agent-1", "down", *"–––––––")
    assert rows[-1] == ("contributor-1", "ready", "3", "30", "0.5", "62", "0", "0", "2")


def test_a_screen_of_nothing_is_a_screen(local: LocalNetwork, tmp_path: Path) -> None:
    lines = shown(local, history_of(local, Sample(0.0, {})), 80, 24)
    assert len(lines) <= 24
    assert any("0 of 13 nodes up" in line for line in lines)
