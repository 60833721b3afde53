"""What the tables of `table1` say of the printed numbers and of ours, in the kept run and where rows are missing."""

import math
from pathlib import Path

import pandas as pd
import pytest

from bench.analysis.message_models import MODELS, fit_delays
from bench.analysis.paper_table import WINDOW_S, read_paper_table
from bench.analysis.regression import FACTORS, compute_shares, fit_counts
from bench.experiments import find_experiment
from bench.experiments.table1_answer import answer
from bench.experiments.table1_rows import ALONE, CALIBRATED, PAPER, PRINTED, REAL, SHARED, SOURCES, SUBSETS, WITHOUT_1
from bench.report.load import read_rows
from bench.report.tables import check_columns

REFERENCE = Path(__file__).parents[2] / "results" / "reference" / "raw" / "table1.jsonl"
EXPERIMENT = find_experiment("table1")
#: Simulated and calibrated rows; networks are planted by the tests.
ROWS = [row for row in read_rows(REFERENCE, may_be_cut=False).rows
        if row["status"] == "ok" and not row["case"].startswith("net-")]  # fmt: skip
COMPUTED = [row for row in ROWS if row["case"].startswith("row-")]
#: Those that the figures and the answer need of what a run measures; the others are slow to build.
NAMES = ("table1", "table1_agreement", "table1_shares", "table1_regression", "table1_contrasts", "table1_influence",
         "table1_pairs", "table1_models", "table1_predictions")  # fmt: skip


def build(rows, names=NAMES):
    raw = pd.DataFrame(rows)
    tables = {table.name: (table, table.build(raw.copy())) for table in EXPERIMENT.tables if table.name in names}
    for table, frame in tables.values():
        check_columns(table, frame)
    return {name: frame for name, (_, frame) in tables.items()}


def networks(repeats, per_s=lambda paper, repeat: 1000.0 / (paper.agents + paper.administrators) + repeat):
    """Rows of real networks of all 18 configurations, so many of each."""
    return [
        {"case": f"net-{paper.row:02d}-{repeat}", "status": "ok", "row": paper.row,
         **{name: getattr(paper, name) for name in FACTORS}, "committed_per_s": per_s(paper, repeat),
         "latency_quorum_p50_ms": 1.0, "latency_quorum_p99_ms": 2.0, "cpu_s_per_tx": 1e-3,
         "energy_j_per_tx_mid": 1e-3, "bottleneck": "CPU"}
        for repeat in range(repeats) for paper in read_paper_table()
    ]  # fmt: skip


@pytest.fixture(scope="module")
def kept():
    """The tables of the kept run, with real networks of two configurations."""
    return build(ROWS + [row for row in networks(1) if row["row"] in {3, 18}])


def only(frame, **keys):
    for name, value in keys.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1
    return frame.iloc[0]


# -- the paper's own numbers -------------------------------------------------------------------------------------


def test_the_papers_numbers_are_those_of_the_print_whatever_a_run_has(kept):
    few = [row for row in ROWS if row["case"] in {"row-03", "row-09"}]
    tables = build(few, ("table1_shares", "table1_regression", "table1_influence"))
    for name, frame in tables.items():
        own = [part if "source" not in part else part[part["source"] == PAPER] for part in (frame, kept[name])]
        pd.testing.assert_frame_equal(*(part.reset_index(drop=True) for part in own))


def test_shares_stand_for_each_reading_and_add_up(kept):
    frame = kept["table1_shares"]
    assert [(row.source, row.subset) for row in frame.itertuples()] == [
        (source, subset) for source in SOURCES for subset in list(SUBSETS)[: 3 if source == PAPER else 2]
    ]
    fitted = frame[frame["r_squared"].notna()]
    assert fitted[[f"share_{name}" for name in FACTORS]].sum(axis=1).tolist() == pytest.approx([100] * len(fitted))
    paper = frame[frame["source"] == PAPER].set_index("subset")
    assert paper["leads"].tolist() == ["administrators"] * 3
    assert paper["rho_administrators"].tolist() == pytest.approx([-0.66, -0.92, -0.92], abs=0.006)


def test_slopes_of_ours_are_those_of_its_own_throughputs(kept):
    main, frame = kept["table1"], kept["table1_regression"]
    for source, column in ((ALONE, "tx_per_s"), (SHARED, "shared_tx_per_s"), (CALIBRATED, "calibrated_tx_per_6min")):
        fit = fit_counts(main[list(FACTORS)].to_numpy().tolist(), main[column].tolist())
        part = frame[frame["source"] == source]
        assert part["coefficient"].tolist() == pytest.approx(fit.params.tolist())
        assert part["percent"].tolist() == pytest.approx((100 * fit.params / main[column].mean()).tolist())
    assert set(frame["source"]) == {PAPER, ALONE, SHARED, CALIBRATED}, "two real networks are too few to fit"


