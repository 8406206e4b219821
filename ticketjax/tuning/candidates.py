"""The leaderboard's seekers, and the settings to be tried of each: plain data.

The first candidate of a seeker is the published setting, or the library's default where none is
published for such networks. Every seeker that has something to tune has as many candidates, TRIES,
all of the same number of passes over the training data. One that has nothing to tune, scores
without data and layer densities, has one.
"""

from typing import NamedTuple

TRIES = 4
# Passes over the training data in one search.
PASSES = 100
RESTARTS = 4
# A pass without gradients takes about a third of one with them.
DRAWS_PER_PASS = 3
# Scores at initialisation without anything to tune.
PLAIN = ("random", "erk", "balanced", "magnitude", "synflow")


class Line(NamedTuple):
    """A line of the leaderboard.

    Args:
        title: its name in the table and the figure.
        candidates: settings to try, as expressions; the first is the published one.
        quality: "strong" or "weak", the quality by which one of them is chosen: what the seeker is
            made for.
    """

    title: str
    candidates: tuple[str, ...]
    quality: str = "strong"


def _with(text: str, *options: str) -> tuple[str, ...]:
    """An expression, and the same with further options before its last parenthesis."""
    separator = "" if text.endswith("()") else ", "
    return (text, *(f"{text[:-1]}{separator}{option})" for option in options))


def _data_score(name: str, text: str) -> Line:
    samples = (f"score_samples={number}" for number in (400, 2000, None))
    return Line(name, _with(text, *samples), "weak")


def _rounds(title: str, text: str, other_rate: str) -> Line:
    """Pruning in rounds: more or fewer rounds of as many passes, or a higher learning rate."""
    divided = (f"rounds={n}, round_epochs={PASSES // n}" for n in (10, 20, 5))
    first, *others = (_with(text, option)[1] for option in divided)
    return Line(title, (first, *others, _with(first, other_rate)[1]), "weak")


def _annealed(title: str, text: str) -> Line:
    """Annealing that begins with cross entropy, or without it at one of three temperatures."""
    alone = "entropy_share=0.0"
    colder = f"{alone}, temperatures=(0.01, 0.0005), error_temperatures=(0.0005, 5e-06)"
    hotter = f"{alone}, temperatures=(0.04, 0.001), error_temperatures=(0.002, 2e-05)"
    return Line(title, _with(text, alone, colder, hotter))


