"""A results directory as tables, figures and one self-contained HTML page."""

from ticketjax.report.results import Results, find_results, read_results
from ticketjax.report.writing import Report, write_report

__all__ = ["Report", "Results", "find_results", "read_results", "write_report"]