def test_what_a_node_costs_beside_an_ordering_node_is_read_from_the_intervals(kept):
    frame = kept["table1_contrasts"].set_index(["source", "subset", "term"])
    read = {term: tuple(frame.loc[(PAPER, subset, term), "reading"] for subset in (PRINTED, WITHOUT_1))
            for term in FACTORS if term != "administrators"}  # fmt: skip
    assert read == {
        "agents": ("undecided", "less than one"),
        "coordinators": ("undecided", "undecided"),
        "contributors": ("more than an ordering node", "undecided"),
    }
    assert ((frame["less_one_low"] < frame["less_one"]) & (frame["less_one"] < frame["less_one_high"])).all()


def test_no_row_of_influence_is_lost_and_those_left_out_are_dashes(kept):
    frame = kept["table1_influence"].set_index("row")
    assert frame.index.tolist() == list(range(1, 19))
    for suffix, left_out in (("18", set()), ("17", {1}), ("16", {1, 16})):
        assert set(frame.index[frame[f"leverage_{suffix}"].isna()]) == left_out
        assert frame[f"leverage_{suffix}"].sum() == pytest.approx(5)


def test_pairs_compare_the_same_rows_in_the_paper_and_in_ours(kept):
    row, main = only(kept["table1_pairs"], subset=PRINTED, factor="coordinators"), kept["table1"].set_index("row")
    assert (row["pairs"], row["which"], row["mean"]) == (1, "8–7", -1)
    assert row["percent_paper_tx_per_6min"] == pytest.approx(100 * (6 / 7 - 1))
    assert row["percent_tx_per_s"] == pytest.approx(100 * (main["tx_per_s"][7] / main["tx_per_s"][8] - 1))
    assert math.isnan(row["percent_net_tx_per_s"])
    none = kept["table1_pairs"].query("factor == 'contributors'")
    assert none["pairs"].tolist() == [0, 0, 0]
    assert none["mean"].isna().all()


def test_a_pair_whose_smaller_row_commits_nothing_has_no_change():
    rows = COMPUTED + networks(1, lambda paper, _: 0.0 if paper.row == 8 else 10.0)
    row = only(build(rows, ("table1_pairs",))["table1_pairs"], subset=PRINTED, factor="coordinators")
    assert row["which"] == "8–7"
    assert math.isnan(row["percent_net_tx_per_s"])


# -- models ------------------------------------------------------------------------------------------------------


def test_every_reading_has_one_best_model_and_says_whether_it_is_told_from_the_others(kept):
    for subset, part in kept["table1_models"].groupby("subset"):
        assert part["model"].tolist() == list(MODELS)
        best = part[part["is_best"]].iloc[0]
        assert best["loo_rmse"] == part["loo_rmse"].min(), subset
        assert math.isnan(best["p"])
        others = part[~part["is_best"]]
        assert (others["nearer"] <= others["of"]).all()
        assert others["p"].between(0, 1).all()
    best = kept["table1_models"].query("is_best").set_index("subset")["model"]
    assert best.tolist() == ["nodes", "M1", "M1"], "the reading of row 1 decides"


def test_predictions_never_see_row_1_nor_another_row_of_the_same_configuration(kept):
    frame, models = kept["table1_predictions"].set_index("row"), kept["table1_models"]
    assert frame.loc[15, "by_M1"] == frame.loc[16, "by_M1"]
    for name in MODELS:
        row = only(models, subset="16, rows 1 and 16 out", model=name)
        sixteen = (frame[f"by_{name}"] - frame["paper_tx_per_6min"]).drop([1, 16])
        assert math.sqrt((sixteen**2).mean()) == pytest.approx(row["loo_rmse"])
    main = kept["table1"].set_index("row")["single_messages_per_tx"].drop([1, 16])
    fit = fit_delays(main.tolist(), frame["paper_tx_per_6min"].drop([1, 16]).tolist())
    assert frame.loc[1, "by_ours"] == pytest.approx(WINDOW_S / (fit.pause_s + 16 * fit.delay_s), rel=1e-4)


# -- real networks -----------------------------------------------------------------------------------------------


def test_real_networks_take_part_with_medians_and_the_range_of_their_repeats():
    tables = build(COMPUTED + networks(3), ("table1_shares", "table1_regression"))
    row = only(tables["table1_shares"], source=REAL, subset=PRINTED)
    counts = [[getattr(paper, name) for name in FACTORS] for paper in read_paper_table()]
    values = [1000.0 / (a + o) + 1 for a, _, o, _ in counts]
    shares = compute_shares(counts, values)
    assert row["rows"] == 18
    assert row["share_agents"] == pytest.approx(100 * shares[0] / sum(shares))
    part = tables["table1_regression"].query("source == @REAL").set_index("term")
    assert part["share_low"].notna().sum() == len(FACTORS)
    # Every repeat of these is the same but for a constant.
    assert part["share_low"][1:].tolist() == pytest.approx(part["share_high"][1:].tolist())


