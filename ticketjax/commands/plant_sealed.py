"""Plant the sealed suite: its public instances, and the files that its organiser keeps."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Any

from ticketjax.commands.flags import FLAGS, FlagError, naming
from ticketjax.commands.instance_files import reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ticketjax.sharing.sealed import Entry
    from ticketjax.sharing.suite_v2 import Group

# A shorter one could be found by trial.
FEWEST_BYTES = 32
MOST_BYTES = 2**20


def read_secret() -> bytes:
    """The secret that --secret names.

    Raises:
        FlagError: it is missing, or too short.
    """
    if FLAGS.secret is None:
        raise FlagError("--secret: a sealed suite needs a file of at least 32 random bytes")
    path = pathlib.Path(FLAGS.secret)
    try:
        with open(path, "rb") as file:
            secret = file.read(MOST_BYTES)
    except OSError as error:
        raise FlagError(f"--secret={path}: {error.strerror}") from None
    if len(secret) < FEWEST_BYTES:
        raise FlagError(
            f"--secret={path}: must be at least {FEWEST_BYTES} random bytes, got {len(secret)}; "
            f"head -c {FEWEST_BYTES} /dev/urandom > {path} makes some"
        )
    return secret


def plant_sealed(
    secret: bytes, directory: pathlib.Path, groups: Sequence[Group], url: str | None = None
) -> int:
    """Write a sealed suite; instances that are complete already are kept.

    Args:
        secret: determines the whole suite.
        directory: the directory to write to.
        groups: of the suite.
        url: the address where it will be published, if known.

    Returns:
        0.

    Raises:
        FlagError: the directory has other contents, or cannot be written.
    """
    from tqdm import tqdm

    from ticketjax.records.columns import aligned
    from ticketjax.sharing import croissant, sealed, suite_scores, suite_v2

    with reading("out"):
        date = sealed.begin(directory, secret)
    names = suite_v2.names_of(secret, groups)
    total = sum(map(len, names.values()))
    entries: dict[str, Entry] = {}
    audits: dict[str, Any] = {}
    with tqdm(total=total, unit="instance") as shown:
        for group in groups:
            _write_missing(directory, secret, group, names[group.name])
            networks, targets = [], []
            for name in names[group.name]:
                with reading("out"):
                    entries[name], unsealed = sealed.entry_of(directory, name)
                networks.append((unsealed.tree["params"], unsealed.answer["mask"]))
                targets.append(unsealed.answer["target"])
                shown.update()
            audits[group.name] = suite_scores.audit_of(networks, targets)
    with reading("out"):
        sealed.finish(directory, names, entries, audits)
        croissant.write(directory, entries, date, url)
    print(
        f"{suite_v2.NAME}: {total} instances in {directory}/{sealed.PUBLIC}, to be published; "
        f"their masks, seeds and held-out data in {directory}/{sealed.SEALED}, to be kept secret\n"
    )
    print("\n".join(aligned(suite_scores.audit_lines(audits))))
    return 0


def _write_missing(
    directory: pathlib.Path, secret: bytes, group: Group, names: Sequence[str]
) -> None:
    """Make the instances of a group whose two files are missing or incomplete."""
    from ticketjax.sharing import sealed, suite_v2

    missing = {name for name in names if not _is_whole(directory, name)}
    if not missing:
        return
    with naming("secret"):
        # The whole group at once, even if few are missing: one compilation.
        made = suite_v2.make_group(secret, group, names)
    with reading("out"):
        for one in made:
            if one.name in missing:
                sealed.write_made(directory, one, group.name)


def _is_whole(directory: pathlib.Path, name: str) -> bool:
    from ticketjax.sharing import sealed

    try:
        sealed.entry_of(directory, name)
    except (ValueError, OSError):
        return False
    return True
