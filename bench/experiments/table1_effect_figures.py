"""The figures of experiment table1 that show what its numbers depend on, drawn from its tables."""

from collections.abc import Mapping
from typing import Any, Final

from bench.analysis.message_models import MODELS
from bench.analysis.paper_table import OUTLIER_ROW
from bench.analysis.regression import FACTORS, TERMS
from bench.experiments.base import Drawing, Frame, Tables
from bench.experiments.table1_rows import ALONE, CALIBRATED, PAPER, PRINTED, REAL, SHARED, SOURCES, SUBSETS, WITHOUT_1

#: Source and reading -> what a figure calls it.
_LINES: Final = {
    (PAPER, PRINTED): "Paper, as printed",
    (PAPER, WITHOUT_1): "Paper, row 1 out",
    (CALIBRATED, PRINTED): "Ours, calibrated",
    (ALONE, PRINTED): "Ours, a machine\nper node",
    (SHARED, PRINTED): "Ours, shared cores",
    (REAL, PRINTED): "Ours, real networks",
}
_SHOWN: Final = [name for name in MODELS if name != "mean"]


def draw_shares(tables: Tables) -> Drawing:
    """Shares of R^2 as bars, and what a node more of each kind changes."""
    from bench.report.style import new_figure, palette

    frame = tables["table1_regression"].set_index(["source", "subset"])
    lines = {key: label for key, label in _LINES.items() if key in frame.index}
    figure, (left, right) = new_figure("page", 3.2, ncols=2, width_ratios=(1, 1))
    explained = tables["table1_shares"].set_index(["source", "subset"])["r_squared"]
    colours, begins = palette(FACTORS), [0.0] * len(lines)
    for factor in FACTORS:
        parts = [frame.loc[[key]] for key in lines]
        widths = [float(part[part["term"] == factor]["share"].iloc[0]) for part in parts]
        left.barh(range(len(lines)), widths, left=begins, color=colours[factor], label=factor.capitalize(), height=0.7)
        begins = [begin + width for begin, width in zip(begins, widths, strict=True)]
    for place, key in enumerate(lines):
        left.text(101, place, f"{explained[key]:.2f}", va="center", fontsize=7)
    left.set_yticks(range(len(lines)), list(lines.values()))
    left.invert_yaxis()
    left.set(xlim=(0, 112), xticks=range(0, 101, 25), xlabel="Share of R² [%]", ylabel="Throughput")
    left.grid(visible=False, axis="y")
    left.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=2)
    _draw_forest(right, frame, lines, colours)
    return figure


def _draw_forest(axis: Any, frame: Frame, lines: Mapping[tuple[str, str], str], colours: Any) -> None:
    """A group per kind of node, in its colour, an interval per source in it, by its marker."""
    from bench.report.style import markers

    shapes = markers(list(_LINES.values()))
    for number, (key, label) in enumerate(lines.items()):
        part = frame.loc[[key]].set_index("term").loc[list(FACTORS)]
        places = [group + (number - (len(lines) - 1) / 2) * 0.8 / len(lines) for group in range(len(FACTORS))]
        for place, (factor, row) in zip(places, part.iterrows(), strict=True):
            ends = [[row["percent"] - row["percent_low"]], [row["percent_high"] - row["percent"]]]
            axis.errorbar(row["percent"], place, xerr=ends, fmt=shapes[label], color=colours[factor], markersize=3.5,
                          elinewidth=0.9)  # fmt: skip
        axis.plot([], [], shapes[label], color="black", markersize=3.5, label=label.replace("\n", " "))
    axis.axvline(0, color="black", linewidth=0.6)
    axis.set_yticks(range(len(FACTORS)), [f"{name[:-1].capitalize()}" for name in FACTORS])
    axis.invert_yaxis()
    axis.set(xlabel="Change by one node more [% of the mean]", ylabel="Kind of node")
    axis.grid(visible=False, axis="y")
    axis.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=2)


