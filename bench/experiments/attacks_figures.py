"""A matrix of attacks and protections: what succeeded, in colour and in words."""

from typing import Any, Final

from bench.attacks.birthday import MEAN_FACTOR
from bench.experiments.base import Drawing, Frame, Tables
from bench.experiments.processes import reach_of

#: Outcome -> fill and text: Okabe and Ito's orange and blue, which colour-blind readers tell apart, and a light grey.
_LOOKS: Final = {
    "succeeded": ("#D55E00", "white"),
    "refused or detected, by what": ("#0072B2", "white"),
    "no effect": ("#d9d9d9", "black"),
    "not as theory says": ("black", "white"),
}


def draw_matrix(frame: Frame, row_height_in: float = 0.17) -> Drawing:
    """Rows are attacks, columns protections, cells what came of the tries under all variants, worst first.

    A cell that is not as theory says is black.
    """
    from bench.report.style import new_figure

    attacks, protections = (list(dict.fromkeys(frame[name])) for name in ("attack", "protection"))
    if not attacks:
        raise ValueError("no attack was played")  # of a run that was stopped; an empty picture says nothing
    figure, axes = new_figure("page", 0.8 + row_height_in * len(attacks))
    for y, attack in enumerate(attacks):
        for x, protection in enumerate(protections):
            part = frame[frame["attack"].eq(attack) & frame["protection"].eq(protection)]
            if not part.empty:
                outcome, words = describe_cell(part)
                fill, text = _LOOKS[outcome]
                axes.add_patch(_rectangle(x, y, fill))
                axes.text(x, y, words, ha="center", va="center", color=text, fontsize=6)
    axes.set(xlim=(-0.5, len(protections) - 0.5), ylim=(len(attacks) - 0.5, -0.5))
    axes.set_xticks(range(len(protections)), protections)
    axes.set_yticks(range(len(attacks)), attacks)
    axes.xaxis.tick_top()
    axes.grid(visible=False)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    shown = [_rectangle(0, 0, fill) for fill, _ in _LOOKS.values()]
    figure.legend(shown, list(_LOOKS), loc="outside lower center", ncols=len(_LOOKS))
    return figure


def describe_cell(part: Frame) -> tuple[str, str]:
    """The outcome of some rows, which says how a cell looks, and the words in it."""
    succeeded, detected, tries = (int(part[name].sum()) for name in ("succeeded", "detected", "tries"))
    where = next((str(name).partition(" (and")[0] for name in part["where"] if name), "")
    is_one = {*part["where"]} == {where}
    if succeeded:
        outcome, words = "succeeded", f"succeeded {succeeded} of {tries}"
    elif detected:
        outcome, words = "refused or detected, by what", f"{detected} of {tries}: {where}{'' if is_one else ', ...'}"
    else:
        outcome, words = "no effect", f"no effect {tries}"
    return outcome if part["holds"].all() else "not as theory says", words


def _rectangle(x: int, y: int, fill: str) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.49, y - 0.46), 0.98, 0.92, facecolor=fill, edgecolor="none")


def draw_birthday(tables: Tables) -> Drawing:
    """Mean tries of the searches by bits and protection with intervals, over theory below."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    from bench.report.style import markers, new_figure, palette

    frame = tables["collisions_searches"]
    protections, sizes = list(dict.fromkeys(frame["protection"])), sorted(set(frame["bits"]))
    colours, shapes = palette(protections), markers(protections)
    figure, (upper, lower) = new_figure("column", 3.9, nrows=2, sharex=True, height_ratios=(3, 2))
    upper.plot(sizes, [MEAN_FACTOR * 2 ** (bits / 2) for bits in sizes], color="black", linestyle="--", label="theory")
    for place, name in enumerate(protections):
        part = frame[frame["protection"] == name]
        spots = part["bits"] + 0.6 * (place - (len(protections) - 1) / 2)
        style: dict[str, Any] = {"color": colours[name], "marker": shapes[name], "linestyle": "none"}
        # Beside each other only below, where the line is level: above, a place is a number of bits.
        upper.plot(part["bits"], part["ratio"] * part["theory"], label=name, alpha=0.8, **style)
        lower.errorbar(spots, part["ratio"], yerr=reach_of(part, "ratio"), **style)
    lower.axhline(1, color="black", linestyle="--", linewidth=0.8)
    upper.set(yscale="log", ylabel="Hashes until a collision")
    upper.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    lower.set(xlabel="Bits of the digest", ylabel="Over theory", xticks=sizes, yscale="log")
    lower.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    lower.yaxis.set_minor_locator(NullLocator())
    lower.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    figure.legend(*upper.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure
