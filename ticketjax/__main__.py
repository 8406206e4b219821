"""The command as `python -m ticketjax NAME ...`."""

import sys

from ticketjax.commands import interruption

if __name__ == "__main__":
    interruption.install()
    from ticketjax.commands.main import main

    sys.exit(main())
