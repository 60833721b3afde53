"""The findings of `ehrbench doctor` as a terminal shows them: a line each, and what it costs below where it costs."""

from collections.abc import Sequence
from io import StringIO
from typing import Final

from bench.measure.doctor import Item, judge

_STYLES: Final = {"fit": "green", "limited": "yellow", "unfit": "bold red"}
_MEANINGS: Final = {
    "fit": "measure here.",
    "limited": "results hold within what is said above.",
    "unfit": "do not measure here before this is mended: samples would be void or figures wrong.",
}
_LEAST_WIDTH: Final = 40
_MOST_WIDTH: Final = 100


def render_findings(items: Sequence[Item], *, width: int = 80, is_terminal: bool = False) -> str:
    """All items and the verdict over them as text, coloured only for a terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(
        file=StringIO(),
        width=min(max(width, _LEAST_WIDTH), _MOST_WIDTH),
        force_terminal=is_terminal,
        color_system="auto" if is_terminal else None,
        markup=False,
        highlight=False,
        emoji=False,
        legacy_windows=False,
    )
    grid = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(3):
        grid.add_column(overflow="fold")
    for item in items:
        text = Text(item.found)
        if item.cost:
            text.append(f"\n{item.cost}", style="dim")
        if item.mend:
            text.append(f"\nto mend: {item.mend}", style="dim")
        grid.add_row(Text(item.verdict, style=_STYLES[item.verdict]), Text(item.what), text)
    verdict = judge(items)
    counts = ", ".join(f"{sum(item.verdict == name for item in items)} {name}" for name in _STYLES)
    with console.capture() as captured:
        console.print(grid)
        console.print()
        console.print(Text(f"Overall: {verdict} ({counts}): {_MEANINGS[verdict]}", style=_STYLES[verdict]))
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())
