"""Variants within one run: planted ratios are found, nothing is found where nothing is, words name what they say."""

import csv
import io
import json
import math
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.__main__ import main
from bench.analysis.compare_sources import SOURCES, read_observations, write_level
from bench.analysis.compare_variants import Answer, answer, ask
from bench.analysis.paired import compare, judge_together, needed_clusters
from bench.errors import BenchError
from bench.experiments.base import Row
from bench.measure.paired import CONTROL
from bench.record import RunDirectory, Status
from bench.report.comparison_variants import compare_variants, print_variants

REPEATS = 12
#: Consensus rule and hash -> what throughput and CPU are multiplied by.
PLANTED = {("pos", "sha256"): (1.0, 1.0), ("pos", "md5"): (1.0, 0.9), ("leader", "sha256"): (1.3, 1.0),
           ("leader", "md5"): (1.3, 0.9), ("pow-12", "sha256"): (0.5, 3.0), ("pow-12", "md5"): (0.5, 2.7)}  # fmt: skip


def write_run(folder: Path, status: Status = "complete", **experiments: list[list[Row]]) -> Path:
    content = {
        "scenario": {}, "seed": "a seed", "workload": {}, "machine": {"cpu": "A"}, "versions": {"python": "3.11.7"},
        "git": {"commit": "c0ffee" * 7, "is_dirty": False},
        "experiments": {name: {"status": "complete", "cases": len(cases)} for name, cases in experiments.items()},
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)  # no test pulls the plug, and it takes milliseconds
        run = RunDirectory.create(folder, "tiny", content)
        for name, cases in experiments.items():
            for rows in cases:
                run.append(name, str(rows[0]["case"]), rows)
        run.finish(status)
        run.release()
    return run.folder


def simulate(planted: dict[tuple[str, str], tuple[float, float]], *, repeats: int = REPEATS) -> list[list[Row]]:
    """Rows as the experiment `variants` writes them: a repeat moves all of its variants alike, and each a little."""
    chance = random.Random("planted")
    cases = []
    for repeat in range(repeats):
        hour = math.exp(chance.gauss(0, 0.3))
        control = ((*next(iter(planted)), "control"), (1.0, 1.0))
        for key, (speed, cpu) in [*planted.items(), control]:
            name, _, bits = key[0].partition("-")
            noise = math.exp(chance.gauss(0, 0.003))
            cpu_s = 0.002 * cpu * hour * noise
            cases.append([{
                "case": f"{'-'.join(key)}-{repeat}",
                "rule": name, "difficulty_bits": int(bits) if bits else None, "suite": key[1],
                "is_control": len(key) > 2, "repeat": repeat, "saturated_tx_per_s": 2000 * speed / hour * noise,
                "latency_quorum_p50_ms": 40.0 * math.exp(chance.gauss(0, 0.001)), "cpu_s_per_tx": cpu_s,
                "energy_j_per_tx_mid": 8.4 * cpu_s, "bytes_per_tx": 18_000.0, "messages_per_tx": 16.0,
            }])  # fmt: skip
    return cases


def blocks(ratios: dict[str, float], *, processes: int = 14) -> list[list[Row]]:
    """Rows as the paired engine writes them: one group, each process with its own speed."""
    chance = random.Random("blocks")
    group = {"base": "sha256", "variants": list(ratios), "loops": [10, 10], "details": {},
             "labels": {"kind": "suites", "library": "hashlib", "size_bytes": 64}}  # fmt: skip
    cases = []
    for process in range(processes):
        base_ns = 1e6 * math.exp(chance.gauss(0, 0.5))
        common = {"case": f"p{process}", "process": process, "instructions": "SHA-NI"}
        rows: list[Row] = [{**common, "kind": "process", "groups": {"hashlib-64": group}, "void_rounds": 0}]
        for number in range(2):
            order = [*ratios, CONTROL]
            epochs = [{name: int(base_ns * ratios.get(name, 1.0) * math.exp(chance.gauss(0, 0.004))) for name in order}
                      for _ in range(2)]  # fmt: skip
            rows.append({**common, "kind": "block", "group": "hashlib-64", "round": number, "order": order,
                         "loops": 10, "forward_ns": epochs[0], "backward_ns": epochs[1]})  # fmt: skip
        cases.append(rows)
    return cases


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cells = [
        [{**row, "case": f"cell-{row['case']}-{curve}", "curve": curve, "library": "a library",
          "block_transactions": 15, "topology": [2, 2, 4, 1],
          "cpu_s_per_tx": row["cpu_s_per_tx"] * (1.5 if curve == "secp256k1" else 1)}]
        for case in simulate(PLANTED) for row in case if not row["is_control"] for curve in ("p256", "secp256k1")
    ]  # fmt: skip
    ratios = {"sha256": 1.0, "md5": 1.5, "sha1": 1.0}
    return write_run(
        tmp_path_factory.mktemp("runs"), variants=[*simulate(PLANTED), *cells], hashes=blocks(ratios), energy=[]
    )


