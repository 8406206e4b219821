"""The command `ticketjax NAME ...`: finds the command of that name and starts it."""

import importlib
import os
import sys

from ticketjax.commands import NAMES, interruption
from ticketjax.names import suggestion
from ticketjax.version import VERSION

# Set only in the process of the command, not in one that imports this module.
if os.path.basename(sys.argv[0]).removesuffix(".exe") == "ticketjax":
    interruption.install()

HELP = ("-h", "-help", "--help", "help")
USAGE = "usage: ticketjax NAME [--flag=value ...]; ticketjax NAME --help lists the flags"


def _listed() -> str:
    lines, longest = [], max(map(len, NAMES))
    for name in NAMES:
        module = importlib.import_module(f"ticketjax.commands.{name}")
        lines.append(f"  {name:{longest}} {str(module.__doc__).splitlines()[0]}")
    return "\n".join(lines)


def _refuse(problem: str) -> int:
    print(f"error: {problem}; ticketjax --help lists the names", file=sys.stderr)
    return 2


def main() -> int:
    """Start the command that the first argument names; an exit status."""
    interruption.install()
    if len(sys.argv) < 2:
        return _refuse("which command?")
    name, rest = sys.argv[1], sys.argv[2:]
    if name in HELP:
        print(f"{USAGE}\n\n{_listed()}")
        return 0
    if name == "--version":
        print(f"ticketjax {VERSION}")
        return 0
    if name not in NAMES:
        return _refuse(f"there is no command {name!r}{suggestion(name, NAMES)}")
    from ticketjax.commands.launching import start

    command = importlib.import_module(f"ticketjax.commands.{name}")
    # absl shows this docstring as help, and argv[0] as the command's name.
    sys.modules["__main__"].__doc__ = command.__doc__
    sys.argv = [f"ticketjax {name}", *rest]
    start(command)
    return 0
