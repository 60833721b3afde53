"""What the tests of extensions share: extensions that come and go, a small chain, and the commands."""

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.__main__ import main
from bench.engines.base import Context
from bench.engines.load import LoadedSimulation
from bench.measure.calibrate import Calibration
from bench.scenario import load_scenario
from bench.workload import build_workload, make_record, vital_signs
from ehrcore.drive.cost import EXAMPLE
from ehrcore.drive.extensions import LOADED, VARIABLE, load_extensions
from ehrcore.drive.sim import SimSetup
from ehrcore.ledger import Ledger
from ehrcore.network import Network, found_network
from ehrcore.params import ChainParams, Limits, Topology
from ehrcore.records import RecordKind
from ehrcore.registry import ADDED, forget
from ehrcore.types import SECOND

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
RECORDS = (*vital_signs(1, 5, 1).records, make_record(RecordKind.BILL, "p", "Claim", b'{"n": 1}'))


@contextmanager
def loaded(*paths: Path) -> Iterator[None]:
    """With these extensions, and without them again."""
    before, held, variable = len(ADDED), dict(LOADED), os.environ.get(VARIABLE, "")
    try:
        load_extensions(paths)
        yield
    finally:
        forget(before)
        LOADED.clear()
        LOADED.update(held)
        os.environ[VARIABLE] = variable
        for name in [name for name in sys.modules if name.startswith("ehr_extension_")]:
            del sys.modules[name]


def build(backend: str = "cryptography", administrators: int = 4, **changes: Any) -> Network:
    """A small chain whose blocks hold three transactions, for at most a second."""
    topology, limits = Topology(1, 1, administrators, 1), Limits(3, max_wait_ns=SECOND)
    params = ChainParams("examples", topology, 1, 1, limits=limits, **changes)
    return found_network(params, backend, "examples")


def simulate(network: Network, count: int, ledgers: dict[str, Ledger] | None = None) -> LoadedSimulation:
    """So many transactions, from visitors to every ledger."""
    made = LoadedSimulation(network, SimSetup("examples", EXAMPLE), RECORDS, ledgers)
    for number in range(count):
        made.request(number * SECOND)
    made.simulation.run((count + 60) * SECOND)
    assert made.collector.finished == count
    return made


def context(folder: Path, *overlay: str) -> Context:
    """What an engine is given, with unit costs that nobody measured."""
    scenario = load_scenario("smoke", *(EXAMPLES / name for name in overlay))
    made = Context(scenario, build_workload(RECORDS, "test"), folder)
    made.__dict__["calibration"] = Calibration({"sha256": EXAMPLE}, EXAMPLE, ())
    return made


def call(*words: object, code: int = 0, module: str = "bench", **environment: str) -> str:
    """What a command prints in a process of its own; on standard error where it ends with another code than 0."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run(
        [sys.executable, "-P", "-m", module, *map(str, words)], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


def exit_code(*words: object) -> object:
    """The code with which `ehrbench` ends in this process."""
    try:
        main([*map(str, words)])
    except SystemExit as end:
        return end.code
    finally:
        gc.collect()  # what a command holds open, its process would close
    return 0
