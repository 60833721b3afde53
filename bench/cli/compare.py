"""`ehrbench compare`: what changed between two runs, what several have in common, how variants of one differ."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from bench.cli.options import PLACE, TOLERANCE, Place, Tolerance
from bench.errors import BenchError
from bench.experiments.catalogue import QUESTIONS

if TYPE_CHECKING:
    from bench.report.comparison_variants import VariantsFound

_FORMS: Final = ("text", "csv", "json", "latex")
#: What `--variants` compares unless a table is named.
_TABLE: Final = "variants"


@click.command(short_help="Say what changed between runs, or how variants of one run differ.")
@click.argument("words", nargs=-1, type=Place(), metavar="RUN... [EXPERIMENT]...")
@click.option("--variants", metavar="FACTOR[=BASE,LEVEL,...]", help="Compare these levels of a factor within one run.")
@click.option("--where", multiple=True, metavar="KEY=VALUE[,...]", help="Only what has it; may be given again.")
@click.option("--measure", "measures", multiple=True, metavar="NAME", help="With --variants: throughput, cpu, ...")
@click.option("--pool", "is_pooled", is_flag=True, help="With --variants: one ratio over all other factors together.")
@click.option(
    "--tolerance",
    type=Tolerance(),
    help=f"How far apart ratios of several runs may be and still be stable, as a share.  [default: {TOLERANCE}]",
)
@click.option("--figure", type=PLACE, metavar="FILE", help="Draw the ratios: .svg, .pdf or .png.")
@click.option("--format", "form", type=click.Choice(_FORMS), default="text", show_default=True, help="How to print.")
@click.option("--all", "is_whole", is_flag=True, help="List in text and LaTeX what is unresolved or the same, too.")
def compare(
    words: tuple[str, ...],
    variants: str | None,
    where: tuple[str, ...],
    measures: tuple[str, ...],
    tolerance: float | None,
    figure: Path | None,
    form: str,
    *,
    is_pooled: bool,
    is_whole: bool,
) -> None:
    """Say what changed from run A to run B, what several runs have in common, or how variants of one run differ.

    Two runs: what changed from the first to the second.  Three or more: a column per run, and which ratios are stable
    over machines and versions.  One run with --variants rule=pos,leader,pow: levels of one factor, the first being the
    base, pair by pair from the raw repeats of a table, which may be named after the run (variants, hashes, ...).

    Absolute values are compared only if machine and versions are the same; ratios are those that each run has made
    within itself.  Runs of which an experiment asked different questions are refused.  Intervals hold for all that is
    compared at once.
    """
    if figure is not None:
        from bench.report.comparison_figure import validate_figure

        validate_figure(figure)
    if variants is not None:
        _refuse("--variants", {"--tolerance": tolerance})
        from bench.report.comparison_variants import print_variants

        print_variants(_compare_variants(words, variants, where, measures, is_pooled=is_pooled), form, figure)
        return
    _refuse("compare without --variants", {"--measure": measures, "--pool": is_pooled})
    folders, experiments = split_words(words)
    if len(folders) < 2:
        found = ", ".join(words) or "none"
        raise BenchError(f"compare: expected two runs or more, or one with --variants, found {found}")
    if len(folders) == 2 and tolerance is None:
        from bench.report.comparison import print_comparison, read_runs

        runs = read_runs(folders[0], folders[1], ("A", "B"), experiments)
        print_comparison(runs, form, where, figure, is_whole=is_whole)
        return
    from bench.report.comparison_many import print_many, read_many

    print_many(read_many(folders, experiments), form, where, tolerance or TOLERANCE, figure, is_whole=is_whole)


def _refuse(what: str, options: dict[str, object]) -> None:
    given = [name for name, value in options.items() if value]
    if given:
        raise BenchError(f"{what}: expected nothing of the kind, found {given[0]}")


def split_words(words: tuple[str, ...]) -> tuple[list[Path], list[str]]:
    """Runs and names of experiments: the first two are runs, and after them what looks like a folder."""
    runs = [word for place, word in enumerate(words) if place < 2 or _is_run(word)]
    return [Path(word) for word in runs], [word for place, word in enumerate(words) if place >= 2 and not _is_run(word)]


def _is_run(word: str) -> bool:
    """Whether a word is a path rather than a name: a folder called like an experiment is one only if it holds a run."""
    path = Path(word)
    return len(path.parts) > 1 or (path / "manifest.json").exists() or (path.exists() and word not in QUESTIONS)


def _compare_variants(
    words: Sequence[str], variants: str, where: Sequence[str], measures: Sequence[str], *, is_pooled: bool
) -> "VariantsFound":
    from bench.loading import load
    from bench.report.comparison_variants import compare_variants

    if not 1 <= len(words) <= 2:
        found = ", ".join(words) or "none"
        raise BenchError(f"--variants: expected one run, and at most one table of it, found {found}")
    table = words[1] if len(words) > 1 else _TABLE
    return compare_variants(load(words[0]), table, variants, where, measures, is_pooled=is_pooled)
