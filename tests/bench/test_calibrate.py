"""Unit costs: what is compared is measured in one group, and every number of a cost model has its source."""

from collections.abc import Callable
from dataclasses import astuple, replace
from pathlib import Path

import msgspec
import pytest

from bench.measure import calibrate as module
from bench.measure.calibrate import Calibration, Measured, calibrate, measure_operations, second_name
from bench.measure.paired import Group, Runner
from bench.scenario import Scenario, load_scenario
from ehrcore.codec import encode
from ehrcore.consensus.work import grind
from ehrcore.drive.cost import EXAMPLE
from ehrcore.hashing import find_suite


class Clock:
    """A clock that only operations move."""

    def __init__(self) -> None:
        self.now = 0

    def read(self) -> int:
        return self.now

    def takes(self, *durations_ns: int) -> Callable[[], Runner]:
        """A variant whose call takes these times, epoch by epoch in turn, the last one from then on."""
        left = list(durations_ns)

        def run(count: int) -> None:
            self.now += count * (left.pop(0) if len(left) > 1 else left[0])

        return lambda: run


def test_operations_are_measured_by_name_and_each_base_twice() -> None:
    clock = Clock()
    groups = [
        Group("large", {"a-large": clock.takes(3_000_000), "b-large": clock.takes(6_000_000)}),
        Group("small", {"a-small": clock.takes(40)}),
    ]
    found = measure_operations(groups, "seed", clock.read)
    expected = {"a-large": 3e6, "b-large": 6e6, "a-small": 40.0}
    expected |= {second_name(name): expected[name] for name in ("a-large", "a-small")}
    assert found == {name: Measured(name, time_ns, 0.0) for name, time_ns in expected.items()}


def test_the_median_epoch_counts_and_the_spread_is_said() -> None:
    clock = Clock()
    # Calibration takes 12 calls; of the 24 epochs, the 8 of the last two blocks are slow, 4 of each variant's 12.
    group = Group("bumpy", {"bumpy": clock.takes(*[2_000_000] * (12 + 16), 3_000_000)})
    found = measure_operations([group], "seed", clock.read)
    assert [(item.median_ns, item.spread) for item in found.values()] == [(2_000_000, 0.5)] * 2


PLANTED_NS = {
    "sign": 20_000.4,
    "verify": 50_000.0,
    "sign secp256k1/cryptography": 200_000.0,
    "verify secp256k1/cryptography": 300_000.0,
    "sign secp256k1/coincurve": 16_000.0,
    "verify secp256k1/coincurve": 30_000.0,
    "message-small": 8_000.0,
    "message-large": 48_000.0,
    "sha256-small": 464.0,
    "sha256-large": 30_784.0,
    "sha256-grind": 800_000.0,
    "md5-small": 300.0,
    "md5-large": 299.0,  # noise: a large message that seems cheaper must not give a negative cost
    "md5-grind": 100.0,
}


def base_of(group: Group) -> str:
    return group.base


def plant(groups: list[Group], planted: dict[str, float] = PLANTED_NS) -> dict[str, Measured]:
    """Every operation takes what is planted; the second measurements take twice as long."""
    first = {name: planted[name] for group in groups for name in group.variants}
    both = first | {second_name(group.base): 2 * first[group.base] for group in groups}
    return {name: Measured(name, time_ns, 0.0) for name, time_ns in both.items()}


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    overlay = tmp_path / "overlay.toml"
    overlay.write_text('[variants]\nsuites = ["md5"]\n[variants.factors]\nsuites = ["md5", "sha256"]\n')
    return load_scenario("smoke", overlay)


