"""Seeds of results, and the frozen settings that seekers must have to run on them.

Functions that need JAX import it themselves, so that flags can be defined without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from absl import flags

from ticketjax.choices import MOST_SEEDS
from ticketjax.commands.flags import FLAGS, FlagError, naming
from ticketjax.tuning.seeds import FIRST_RESULT, development_seeds, result_seeds

if TYPE_CHECKING:
    from ticketjax.tuning.settings import Frozen

HOW = (
    'python -m experiments.tune --seeker="LABEL=EXPRESSION" --settings=PATH freezes one, and '
    "--settings=PATH then reads it; --development runs any setting on development seeds"
)


def define_seeds(default: int | None, text: str = "Seeds", development: bool = False) -> None:
    """Define the flags of a command that makes results.

    Args:
        default: number of seeds; None for a command that sets it differently.
        text: start of the help text of --seeds.
        development: whether development seeds are the default.
    """
    flags.DEFINE_integer(
        "seeds",
        default,
        f"{text}: {FIRST_RESULT} to {FIRST_RESULT}+N-1.",
        lower_bound=1,
        upper_bound=MOST_SEEDS,
    )
    flags.DEFINE_bool(
        "development", development, "Use seeds 0 to N-1, on which settings may be tried."
    )


def seeds(default: int = 1) -> list[int]:
    """The seeds that the flags of define_seeds() name.

    Args:
        default: number of seeds without --seeds.

    Raises:
        FlagError: more seeds than exist.
    """
    return seeds_of("seeds", FLAGS.seeds or default)


def seeds_of(flag: str, count: int) -> list[int]:
    """The first seeds of the kind that --development selects.

    Args:
        flag: the flag that sets their number.
        count: number of seeds.

    Raises:
        FlagError: more seeds than exist.
    """
    if not FLAGS.development:
        return list(result_seeds(count))
    with naming(flag):
        return development_seeds(count)


def read_frozen(path: str | None) -> dict[str, Frozen]:
    """The library's frozen settings, and those of a user's file, which override them.

    Args:
        path: the value of --settings, or None.

    Returns:
        By label.

    Raises:
        FlagError: the file cannot be read, or is no file of settings.
    """
    from ticketjax.tuning.settings import read_settings

    own: dict[str, Frozen] = {}
    if path is not None:
        with naming("settings"):
            own = read_settings(path)
    return read_settings() | own


def read_setting(label: str, text: str) -> Any:
    """The seeker of an expression in a file of settings.

    Raises:
        FlagError: it cannot be read, or a user's file that it names does not exist.
    """
    from ticketjax.commands.values import read_seeker_flag
    from ticketjax.seekers.registry import get_seeker

    try:
        return get_seeker(read_seeker_flag(text)[1])
    except ValueError as error:
        raise FlagError(f"the frozen setting of {label}, {text}: {error}") from None


def refuse_unfrozen(seekers: Mapping[str, Any], frozen: Mapping[str, Frozen]) -> None:
    """Refuse seekers that are not in a file of settings, or have changed since they were frozen.

    Args:
        seekers: by label, as get_seeker() gives them.
        frozen: by label.

    Raises:
        FlagError: naming the first seeker that may not be run on result seeds.
    """
    from ticketjax.fingerprints import own_functions
    from ticketjax.seekers.registry import seeker_text

    texts = {name: seeker_text(read_setting(name, one.setting)) for name, one in frozen.items()}
    for label, seeker in seekers.items():
        # The label may differ; only the setting has to be frozen.
        same = [name for name, text in texts.items() if text == seeker_text(seeker)]
        if not same:
            raise FlagError(
                f"{label}: {seeker_text(seeker)} is not a frozen setting, and seeds "
                f"from {FIRST_RESULT} on are for results; {HOW}"
            )
        name = label if label in same else same[0]
        one = frozen[name]
        functions = own_functions(seeker)
        if functions != one.functions:
            changed = sorted(
                function
                for function in functions | one.functions
                if functions.get(function) != one.functions.get(function)
            )
            raise FlagError(f"{name}: {', '.join(changed)} was edited since it was frozen; {HOW}")
        if not functions and read_setting(name, one.complete) != seeker:
            raise FlagError(
                f"{name}: defaults of {one.setting} have changed since it was frozen as "
                f"{one.complete}; {HOW}"
            )


def told(frozen: Mapping[str, Frozen]) -> str:
    """One line on the settings of a table: the number of tries, their seeds, and the hash.

    Args:
        frozen: those of the table, by label.
    """
    from ticketjax.tuning.settings import settings_hash

    tries = sorted({len(one.tried) for one in frozen.values() if one.tunable})
    seeds = sorted({seed for one in frozen.values() if one.tuning for seed in one.tuning.seeds})
    what = "nothing to tune" if not tries else " or ".join(map(str, tries)) + " tried of each"
    if tries == [0]:
        what = "as published, none tuned"
    where = f" on development seeds {', '.join(map(str, seeds))}" if seeds else ""
    return f"settings {settings_hash(frozen)}: {what}{where}"