def find(folder: Path, table: str, variants: str, *where: str, is_pooled: bool = False, measures: Any = ()) -> Answer:
    source = SOURCES[table]
    frame = read_observations(source, bench.load(folder).rows(source.experiment))
    return answer(source, frame, ask(source, frame, variants, where, measures, is_pooled=is_pooled))


# -- what is found -----------------------------------------------------------------------------------------------


def test_planted_ratios_are_recovered_with_their_verdicts(run: Path) -> None:
    found = find(run, "variants", "rule=pos,leader,pow", "suite=sha256", measures=("throughput", "cpu"))
    by_name = {(item.measure, item.level): item.estimate for item in found.contrasts if not item.is_control}
    assert found.family == 4
    for (measure, level), expected, verdict in (
        (("throughput", "leader"), 1.3, "faster"),
        (("throughput", "pow-12"), 0.5, "slower"),
        (("cpu", "pow-12"), 3.0, "more"),
        (("cpu", "leader"), 1.0, "unresolved"),
    ):
        estimate = by_name[measure, level]
        assert estimate.ratio == pytest.approx(expected, rel=0.02)
        assert estimate.low <= estimate.ratio <= estimate.high
        assert estimate.verdict == verdict


def test_the_base_over_itself_holds_and_is_a_family_of_its_own(run: Path) -> None:
    found = find(run, "variants", "rule=pos,leader", "suite=sha256")
    controls = [item for item in found.contrasts if item.is_control]
    assert {item.level for item in controls} == {"pos"}
    assert {item.estimate.verdict for item in controls} == {"holds"}
    # Throughput, latency, CPU, bytes, messages; energy is CPU's multiple.
    assert found.family == 5
    assert {item.same_as for item in found.contrasts if item.measure == "energy"} == {"cpu"}


def test_nothing_is_found_where_nothing_was_planted(tmp_path: Path) -> None:
    folder = write_run(tmp_path, variants=simulate(dict.fromkeys(PLANTED, (1.0, 1.0))))
    found = find(folder, "variants", "rule")
    assert {item.estimate.verdict for item in found.contrasts} <= {"unresolved", "holds"}


def test_blocks_of_processes_are_paired(run: Path) -> None:
    found = find(run, "hashes", "variant=sha256,md5,sha1")
    by_name = {(item.level, item.is_control): item.estimate for item in found.contrasts}
    assert by_name["md5", False].ratio == pytest.approx(1.5, rel=0.01)
    assert by_name["md5", False].verdict == "slower"
    assert by_name["sha1", False].verdict == "unresolved"
    assert by_name["sha256", True].verdict == "holds"
    assert {item.estimate.clusters for item in found.contrasts} == {14}


def test_the_ratios_are_those_of_the_experiments_own_table(run: Path) -> None:
    """The same rows, the same pairs: only the family of the intervals is another."""
    import pandas as pd

    from bench.analysis.blocks import compare_blocks

    table = compare_blocks(pd.DataFrame(bench.load(run).rows("hashes"))).set_index("variant")
    found = find(run, "hashes", "variant=sha256,md5,sha1")
    for item in found.contrasts:
        row = table.loc[CONTROL if item.is_control else item.level]
        assert item.estimate.ratio == pytest.approx(row["ratio"], rel=1e-12)
        assert (item.estimate.low, item.estimate.high) == pytest.approx((row["ratio_low"], row["ratio_high"]))


