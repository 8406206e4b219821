r"""Summarise a results directory of any command in one offline HTML page, tables and figures.

    ticketjax report --results=results/singleshot
    ticketjax report --results=results/paper --out=report

The command writes report.html, report.txt and report-*.png into the results directory, or into
--out. The page works offline and needs no other file. It has figures, a sortable table, warnings
about missing, diverged or damaged runs, the command to reproduce the results, configuration and
environment. A directory of several grids, as paper and leaderboard write, gives one page.
"""

import difflib
import pathlib

from absl import flags

from ticketjax.commands.flags import FLAGS, FlagError, naming


def define() -> None:
    """Define the flags."""
    flags.DEFINE_string("results", None, "Results directory, or a directory of them.")
    flags.DEFINE_string("out", None, "Directory of the report; the results directory by default.")


def check_directory(directory: pathlib.Path) -> None:
    """Refuse a path that is no directory, and suggest one with a similar name."""
    if directory.is_dir():
        return
    beside = directory.parent.iterdir() if directory.parent.is_dir() else ()
    names = [path.name for path in beside if path.is_dir()]
    near = difflib.get_close_matches(directory.name, names, n=1)
    hint = f" (did you mean {str(directory.parent / near[0])!r}?)" if near else ""
    raise ValueError(f"there is no such directory{hint}")


def main() -> int:
    """Read the results, write the page, print the tables and the warnings."""
    if not FLAGS.results:
        raise FlagError("--results: which directory? For example --results=results/singleshot")
    directory = pathlib.Path(FLAGS.results)
    out = pathlib.Path(FLAGS.out or FLAGS.results)
    with naming("results"):
        check_directory(directory)
    if out.exists() and not out.is_dir():
        raise FlagError(f"--out={out}: is not a directory")
    from ticketjax.commands.again import command_of
    from ticketjax.report import find_results, read_results, write_report

    with naming("results"):
        results = [read_results(found) for found in find_results(directory)]
    commands = [
        command_of(one.configuration, str(one.directory)) if one.configuration else None
        for one in results
    ]
    try:
        report = write_report(directory, results, commands, out)
    except OSError as error:
        raise FlagError(f"--out={out}: {error}") from None
    print(f"{report.text}\n")
    for name, notices in report.notices.items():
        for notice in notices:
            print(f"{name}: {notice.text}")
            for line in notice.details:
                print(f"    {line}")
    print(f"\npage: {report.page}\ntable: {report.table}")
    for path in report.figures:
        print(f"figure: {path}")
    return 0
