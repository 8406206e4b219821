"""Tables, figures and one HTML page of a results directory, whichever command has written it.

    python -m experiments.report --results=results/singleshot
    python -m experiments.report --results=results/paper --out=report

Expect report.html, report.txt and report-*.png, into the results directory unless --out says
otherwise. Takes seconds.
"""

from ticketjax.commands import report
from ticketjax.commands.flags import start

if __name__ == "__main__":
    start(report)