def test_another_base_is_the_reciprocal(run: Path) -> None:
    one, other = (find(run, "hashes", f"variant={words}").contrasts[0] for words in ("sha256,md5", "md5,sha256"))
    assert one.estimate.ratio == pytest.approx(1 / other.estimate.ratio)
    assert one.estimate.low == pytest.approx(1 / other.estimate.high)


def test_pooled_strata_are_one_ratio_in_which_a_repeat_counts_once(run: Path) -> None:
    apart = find(run, "variants_factors", "curve=p256,secp256k1", measures=("cpu",))
    together = find(run, "variants_factors", "curve=p256,secp256k1", measures=("cpu",), is_pooled=True)
    assert (len(apart.contrasts), len(together.contrasts)) == (len(PLANTED), 1)
    (item,) = together.contrasts
    assert (item.level, item.estimate.clusters) == ("secp256k1-a library", REPEATS)
    assert item.estimate.ratio == pytest.approx(1.5, rel=1e-9)
    assert item.estimate.verdict == "more"


def test_a_narrower_question_needs_fewer_repeats(run: Path) -> None:
    wide, narrow = find(run, "variants", "rule"), find(run, "variants", "rule=pos,leader", measures=("cpu",))
    assert (wide.needed, narrow.needed) == (needed_clusters(wide.family), needed_clusters(narrow.family))
    assert narrow.needed < wide.needed


def test_a_repeat_that_failed_is_told_and_not_made_up(tmp_path: Path) -> None:
    cases = simulate(PLANTED)
    for case in cases:
        if (case[0]["rule"], case[0]["repeat"]) in {("pow", 3), ("pow", 5)}:
            case[0]["status"] = "failed"
        if (case[0]["rule"], case[0]["repeat"]) == ("leader", 2):
            case[0]["latency_quorum_p50_ms"] = None  # void
    found = find(write_run(tmp_path, variants=cases), "variants", "rule=pos,leader,pow", "suite=md5")
    lacking = {(item.measure, item.level): (item.estimate.clusters, item.lacking) for item in found.contrasts}
    assert lacking["cpu", "pow-12"] == (REPEATS - 2, 2)
    assert lacking["latency", "leader"] == (REPEATS - 1, 1)
    assert lacking["cpu", "leader"] == (REPEATS, 0)


def test_too_few_repeats_have_no_interval_and_no_verdict(tmp_path: Path) -> None:
    folder = write_run(tmp_path, variants=simulate(PLANTED, repeats=3))
    found = find(folder, "variants", "rule=pos,pow", "suite=sha256")
    assert all(math.isnan(item.estimate.low) for item in found.contrasts)
    assert {item.estimate.verdict for item in found.contrasts} == {"unresolved"}


def test_tables_that_are_judged_together_have_wider_intervals() -> None:
    values = [[0.1 + 0.001 * number] for number in range(14)]
    alone = compare(values, 6)
    with judge_together(3):
        assert compare(values, 6) == compare_plainly(values, 18)
    assert compare(values, 6) == alone


def compare_plainly(values: list[list[float]], comparisons: int) -> Any:
    with judge_together(1):
        return compare(values, comparisons)


# -- words -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"), [(None, ""), (math.nan, ""), (12.0, "12"), (64, "64"), ([2, 2, 4, 1], "2.2.4.1"), ("x", "x")]
)
def test_levels_are_words(value: Any, expected: str) -> None:
    assert write_level(value) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--variants", "rules"), "--variants: expected a factor (rule, suite), found 'rules'"),
        (("--variants", "rule=pos,pox"), "--variants: expected levels of rule (pos, leader, pow-12), found 'pox'"),
        (("--variants", "rule=pos"), "--variants: expected two levels of rule or more, found pos"),
        (("--variants", "rule", "--where", "hash=md5"), "--where: expected a factor (rule, suite), found 'hash'"),
        (("--variants", "rule", "--where", "suite=md6"), "--where: expected levels of suite (sha256, md5), found"),
        (("--variants", "rule", "--where", "rule=pos"), "--where: expected a factor besides rule, found 'rule=pos'"),
        (("--variants", "rule", "--measure", "joules"), "--measure: expected one of throughput, latency, cpu"),
        (("hash", "--variants", "rule"), "compare --variants: expected one such as hashes"),
        (("merkle", "--variants", "variant"), "expected the experiment merkle, found variants, hashes, energy"),
        (("energy", "--variants", "operation"), "expected observations for energy, found none that is ok"),
        (("hashes", "more", "--variants", "variant"), "--variants: expected one run, and at most one table of it"),
        (("--variants", "rule", "--tolerance", "0.1"), "--variants: expected nothing of the kind, found --tolerance"),
        (("--variants", "rule", "--figure", "x.gif"), "--figure: expected a file that ends in .svg, .pdf, .png, found"),
        (("--pool",), "compare without --variants: expected nothing of the kind, found --pool"),
        ((), "compare: expected two runs or more, or one with --variants, found"),
    ],
)
def test_bad_words_are_one_line(
    run: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], expected: str
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["compare", str(run), *words])
    assert end.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert expected in err
    assert err.count("\n") == 1


