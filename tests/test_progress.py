"""The progress that is shown during runs, and the summary at the end."""

import jax
import jax.numpy as jnp
import pytest

from ticketjax.compiling import Compiling
from ticketjax.progress import progress, summary


def test_summary_by_hand():
    assert summary(150, 60.0, 45.04) == "150 runs in 60.0 s, 2.5 per second; 45.0 s of it compiling"
    assert summary(1, 3.0, 0.0) == "1 run in 3.0 s, 0.333 per second; 0.0 s of it compiling"


def test_the_bar_says_what_is_done_and_the_end_what_it_took(capsys):
    with progress(total=3, finished=1) as shown:
        shown.name("singleshot")
        shown.tell("relu: compiling snip, 3 of 8")
        shown.add(2)
    bar, summed = capsys.readouterr().err.rsplit("\n", 2)[:2]
    assert "singleshot" in bar and "relu: compiling snip, 3 of 8" in bar and "3/3" in bar
    assert summed.startswith("2 runs in ")


@pytest.mark.parametrize(("finished", "quiet"), [(3, False), (0, True)])
def test_nothing_is_said_of_nothing(capsys, finished, quiet):
    with progress(total=3, finished=finished, quiet=quiet):
        pass
    assert " in " not in capsys.readouterr().err


def test_compilation_is_counted_within_its_block_alone():
    with Compiling() as compiling:
        jax.jit(lambda x: jnp.sin(x) + 1.25)(1.0)
        within = compiling.total()
    assert within > 0 and compiling.seconds["programs"] >= 1
    jax.jit(lambda x: jnp.sin(x) + 2.25)(1.0)
    assert compiling.total() == within
