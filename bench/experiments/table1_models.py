"""Tables of `table1` that ask what a transaction's time depends on: models of messages, each judged on unseen rows."""

import math
from typing import Any, Final

from bench.analysis.message_models import (
    MODELS,
    Point,
    Validation,
    fit_model,
    judge_against,
    measure_error,
    predict,
    validate,
)
from bench.analysis.paper_table import LEAST_ROWS, OUTLIER_ROW
from bench.analysis.regression import FACTORS
from bench.experiments.base import Column, Frame, Table
from bench.experiments.rows import to_frame
from bench.experiments.table1_rows import (
    FLAGS,
    LETTERS,
    PAPER,
    SOURCES,
    SUBSETS,
    WITHOUT_BOTH,
    configurations,
    paper_frame,
)

#: The model that needs the run's own rows: the messages of a lone transaction are counted in it.
OURS: Final = "ours"


def build_models(raw: Frame) -> Frame:
    """A row per reading and model: what was fitted, how it predicts, and whether the best one is told apart from it."""
    rows: list[dict[str, Any]] = []
    for subset, left_out in SUBSETS.items():
        found = {name: _validate(raw, name, left_out) for name in MODELS}
        errors = {name: measure_error(*item) if item else (math.nan, math.nan) for name, item in found.items()}
        whole = max((len(item[1]) for item in found.values() if item), default=0)
        # Of those that have all rows; with fewer, errors are not comparable.
        best = min((name for name, item in found.items() if item and len(item[1]) == whole), key=lambda n: errors[n][0])
        for name, item in found.items():
            rows.append({"subset": subset, "model": name, "about": MODELS[name].about, "is_best": name == best,
                         "loo_rmse": errors[name][0], "q_squared": errors[name][1],
                         **_describe(raw, name, item, found[best])})  # fmt: skip
    return to_frame(rows, MODEL_COLUMNS)


def _describe(raw: Frame, name: str, item: tuple[Validation, list[float]] | None, best: Any) -> dict[str, Any]:
    """What a model's row says besides its error; dashes where it could not be fitted."""
    if item is None:
        return {"rows": 0, "equation": ""}
    validation, values = item
    nearer, of, p = math.nan, math.nan, math.nan
    if item[0] is not best[0] and len(values) == len(best[1]):
        nearer, of, p = judge_against(best[0], validation, values)
    first = _points(raw, name).get(OUTLIER_ROW)
    return {
        "rows": len(values), "equation": MODELS[name].describe(validation.parameters),
        "parameters": len(validation.parameters), "r_squared": validation.r_squared,
        "pairs_rmse": validation.pairs_rmse, "nearer": nearer, "of": of, "p": min(p * (len(MODELS) - 1), 1.0),
        "row_1": predict(MODELS[name], validation.parameters, [first])[0] if first else math.nan,
    }  # fmt: skip


def _points(raw: Frame, name: str) -> dict[int, Point]:
    """What a model reads of each row of the paper: of all 18, but for the model that needs the run's own counts."""
    rows = paper_frame()[["row", *FACTORS]].astype(float).to_numpy().tolist()
    # The count that no model but ours reads is 0, so that the others are fitted once whatever the run.
    points = {int(row): Point(a, c, o, k, 0.0) for row, a, c, o, k in rows}
    if name != OURS:
        return points
    frame = configurations(raw)
    messages = zip(frame["row"].astype(int), frame["single_messages_per_tx"].astype(float), strict=True)
    return {row: points[row]._replace(messages=count) for row, count in messages if not math.isnan(count)}


def _printed() -> dict[int, float]:
    frame = paper_frame()
    return dict(zip(frame["row"].tolist(), frame[SOURCES[PAPER]].astype(float).tolist(), strict=True))


def _validate(raw: Frame, name: str, left_out: set[int]) -> tuple[Validation, list[float]] | None:
    """The model on the rows of a reading that it can read, with their printed values; None for too few of them."""
    points, printed = _points(raw, name), _printed()
    rows = [row for row in sorted(points) if row not in left_out]
    if len(rows) < LEAST_ROWS:
        return None
    values = [printed[row] for row in rows]
    return validate(name, tuple(points[row] for row in rows), tuple(values)), values


MODEL_COLUMNS: Final = {
    "subset": Column("Rows"),
    "model": Column("Model"),
    "about": Column("Which is"),
    "equation": Column("Fitted"),
    "parameters": Column("Parameters"),
    "rows": Column("n"),
    "r_squared": Column("R²", "", ".3f"),
    "loo_rmse": Column("Leave-one-out RMSE", "tx/6 min", ".2f"),
    "q_squared": Column("Q²", "", ".2f"),
    "pairs_rmse": Column("Leave-two-out RMSE", "tx/6 min", ".2f"),
    "is_best": Column("Best"),
    "nearer": Column("The best is nearer in", "rows", ".0f"),
    "of": Column("of", "rows", ".0f"),
    "p": Column("p × models", "", ".2g"),
    "row_1": Column("Says of row 1", "tx/6 min", ".1f"),
}


def build_predictions(raw: Frame) -> Frame:
    """Each printed row as every model predicts it from the others, rows 1 and 16 never among them."""
    printed, frame = _printed(), paper_frame()
    frame["flag"] = frame["row"].map(FLAGS).fillna("")
    alike = {row: tuple(values) for row, *values in frame[["row", *FACTORS]].to_numpy().tolist()}
    for name, model in MODELS.items():
        points, found = _points(raw, name), {}
        for row, point in points.items():
            rest = [one for one in points if one not in SUBSETS[WITHOUT_BOTH] and alike[one] != alike[row]]
            if len(rest) >= LEAST_ROWS:
                parameters = fit_model(model, [points[one] for one in rest], [printed[one] for one in rest])
                found[row] = predict(model, parameters, [point])[0]
        frame[f"by_{name}"] = frame["row"].map(found).astype(float)
    return frame[list(PREDICTION_COLUMNS)]


PREDICTION_COLUMNS: Final = {
    "row": Column("Row"),
    **{name: Column(letter) for name, letter in LETTERS.items()},
    "flag": Column("Flag"),
    SOURCES[PAPER]: Column("Printed", "tx/6 min"),
    **{f"by_{name}": Column(f"Predicted by {name}", "tx/6 min", ".1f") for name in MODELS},
}
TABLES: Final = (
    Table(
        "table1_models",
        "Models of the printed throughput: T, seconds per transaction, from counts of nodes or messages (parameters "
        "not below 0), or X, transactions in 6 minutes. Leave-one-out and leave-two-out errors are of rows that a fit "
        "did not see; the best model has the least of the former. In how many rows it is nearer than another, with "
        "the sign test's p times the number of comparisons: with 16 to 18 rows, of which 15 and 16 are one "
        "configuration, a difference that is not resolved is no equality. A fit does not prove a mechanism, and one "
        "leg of the messages cannot be told from another.",
        MODEL_COLUMNS, build_models,
        ("subset", "model", "r_squared", "loo_rmse", "q_squared", "p", "row_1"),
    ),
    Table(
        "table1_predictions",
        "Each printed row as every model predicts it from the others, rows 1 and 16 never among them (nor row 15 where "
        "it is row 16, which is the same configuration).",
        PREDICTION_COLUMNS, build_predictions,
    ),
)  # fmt: skip