def draw_influence(tables: Tables) -> Drawing:
    """Studentised residuals over leverage, as printed and without row 1."""
    from scipy import stats

    from bench.report.style import new_figure, palette

    frame = tables["table1_influence"]
    figure, axes = new_figure("page", 3.0, ncols=2)
    colours = palette(["row", "first"])
    for axis, subset in zip(axes, (PRINTED, WITHOUT_1), strict=True):
        columns = (f"{name}_{subset[:2]}" for name in ("studentised", "leverage", "cooks_d"))
        studentised, leverage, cooks = (frame[column] for column in columns)
        count = int(studentised.notna().sum())
        limit = float(stats.t.ppf(1 - 0.025 / count, count - len(TERMS) - 1))
        usual = 2 * len(TERMS) / count
        point = [colours["first"] if row == OUTLIER_ROW else colours["row"] for row in frame["row"]]
        areas = 12 + 200 * cooks
        axis.scatter(leverage, studentised, s=areas, color=point, alpha=0.6, linewidth=0)
        for y in (-limit, limit):
            axis.axhline(y, color="black", linewidth=0.6, linestyle="--")
        axis.axvline(usual, color="black", linewidth=0.6, linestyle="--")
        axis.axhline(0, color="black", linewidth=0.4)
        seen = (studentised.abs() > limit) | (leverage > usual) | (cooks > 4 / count)
        for x, y, area, row in zip(leverage[seen], studentised[seen], areas[seen], frame["row"][seen], strict=True):
            axis.annotate(f"row {row}", (x, y), xytext=(area**0.5 / 2 + 2, 0), textcoords="offset points", va="center",
                          fontsize=7)  # fmt: skip
        title = f"{count} rows, {'row 1 out' if SUBSETS[subset] else 'as printed'}"
        axis.set(title=title, xlim=(0, 1), xlabel="Leverage", ylabel="Studentised residual")
        axis.margins(y=0.18)
    return figure


def draw_models(tables: Tables) -> Drawing:
    """Predictions of unseen rows against the printed ones, their errors, and the models' errors in each reading."""
    from bench.report.style import markers, new_figure, palette

    frame, models = tables["table1_predictions"], tables["table1_models"]
    figure, (left, middle, right) = new_figure("page", 3.0, ncols=3, width_ratios=(4, 5, 4))
    colours, shapes, printed = palette(_SHOWN), markers(_SHOWN), frame[SOURCES[PAPER]]
    first = frame["row"] == OUTLIER_ROW
    for number, name in enumerate(_SHOWN):
        shift = 0.13 * (number - (len(_SHOWN) - 1) / 2)
        found = frame[f"by_{name}"]
        left.plot((printed + shift)[~first], found[~first], shapes[name], color=colours[name], markersize=3, label=name)
        left.plot((printed + shift)[first], found[first], "x", color=colours[name], markersize=5)
        middle.plot((frame["row"] + shift)[~first], (found - printed)[~first], shapes[name], color=colours[name],
                    markersize=3)  # fmt: skip
    ends = [0.0, float(printed.max()) + 1]
    left.plot(ends, ends, color="black", linewidth=0.6)
    left.set(xlabel="Printed [tx / 6 min]", ylabel="Predicted [tx / 6 min]")
    left.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, title="Model", handletextpad=0.3)
    middle.axhspan(-1, 1, color="#d9d9d9", alpha=0.5, linewidth=0)
    middle.axhline(0, color="black", linewidth=0.6)
    middle.set(xticks=range(2, len(frame) + 1, 2), xlabel="Row (row 1: off the scale)",
               ylabel="Predicted less printed [tx / 6 min]")  # fmt: skip
    _draw_errors(right, models)
    return figure


def _draw_errors(axis: Any, models: Frame) -> None:
    from bench.report.style import markers, palette

    readings = palette(list(SUBSETS))
    shapes = markers(list(SUBSETS))
    names = list(MODELS)
    for number, subset in enumerate(SUBSETS):
        part = models[models["subset"] == subset].set_index("model").loc[names, "loo_rmse"]
        places = [place + 0.16 * (number - 1) for place in range(len(names))]
        axis.plot(part, places, shapes[subset], color=readings[subset], label=subset.replace("rows ", ""))
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.set_xlim(left=0)
    axis.set(xlabel="RMSE [tx / 6 min]", ylabel="Model")
    axis.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), title="Rows", handletextpad=0.3)