def test_a_cost_model_is_made_of_what_was_measured(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: list[Group] = []

    def planted(given: list[Group], seed: str) -> dict[str, Measured]:
        groups.extend(given)
        return plant(given)

    monkeypatch.setattr(module, "measure_operations", planted)
    monkeypatch.setattr(module, "_time_commits", lambda _: Measured("persist", 200_000.0, 0.1))
    found = calibrate(scenario, tmp_path)
    operations = [name for group in groups for name in group.variants]
    assert set(operations) == set(PLANTED_NS), "SHA-256 is calibrated whether the scenario names it or not"
    assert {item.name for item in found.measured} == {*operations, *map(second_name, map(base_of, groups)), "persist"}
    costs = found.costs["sha256"]
    assert (costs.sign_ns, costs.verify_ns, costs.persist_ns) == (20_000, 50_000, 200_000)
    assert (costs.hash_ns, costs.hash_byte_ps) == (401, round(30_320 / 30_656 * 1_000))
    assert costs.grind_ns == 400
    small, large = len(encode(module._endorse())), len(encode(module.sample_block()))
    # Encoding plus decoding is two sides; the line through both sizes gives the cost of a side and of a byte.
    assert costs.message_cost_ns(small) == pytest.approx(4_000, abs=2)
    assert costs.message_cost_ns(large) == pytest.approx(24_000, abs=40)
    assert (found.control.sign_ns, found.control.persist_ns) == (40_001, 200_000), (
        "the control has its own, but commits"
    )
    assert found.control.grind_ns == 2 * costs.grind_ns
    assert found.signing == {
        "p256/cryptography": (20_000, 50_000),
        "secp256k1/cryptography": (200_000, 300_000),
        "secp256k1/coincurve": (16_000, 30_000),
    }
    weak = found.costs["md5"]
    assert (weak.hash_ns, weak.hash_byte_ps, weak.grind_ns) == (300, 0, 1)


def make_calibration(signing: dict[str, tuple[int, int]]) -> Calibration:
    return Calibration({"sha256": EXAMPLE}, EXAMPLE, (), signing)


def test_a_curve_has_the_costs_of_the_library_that_stands_for_it() -> None:
    slow, fast = (200, 300), (16, 30)
    signing = {"p256/cryptography": (20, 50), "secp256k1/cryptography": slow, "secp256k1/coincurve": fast}
    found = make_calibration(signing)
    assert (found.library("p256"), found.library("secp256k1")) == ("cryptography", "coincurve")
    model = found.find("sha256", "secp256k1")
    assert model == replace(EXAMPLE, sign_ns=16, verify_ns=30)
    del signing["secp256k1/coincurve"]
    assert make_calibration(signing).find("sha256", "secp256k1") == replace(EXAMPLE, sign_ns=200, verify_ns=300)
    assert make_calibration({}).find("sha256", "p256") == EXAMPLE


def test_the_curve_of_the_scenario_stays_with_the_library_that_nodes_have() -> None:
    """Else the base variant and its control would have costs of two libraries."""
    signing = {"secp256k1/cryptography": (200, 300), "p256/cryptography": (20, 50), "secp256k1/coincurve": (16, 30)}
    assert make_calibration(signing).library("secp256k1") == "cryptography"


def test_without_the_optional_library_the_other_one_is_measured_alone(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_is_installed", lambda _: False)
    assert list(module._list_schemes(scenario)) == ["p256/cryptography", "secp256k1/cryptography"]
    other = msgspec.structs.replace(scenario, curve="secp256k1")
    assert module._list_schemes(other)["secp256k1/cryptography"] == ("sign", "verify"), "measured once"


def test_every_operation_does_what_its_name_says(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: dict[str, list[object]] = {}

    def record(function: Callable[..., object], *arguments: object) -> Runner:
        return lambda _count: function(*arguments)

    def call_once(given: list[Group], seed: str) -> dict[str, Measured]:
        calls.update({name: [build()(1)] for group in given for name, build in group.variants.items()})
        return plant(given)

    monkeypatch.setattr(module, "repeat_call", record)
    monkeypatch.setattr(module, "measure_operations", call_once)
    calibrate(scenario, tmp_path)
    results = {name: found[0] for name, found in calls.items()}
    assert results["message-small"] == module._endorse()
    assert results["message-large"] == module.sample_block()
    assert results["sha256-small"] == find_suite("sha256").hash(bytes(64))
    assert results["md5-large"] == find_suite("md5").hash(bytes(30_720))
    assert results["sha256-grind"] is None, "a search that ends early would seem cheap"
    assert grind is module.grind
    assert len(results["sign"]) == 64  # type: ignore[arg-type]
    assert list(tmp_path.glob("*calibration*")) == [], "the durable commits leave nothing"


def test_noise_never_makes_a_cost_negative(scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = PLANTED_NS | {"message-small": 1.0, "message-large": 9e9, "sha256-small": 1.0, "sha256-large": 9e9}
    monkeypatch.setattr(module, "measure_operations", lambda given, _seed: plant(given, noisy))
    monkeypatch.setattr(module, "_time_commits", lambda _: Measured("persist", 1.0, 0.0))
    for model in calibrate(scenario, tmp_path).costs.values():
        assert min(astuple(model)) >= 0
    assert calibrate(scenario, tmp_path).costs["sha256"].message_ns == 0


def test_a_real_calibration_has_a_cost_for_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCKS", 1)
    found = calibrate(load_scenario("smoke"), tmp_path)
    assert set(found.costs) == {"sha256", "sha1", "md5"}
    for model in found.costs.values():
        assert min(model.sign_ns, model.verify_ns, model.persist_ns, model.grind_ns) > 0
    assert all(item.median_ns > 0 for item in found.measured)
