"""From a run's files to tables, figures and pages that a person reads."""

from bench.report.build import build_report, read_report
from bench.report.model import Report
from bench.report.style import markers, new_figure, palette
from bench.report.terminal import print_summary

__all__ = ["Report", "build_report", "markers", "new_figure", "palette", "print_summary", "read_report"]
