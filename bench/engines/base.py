"""What an engine is given, and the table of engines."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, cast

from bench.errors import BenchError
from bench.experiments.base import Case, Row
from ehrcore.registry import register

if TYPE_CHECKING:
    from bench.measure.calibrate import Calibration
    from bench.scenario import Scenario
    from bench.workload import Workload


@dataclass
class Context:
    """What is shared by the cases of one run: the scenario, the records, the machine's measured unit costs.

    ``folder`` is the run's directory; an engine may keep artefacts in it.
    """

    scenario: "Scenario"
    workload: "Workload"
    folder: Path
    calibrations: "dict[str, Calibration]" = field(default_factory=dict)

    @cached_property
    def calibration(self) -> "Calibration":
        """Unit costs of this machine, measured once per run, at first use."""
        return self.calibrate("start")

    def calibrate(self, label: str) -> "Calibration":
        """Unit costs as measured for ``label``, at first use: repeats with costs of their own show their spread."""
        held = self.calibrations.get(label)
        if held is None:
            from bench.measure.calibrate import calibrate

            held = self.calibrations[label] = calibrate(self.scenario, self.folder, label)
        return held

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder on the run's own disk, gone afterwards."""
        with TemporaryDirectory(dir=self.folder, prefix=".scratch-", ignore_cleanup_errors=True) as name:
            yield Path(name)


def judge_noise(scenario: "Scenario", noise: Mapping[str, Any]) -> Row:
    """Status and reason of what was measured while others took more than the scenario allows; else nothing."""
    from bench.measure.noise import void_reason

    reason = void_reason(noise, scenario.noise)
    return {"status": "void", "reason": reason} if reason else {}


#: An engine takes the run's context and a case, and returns its raw rows (without ``case`` and ``status``).
Engine = Callable[[Context, Case], list[Row]]

#: Engine name -> module and function; a new engine is a function and a row.
ENGINES: Final[dict[str, tuple[str, str] | Engine]] = {
    "framework": ("bench.engines.framework", "run_framework"),
    "configuration": ("bench.engines.simulate", "run_configuration"),
    "paper-calibrated": ("bench.engines.simulate", "run_paper_calibrated"),
    "variant": ("bench.engines.variants", "run_variant"),
    "signing-costs": ("bench.engines.variants", "run_signing_costs"),
    "ladder": ("bench.engines.net", "run_ladder"),
    "configuration-net": ("bench.engines.net", "run_configuration_net"),
    "variant-net": ("bench.engines.net", "run_variant_net"),
    "agree-calibration": ("bench.engines.agree", "run_calibration"),
    "agree": ("bench.engines.agree", "run_agreement"),
    "paired": ("bench.engines.paired", "run_paired"),
    "policy": ("bench.engines.policy", "run_policy"),
    "policy-failures": ("bench.engines.policy", "run_failures"),
    "policy-rejection": ("bench.engines.policy", "run_rejection"),
    "policy-net": ("bench.engines.net", "run_policy_net"),
    "stall": ("bench.engines.latency", "run_stall"),
    "faults": ("bench.engines.faults", "run_faults"),
    "faults-control": ("bench.engines.faults", "run_fault_control"),
    "faults-net": ("bench.engines.faults_net", "run_faults_net"),
    "tamper": ("bench.engines.tamper", "run_tamper"),
    "collisions": ("bench.engines.collisions", "run_collisions"),
    "identity": ("bench.engines.identity", "run_identity"),
    "identity-stolen": ("bench.engines.identity_stolen", "run_stolen_key"),
    "identity-words": ("bench.engines.identity_words", "run_words"),
    "identity-nonces": ("bench.engines.nonces", "run_nonces"),
    "identity-denials": ("bench.engines.denials", "run_denials"),
    "identity-net": ("bench.engines.identity_net", "run_identity_net"),
    "bombs": ("bench.engines.bombs", "run_bombs"),
    "custody": ("bench.engines.custody", "run_custody"),
    "abuse": ("bench.engines.abuse", "run_abuse"),
    "energy": ("bench.engines.energy", "run_energy"),
    "study": ("bench.engines.study", "run_study"),
    "limit": ("bench.engines.limits", "run_limit"),
    "storage-growth": ("bench.engines.storage", "run_growth"),
    "storage-administrators": ("bench.engines.storage", "run_administrators"),
    "storage-restart": ("bench.engines.storage", "run_restart"),
    "storage-proofs": ("bench.engines.storage", "run_proofs"),
    "storage-packing": ("bench.engines.storage", "run_packing"),
    "privacy-guesses": ("bench.engines.privacy", "run_guesses"),
    "privacy-enumeration": ("bench.engines.privacy", "run_enumeration"),
    "privacy-documents": ("bench.engines.privacy", "run_documents"),
    "privacy-linkage": ("bench.engines.anonymity", "run_linkage"),
    "privacy-anonymity": ("bench.engines.anonymity", "run_anonymity"),
}


def find_engine(name: str) -> Engine:
    """The engine called ``name``, loaded at first use; `BenchError` for an unknown name."""
    if name not in ENGINES:
        raise BenchError(f"engine: expected one of {', '.join(ENGINES)}, found {name!r}")
    if callable(engine := ENGINES[name]):
        return engine
    module, function = engine
    return cast("Engine", getattr(import_module(module), function))


def add_engine(name: str, run: Engine) -> None:
    """Add an engine of one's own; `ParameterError` for a name that is taken."""
    register("engine", ENGINES, name, run)
