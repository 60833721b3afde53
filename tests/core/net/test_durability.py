"""Nodes are killed at any moment: nothing that was acknowledged is lost or comes twice, and all ledgers are one."""

import random
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ehrcore.block import LeaderCertificate, RecordRef, Transaction, TransactionBody
from ehrcore.codec import encode
from ehrcore.drive.net.client import fetch_health
from ehrcore.drive.net.local import LocalNetwork
from ehrcore.drive.net.objects import FileStore
from ehrcore.errors import EhrError
from ehrcore.ledger import SqliteLedger
from ehrcore.params import ConsensusRule
from ehrcore.types import Role
from tests.core.net.conftest import found_local

PATIENCE_S = 120.0
pytestmark = pytest.mark.slow


@pytest.fixture
def make_network(tmp_path: Path):
    """Founds and starts networks, and stops what is left of them."""
    made: list[LocalNetwork] = []

    def make(**given: Any) -> LocalNetwork:
        path = tmp_path / f"network-{len(made)}"
        found_local(path, **given)
        made.append(LocalNetwork(path))
        made[-1].start()
        return made[-1]

    yield make
    for network in made:
        network.stop()


class Client:
    """A visitor that asks every agent again until it has said yes."""

    def __init__(self, network: LocalNetwork) -> None:
        self.network = network
        self._context = network.folder.context(network.plan, "visitor-0")
        self._agents = self._context.names(Role.AGENT)
        FileStore(network.folder.objects).put("/r/1.json", b"{}")
        self._nonce = 0
        self.acknowledged: list[bytes] = []
        self.sent: list[bytes] = []

    def submit(self, count: int, pause_s: float = 0.0) -> None:
        for _ in range(count):
            digest = self._context.crypto.suite.hash(b"{}")
            record = RecordRef(2, digest, digest, "/r/1.json", 2)
            body = TransactionBody(self._context.chain, "visitor-0", self._nonce, time.time_ns(), record)
            self._nonce += 1
            tx = Transaction(body, self._context.crypto.sign(body))
            self.sent.append(encode(tx))
            self.send_again(self.sent[-1])
            self.acknowledged.append(self._context.crypto.suite.hash(encode(body)))
            time.sleep(pause_s)  # the load's pace, so that it lasts while nodes are killed

    def send_again(self, data: bytes) -> None:
        for agent in self._agents:
            self._ask(agent, data)

    def _ask(self, agent: str, data: bytes) -> None:
        url = f"{self.network.plan.url(agent)}/v1/transactions"
        headers = {"Content-Type": "application/vnd.ehrcore.transaction"}
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            try:
                with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=20) as answer:
                    assert answer.status == 202
                    return
            except urllib.error.HTTPError as error:
                with error:
                    # An agent that took it before it was killed may say so, or see it as a replay.
                    if error.code == 409:
                        return
                    if error.code != 429:
                        raise
            except OSError:
                pass
            time.sleep(0.05)  # a node that is down tells nobody when it is back
        raise TimeoutError(f"{agent} did not answer")


def ledger_ids(network: LocalNetwork, name: str) -> list[bytes]:
    with SqliteLedger.open(network.folder.node(name) / "ledger.sqlite") as ledger:
        suite = network.folder.context(network.plan, name).crypto.suite
        found = []
        for entry in ledger.entries():
            for endorsed, reason in zip(entry.block.transactions, entry.reasons, strict=True):
                assert not reason, reason
                found.append(suite.hash(encode(endorsed.transaction.body)))
        return found


def await_height(network: LocalNetwork, client: Client, names: list[str]) -> None:
    """Until every keeper in ``names`` holds what was acknowledged."""
    end = time.monotonic() + PATIENCE_S
    wanted = set(client.acknowledged)
    while time.monotonic() < end:
        found = [set(ledger_ids(network, name)) for name in names]
        heights = {fetch_health(network.folder, network.plan, name)["height"] for name in names}
        if all(wanted <= ids for ids in found) and len(heights) == 1:
            return
        time.sleep(0.3)  # ledgers of other processes have to be looked at
    missing = {name: len(wanted - set(ledger_ids(network, name))) for name in names}
    logs = {name: network.last_line(name) for name in network.names()}
    raise AssertionError(f"not everything became final: {missing} of {len(wanted)} missing; {logs}")


def check_ledgers(network: LocalNetwork, client: Client, names: list[str]) -> None:
    ledgers = {name: ledger_ids(network, name) for name in names}
    longest = max(ledgers.values(), key=len)
    for name, ids in ledgers.items():
        assert ids == longest, name
    counts = Counter(longest)
    assert set(counts) == set(client.acknowledged)
    assert set(counts.values()) == {1}
    for name in names:
        with SqliteLedger.open(network.folder.node(name) / "ledger.sqlite") as ledger:
            ledger.verify()


def keepers(network: LocalNetwork) -> list[str]:
    return [name for name in network.names() if name.startswith("contributor") or name == "coordinator-0"]


