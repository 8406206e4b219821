"""Summarise a results directory of any command in one offline HTML page, tables and figures.

    python -m experiments.report --results=results/singleshot
    python -m experiments.report --results=results/paper --out=report

Expect report.html, report.txt and report-*.png in the results directory, or in --out, in seconds.
"""

from ticketjax.commands import report
from ticketjax.commands.launching import start

if __name__ == "__main__":
    start(report)