def test_an_edited_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path, variants=simulate(PLANTED, repeats=2))
    path = folder / "raw" / "variants.jsonl"
    path.write_bytes(path.read_bytes().replace(b"18000.0", b"18001.0", 1))
    with pytest.raises(SystemExit):
        main(["compare", str(folder), "--variants", "rule"])
    assert "variants.jsonl: expected the SHA-256" in capsys.readouterr().err


# -- what is printed ---------------------------------------------------------------------------------------------


@pytest.fixture
def ask_for(run: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def call(*words: str) -> str:
        main(["compare", str(run), "--variants", "rule=pos,leader", "--where", "suite=sha256", *words])
        return capsys.readouterr().out

    return call


def test_the_text_says_for_how_much_the_intervals_hold(ask_for: Callable[..., str]) -> None:
    text = " ".join(ask_for().split())
    assert "Throughput over that of pos" in text
    assert "hold at 95 % for all 5 ratios at once" in text
    assert "Energy is a multiple of CPU time here, and counts once" in text
    assert "leader over pos (rule), suite sha256" in text


def test_a_run_that_was_stopped_is_said_to_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path, "interrupted", variants=simulate(PLANTED, repeats=2))
    main(["compare", str(folder), "--variants", "rule", "--format", "json"])
    assert "The run is interrupted: this is" in json.loads(capsys.readouterr().out)["caption"]


def test_csv_and_json_hold_the_same_ratios(ask_for: Callable[..., str]) -> None:
    rows = list(csv.DictReader(io.StringIO(ask_for("--format", "csv"))))
    content = json.loads(ask_for("--format", "json"))
    assert len(rows) == len(content["ratios"]) == 12
    for row, ratio in zip(rows, content["ratios"], strict=True):
        assert (row["measure"], row["verdict"]) == (ratio["measure"], ratio["verdict"])
        assert float(row["ratio"]) == ratio["ratio"]
    assert content["question"]["levels"] == ["pos", "leader"]
    assert content["family"] == 5


def test_latex_has_the_caption_and_every_row(ask_for: Callable[..., str]) -> None:
    text = ask_for("--format", "latex")
    assert r"\label{tab:variants-rule}" in text
    assert "hold at 95 \\% for all 5 ratios at once" in text
    assert text.count(r" \\") == 1 + 12
    assert re.search(r"Throughput & leader & 1\.(29|30)\d* & ", text)


def test_the_figure_has_a_panel_per_measure_that_is_one_of_its_own(run: Path, tmp_path: Path) -> None:
    found = compare_variants(bench.load(run), "variants", "rule=pos,leader,pow", [], ["cpu", "energy"], is_pooled=False)
    (panel,) = found.list_panels()
    assert panel.title == "CPU time and energy"
    headings = [label for label, points in panel.rows if not points]
    assert headings == ["sha256", "md5"]
    assert [label for label, points in panel.rows if points][:3] == ["leader", "pow-12", "pos (A/A)"]
    print_variants(found, "csv", tmp_path / "x.svg")
    assert "cpu time" in (text := (tmp_path / "x.svg").read_text(encoding="utf-8").lower())
    assert "hold at 95 % for all 4 ratios at once" in text


def test_the_order_of_words_is_that_of_rows(run: Path) -> None:
    levels = [item.level for item in find(run, "hashes", "variant=md5,sha1,sha256").contrasts]
    assert levels[:2] == ["sha1", "sha256"]
    with pytest.raises(BenchError):
        find(run, "hashes", "variant=md5,md5")