def test_a_repeat_that_lacks_a_row_gives_no_range_but_its_values_count():
    nets = [row for row in networks(2) if row["case"] != "net-07-1"]
    frame = build(COMPUTED + nets, ("table1_regression",))["table1_regression"].query("source == @REAL")
    assert frame["rows"].tolist() == [18] * 5
    assert frame["share_low"].isna().all()


def test_throughputs_that_never_vary_are_not_fitted():
    tables = build(COMPUTED + networks(1, lambda *_: 5.0), ("table1_shares", "table1_contrasts"))
    assert math.isnan(only(tables["table1_shares"], source=REAL, subset=PRINTED)["r_squared"])
    assert REAL not in set(tables["table1_contrasts"]["source"])


def test_ordering_nodes_that_cost_nothing_are_no_measure_of_others():
    nets = networks(1, lambda paper, _: 100.0 - 5 * paper.agents + paper.administrators + (paper.row % 3))
    frame = build(COMPUTED + nets, ("table1_contrasts",))["table1_contrasts"].query("source == @REAL")
    assert frame["reading"].tolist() == ["", "", ""]


# -- in words ----------------------------------------------------------------------------------------------------


def test_the_answer_is_given_both_ways_and_its_numbers_are_the_tables(kept):
    told = "\n".join(answer(kept))
    for words in (
        "As printed (18 rows), the counts of nodes explain 75 % of the variance",
        "With row 1 left out (17 rows), the counts of nodes explain 96 % of the variance",
        "ordering nodes 72 %, coordinators 12 %, agents 8 %, contributors 7 %",
        "Row 1 (2, 2, 1, 3: 3 printed, 11.5 by a fit to others)",
        "studentised residual is -8.79",
        "ordering nodes -1.57 (7 pairs, -3 to -1)",
        "of contributors there is no such pair",
        "a contributor costs more than an ordering node",
        "an agent costs less than an ordering node",
        "With rows 1 and 16 left out, the model that predicts unseen rows best is M1",
        "Of row 1, where 3 is printed",
    ):
        assert words in told, told
    row = only(kept["table1_shares"], source=CALIBRATED, subset=PRINTED)
    assert f"calibrated to the paper, ordering nodes lead with {row['share_administrators']:.0f} %" in told
    assert "real networks" not in told, "two of them are not enough to say anything"


def test_a_model_that_is_farther_in_most_rows_is_not_called_worse(kept):
    models = kept["table1_models"].copy()
    models.loc[~models["is_best"], ["nearer", "p"]] = [0.0, 0.001]
    told = "\n".join(answer({**kept, "table1_models": models}))
    assert "is not told from" in told
    assert "is better than" not in told


def test_real_networks_are_told_of_where_there_are_enough():
    tables = build(ROWS + networks(2))
    told = "\n".join(answer(tables))
    assert "measured on real networks, ordering nodes lead" in told
    assert "In per cent, the same pairs (ordering nodes, coordinators and agents, in this order)" in told


@pytest.mark.parametrize("count", [3, 9])
def test_a_run_that_stopped_early_still_answers_for_the_paper(count):
    names = tuple(name for name in NAMES if name != "table1_agreement")
    tables = build(COMPUTED[:count], names) | {"table1_agreement": pd.DataFrame(columns=["mode", "subset", "rows"])}
    told = answer(tables)
    assert any("With row 1 left out" in line for line in told)
    assert only(tables["table1_models"], subset=PRINTED, model="ours")["rows"] == (0 if count < 5 else count)


def test_figures_are_drawn_of_the_kept_run_and_with_real_networks(kept):
    from bench.report.style import journal_style

    both = kept | build(ROWS + networks(2), ("table1", "table1_shares", "table1_regression"))
    with journal_style():
        for tables in (kept, both):
            for figure in EXPERIMENT.figures:
                if tables is kept or figure.name in {"table1_kinds", "table1_shares"}:
                    assert figure.draw({name: frame.copy() for name, frame in tables.items()}).axes


def test_captions_say_that_the_papers_figures_could_not_be_seen():
    captions = {figure.name: figure.caption for figure in EXPERIMENT.figures}
    for name, number in (("table1_throughput", 6), ("table1_kinds", 7)):
        assert f"in the spirit of the paper's Figure {number}" in captions[name]
        assert "could not be seen" in captions[name]
