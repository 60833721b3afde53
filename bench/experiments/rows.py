"""Raw rows as tables have them."""

from typing import TYPE_CHECKING

from bench.experiments.base import Column

if TYPE_CHECKING:
    import pandas as pd


def select_rows(raw: "pd.DataFrame", kind: str, columns: dict[str, Column]) -> "pd.DataFrame":
    """Rows of a kind with a table's columns; what is counted is a whole number again where none is missing."""
    rows = raw[raw["kind"] == kind].reindex(columns=list(columns)).reset_index(drop=True)
    whole = [name for name, column in columns.items() if column.form.endswith("d") and rows[name].notna().all()]
    return rows.astype(dict.fromkeys(whole, int))