def test_killed_nodes_lose_and_double_nothing(make_network) -> None:
    network = make_network(agents=2, coordinators=2, administrators=4, contributors=2)
    client, chance = Client(network), random.Random(1)
    thread = threading.Thread(target=client.submit, args=(100, 0.02))
    thread.start()
    while thread.is_alive():
        time.sleep(chance.uniform(0.05, 0.6))  # a moment of chance: any has to do
        victim = chance.choice(network.names())
        network.kill(victim)
        time.sleep(chance.uniform(0, 0.5))  # down for as long as chance has it: any has to do
        network.start()
    thread.join()
    await_height(network, client, keepers(network))
    network.stop()
    check_ledgers(network, client, keepers(network))


def test_an_elected_leader_that_is_killed_is_followed_by_another(make_network) -> None:
    """The first leader dies with blocks under way and comes back; then all die, leaders and followers."""
    network = make_network(agents=2, administrators=3, consensus=ConsensusRule.LEADER)
    client = Client(network)
    client.submit(10)
    await_height(network, client, keepers(network))
    thread = threading.Thread(target=client.submit, args=(20, 0.02))
    thread.start()
    time.sleep(0.2)  # in the middle of the load; the outcome must not depend on where
    network.kill("administrator-0")
    thread.join()
    await_height(network, client, keepers(network))
    network.start()
    client.submit(5)
    for name in network.names():
        network.kill(name)
    network.start()
    await_height(network, client, keepers(network))
    network.stop()
    check_ledgers(network, client, keepers(network))
    with SqliteLedger.open(network.folder.node("contributor-0") / "ledger.sqlite") as ledger:
        certificates = [entry.certificate for entry in ledger.entries()]
    assert {type(certificate) for certificate in certificates} == {LeaderCertificate}
    assert len({certificate.leader for certificate in certificates}) > 1


def test_a_power_cut_loses_nothing_acknowledged(make_network) -> None:
    network = make_network(agents=2, coordinators=1, administrators=4, contributors=2)
    client = Client(network)
    for _ in range(2):
        client.submit(15)
        for name in network.names():
            network.kill(name)
        assert not network.running()
        network.start()
    await_height(network, client, keepers(network))
    network.stop()
    check_ledgers(network, client, keepers(network))


def test_one_node_per_role_survives_the_death_of_each(make_network) -> None:
    network = make_network()
    client = Client(network)
    for name in network.names():
        client.submit(5)
        network.kill(name)
        thread = threading.Thread(target=client.submit, args=(5,))
        thread.start()
        time.sleep(0.3)  # some of the load comes while it is down; the outcome must not depend on how much
        network.start()
        thread.join()
    await_height(network, client, keepers(network))
    network.stop()
    check_ledgers(network, client, keepers(network))


def test_a_contributor_that_was_away_for_long_catches_up(make_network) -> None:
    network = make_network(contributors=2)
    client = Client(network)
    network.kill("contributor-1")
    client.submit(80)
    await_height(network, client, ["contributor-0"])
    network.start()
    await_height(network, client, keepers(network))
    network.stop()
    check_ledgers(network, client, keepers(network))


def test_a_stop_in_good_order_loses_nothing_acknowledged(make_network) -> None:
    network = make_network(agents=2, contributors=2)
    client = Client(network)
    client.submit(20)
    assert set(network.stop().values()) == {"stopped"}
    network.start()
    await_height(network, client, keepers(network))
    # The agents have forgotten these; the chain has not.
    for data in client.sent:
        client.send_again(data)
    client.submit(3)
    await_height(network, client, keepers(network))
    network.stop()
    check_ledgers(network, client, keepers(network))


@pytest.mark.parametrize(("name", "file"), [("contributor-0", "ledger.sqlite"), ("agent-0", "journal.sqlite")])
def test_a_damaged_file_is_named_and_not_touched(make_network, name: str, file: str) -> None:
    network = make_network()
    client = Client(network)
    client.submit(30)
    await_height(network, client, keepers(network))
    network.stop()
    path: Path = network.folder.node(name) / file
    data = bytearray(path.read_bytes())
    for place in range(4_096, len(data), 512):
        data[place] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(EhrError, match=file):
        network.start([name])
    assert path.read_bytes() == data


def test_a_truncated_ledger_is_filled_from_peers_but_a_torn_one_is_named(make_network) -> None:
    network = make_network(contributors=2)
    client = Client(network)
    client.submit(30)
    await_height(network, client, keepers(network))
    network.stop()
    path: Path = network.folder.node("contributor-0") / "ledger.sqlite"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EhrError, match="ledger.sqlite"):
        network.start(["contributor-0"])
    for name in ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"):
        path.with_name(name).unlink(missing_ok=True)
    network.start()
    await_height(network, client, keepers(network))
    network.stop()
    check_ledgers(network, client, keepers(network))
