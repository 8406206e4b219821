"""Ctrl-C and SIGTERM end a command at once, whatever it is doing: importing, compiling, computing.

So does a reader of its output that ends first, as in `ticketjax --help | head`, without a message.

Python runs signal handlers between two steps of its main thread. While XLA compiles, that is
seconds late, and an exception raised in a callback within XLA is lost or crashes the process.
Therefore the C handler writes the signal's number into a pipe, and a thread that reads the pipe
ends the process immediately. This is safe: files are written under temporary names and renamed, and
locks end with the process.

Only the standard library is imported, so that this module can be imported before all others.
"""

import atexit
import contextlib
import os
import select
import signal
import sys
import threading

RESUME = "finished runs are kept: the same command resumes there"
SIGNALS = (signal.SIGINT, signal.SIGTERM)
# The process must end even if nobody reads the pipe.
SECONDS_TO_FLUSH = 0.2

_listening = False


def install() -> None:
    """Let the signals end this process, with status 128 + the signal's number.

    It must be called in the main thread, and again if other code has set a handler for a signal
    since. A signal that is ignored from the start, as SIGINT is in a shell's background job, stays
    ignored.
    """
    global _listening
    if not _listening:
        _listening = True
        told, tell = os.pipe()
        os.set_blocking(tell, False)
        signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
        threading.Thread(target=_listen, args=(told,), daemon=True).start()
        # Exit functions run in reverse order: the first one registered is called last.
        atexit.register(_ignore_from_now_on)
        sys.excepthook = _show
        atexit.register(output_is_closed)
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _leave_it_to_the_thread)


def output_is_closed() -> bool:
    """Whether nobody reads standard output any more; the rest of the output is then dropped."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        poll = select.poll()
        poll.register(sys.stdout, 0)
        if any(event & select.POLLERR for _, event in poll.poll(0)):
            # Python writes what is left of its buffer when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return True
    return False


def _show(kind, error, traceback) -> None:
    if not (isinstance(error, BrokenPipeError) and output_is_closed()):
        sys.__excepthook__(kind, error, traceback)


def _ignore_from_now_on() -> None:
    # All work is done, and the thread does not run while Python ends. If a Python handler were
    # still set, Python would restore the default one, and a signal would replace the exit status.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _leave_it_to_the_thread(*_) -> None:
    # Python writes to the pipe only for signals that have a handler.
    pass


def _listen(told: int) -> None:
    while True:
        number = os.read(told, 1)[0]
        if number in SIGNALS:
            _leave(number)


def _leave(number: int) -> None:
    # Output stays in Python's buffer if standard output is a file or a pipe.
    flushing = threading.Thread(target=_flush, daemon=True)
    with contextlib.suppress(RuntimeError):  # no threads any more: Python is ending
        flushing.start()
        flushing.join(SECONDS_TO_FLUSH)
    # The terminal shows ^C on this line.
    bar = getattr(sys.modules.get("ticketjax.progress"), "line_is_begun", False)
    newline = "\n" if bar or os.isatty(2) else ""
    with contextlib.suppress(OSError):
        os.write(2, f"{newline}stopped; {RESUME}\n".encode())
    os._exit(128 + number)


def _flush() -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