LINES: dict[str, Line] = {
    **{name: Line(name, (f"singleshot({name})",), "weak") for name in PLAIN},
    **{name: _data_score(name, f"singleshot({name})") for name in ("snip", "grasp")},
    **{
        name: Line(name, (f"{name}(draws={DRAWS_PER_PASS * PASSES})",))
        for name in ("random_paths", "random_masks")
    },
    "synflow-100": Line("synflow, 100 rounds", ("singleshot(synflow, rounds=100)",), "weak"),
    "synflow_l2-100": Line(
        "synflow_l2, 100 rounds", ("singleshot(synflow_l2, rounds=100)",), "weak"
    ),
    "ntk_sap-20": Line("ntk_sap, 20 rounds", ("singleshot(ntk_sap, rounds=20)",), "weak"),
    "phew": Line("phew", ("phew()",), "weak"),
    "prospr": _data_score("prospr", "singleshot(prospr)"),
    "px-100": _data_score("px, 100 rounds", "singleshot(px, rounds=100)"),
    "iterative_snip": _data_score("iterative_snip", "singleshot(snip, rounds=60)"),
    "force": _data_score("force", "force()"),
    **{
        f"{name}-multishot": _rounds(
            f"{name}, multishot", f"multishot({name})", "optimizer='adam(learning_rate=0.003)'"
        )
        for name in ("magnitude", "snip", "grasp", "synflow")
    },
    # Criteria of supermasks: trained once, as published, or in rounds of as many passes.
    **{
        f"{name}-supermask": Line(
            f"{name}, supermask",
            (
                f"multishot({name}, rounds=1, round_epochs={PASSES}, scope='local')",
                f"multishot({name}, rounds=1, round_epochs={PASSES})",
                *_with(
                    f"multishot({name}, rounds=10, round_epochs={PASSES // 10})", "scope='local'"
                ),
            ),
            "weak",
        )
        for name in (
            "magnitude",
            "magnitude_same_sign",
            "magnitude_increase",
            "magnitude_increase_same_sign",
            "movement",
            "movement_same_sign",
        )
    },
    "rewinding-multishot": _rounds("rewinding, multishot", "rewinding()", "learning_rate=0.003"),
    "iterative_hard_thresholding": Line(
        "iterative_hard_thresholding",
        _with(
            f"iterative_hard_thresholding(annealed=True, epochs={PASSES})",
            *(f"learning_rate={rate}" for rate in (0.0003, 0.003, 0.01)),
        ),
        "weak",
    ),
    "rigl": Line(
        "rigl",
        _with(f"rigl(epochs={PASSES})", *("learning_rate=0.003", "fraction=0.5", "interval=500")),
        "weak",
    ),
    "sparse_evolutionary_training": Line(
        "sparse_evolutionary_training",
        _with(
            f"sparse_evolutionary_training(epochs={PASSES})",
            *("learning_rate=0.003", "fraction=0.5", "interval=1000"),
        ),
        "weak",
    ),
    "acdc": Line(
        "acdc",
        _with(
            f"acdc(epochs={PASSES})", *("learning_rate=0.003", "phase=0.1", "last_compressed=0.4")
        ),
        "weak",
    ),
    "combinatorial_brain_surgeon": Line(
        "combinatorial_brain_surgeon",
        _with(
            f"combinatorial_brain_surgeon(epochs={PASSES}, slope=False)",
            *("damp=0.01", "samples=400", "damp=1.0"),
        ),
        "weak",
    ),
    "chita": Line(
        "chita",
        _with(f"chita(epochs={PASSES})", *("damp=0.01", "samples=400", "damp=1.0")),
        "weak",
    ),
    "edge_popup-local": Line(
        "edge_popup, local",
        _with(
            f"edge_popup(annealed=True, epochs={PASSES})",
            *(f"learning_rate={rate}" for rate in (0.03, 0.3, 1.0)),
        ),
    ),
    "edge_popup-global": Line(
        "edge_popup, global",
        _with(
            f"edge_popup(annealed=True, epochs={PASSES}, normalise=True, scope='global', "
            "objective='rescaled')",
            *(f"learning_rate={rate}" for rate in (0.03, 0.3, 1.0)),
        ),
    ),
    "biprop": Line(
        "biprop",
        _with(
            f"biprop(epochs={PASSES})", "learning_rate=0.03", "learning_rate=0.3", "annealed=True"
        ),
    ),
    "probabilistic": Line(
        "probabilistic",
        _with(
            f"probabilistic(epochs={PASSES})",
            *("learning_rate=0.01", "learning_rate=0.1", "temperatures=(1.0, 0.1)"),
        ),
    ),
    "concrete": Line(
        "concrete",
        _with(
            f"concrete(epochs={PASSES})",
            *("learning_rate=0.02", "learning_rate=0.1", "dual_rate=0.003"),
        ),
    ),
    "concrete_ticket_search": Line(
        "concrete_ticket_search",
        _with(
            f"concrete_ticket_search(epochs={PASSES})",
            *("learning_rate=0.03", "learning_rate=0.3", "unit_gradients=True"),
        ),
    ),
    "relaxed_bernoulli": Line(
        "relaxed_bernoulli",
        _with(
            f"relaxed_bernoulli(epochs={PASSES})",
            *("learning_rate=0.005", "learning_rate=0.02", "dual_rate=0.003"),
        ),
    ),
    "continuous_sparsification": Line(
        "continuous_sparsification",
        _with(
            f"continuous_sparsification(epochs={PASSES})",
            *("learning_rate=0.01", "learning_rate=0.05", "dual_rate=0.003"),
        ),
    ),
    "gem_miner": Line(
        "gem_miner",
        _with(
            f"gem_miner(epochs={PASSES})",
            *("learning_rate=0.01", "learning_rate=0.1", "period=5"),
        ),
    ),
    "supermask": Line(
        "supermask",
        _with(
            f"supermask(epochs={PASSES})",
            *("learning_rate=1.0", "learning_rate=10.0", "start=-3.0"),
        ),
    ),
    "concrete-restarts": Line(
        f"concrete, {RESTARTS} restarts",
        _with(
            f"concrete(epochs={PASSES // RESTARTS}, restarts={RESTARTS})",
            *("learning_rate=0.02", "learning_rate=0.1", "dual_rate=0.003"),
        ),
    ),
    # Children times samples times generations are 100 passes of 9,000 samples, as for draws.
    "genetic": Line(
        "genetic",
        (
            "genetic(newcomers='random_masks')",
            "genetic()",
            "genetic(generations=50, samples=1024)",
            "genetic(generations=140, mutation=0.3)",
        ),
    ),
    "probabilistic-refined": Line(
        "probabilistic, refined",
        _with(
            f"refined(probabilistic(epochs={PASSES}))",
            *("temperature=0.02", "temperature=0.05", "samples=128"),
        ),
    ),
    "path_pursuit": Line(
        "path_pursuit", _with("path_pursuit()", "samples=256", "samples=1024", "width=26")
    ),
    "path_pursuit-refined": Line(
        "path_pursuit, refined",
        _with(
            "path_pursuit(exchange=True, rounds=1000)",
            *("temperature=0.01", "temperature=0.03", "samples=256"),
        ),
    ),
    "annealed": _annealed("annealed", "annealed(steps=1000, proposals=128)"),
    "concrete_ticket_search-annealed": _annealed(
        "concrete_ticket_search, annealed",
        f"annealed(concrete_ticket_search(epochs={PASSES}, learning_rate=0.3), steps=1000, "
        "proposals=128)",
    ),
}
"""By label, which is the directory of its records and the key of its setting."""
