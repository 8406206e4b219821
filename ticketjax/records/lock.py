"""A lock on a file that is released when its process ends, even by a kill."""

import datetime
import errno
import fcntl
import os
import pathlib
import platform
import warnings
import weakref

# Some network file systems have no locks.
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
# Most bytes of the line that names the holder of a lock.
LONGEST = 1000


class InUse(ValueError):
    """Another process holds the lock; the message names it."""


class Lock:
    """An exclusive lock, held as long as this object lives.

    The kernel manages it (flock), so nothing has to be removed after a kill or a power failure;
    on NFS it also excludes other hosts. The file names the holder, and is never removed.
    """

    def __init__(self, path: pathlib.Path, wait: bool):
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._close = weakref.finalize(self, os.close, file)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            holder = os.pread(file, LONGEST, 0).decode(errors="replace").strip()
            self._close()
            raise InUse(f"{path.parent} is in use by {holder or 'another process'}") from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            warnings.warn(
                f"{path.parent} is on a file system without locks: run one process on it at a time",
                stacklevel=4,
            )
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        os.ftruncate(file, 0)
        os.pwrite(file, f"process {os.getpid()} on {platform.node()}, since {now}\n".encode(), 0)


_held: weakref.WeakValueDictionary[pathlib.Path, Lock] = weakref.WeakValueDictionary()


def lock(path: pathlib.Path, wait: bool = False) -> Lock:
    """Lock a file, and create it if needed. Later calls in the same process return the same lock.

    Args:
        path: of the file.
        wait: whether to wait for another process to end, instead of raising InUse.

    Returns:
        The Lock of this process.

    Raises:
        InUse: another process holds it.
        OSError: the file cannot be written.
    """
    path = path.resolve()
    held = _held.get(path)
    if held is None:
        held = _held[path] = Lock(path, wait)
    return held
