r"""Diagnose why the ticket is not found: the search, the objective or the scope.

    ticketjax diagnose --task=circle --depth=5 --width=100 --seeds=5 \
        --seekers=random,magnitude,snip,grasp,synflow,edge_popup --out=results/diagnose

Every seeker searches at the ticket's density: with one budget and scores on 40, 400 and all
samples, with the ticket's layer densities, and started at the ticket. The command prints recall,
quality, the ratio of the losses of the found mask and the ticket under the seeker's objective, and
a verdict. Each seeker has its published objective. Expect raw outputs to be the wrong objective
for all seekers that use them: the planted ticket is exact only up to a factor.
--objective=rescaled fits the factor, and shows searches that fail.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from absl import flags

from ticketjax.choices import PRUNERS
from ticketjax.commands.flags import (
    FLAGS,
    define_networks,
    define_running,
    networks,
    running,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from ticketjax.measure.diagnosis import Case, Evidence
    from ticketjax.runs.grid import NamedSetting
    from ticketjax.runs.setting import Setting

SAMPLES = {"40": 40, "400": 400, "all": None}
# The case that verdicts are about.
BASE = "one budget, all samples"
# Folded into a seed's key, beyond a run's own numbers, to draw the parameters that are added to
# the ticket that a search starts at.
START = 1000
# The number of other parameters for every parameter of the ticket.
DILUTIONS = (1, 10)


def define() -> None:
    """Define the flags."""
    define_networks(seeds=5, seekers=(*PRUNERS, "edge_popup"))
    define_running(out="results/diagnose")
    flags.DEFINE_integer("search_epochs", None, "Epochs of searches that train.", lower_bound=1)


def _grids(fields: dict) -> dict[str, tuple[str, dict]]:
    """The grids by directory: a case's name, and fields as make_grid() takes them."""
    from ticketjax.seekers.registry import STRATEGIES

    fields = {**fields, "densities": "ticket"}
    seekers: dict[str, str | Callable] = fields["seekers"]
    scores = {label: seeker for label, seeker in seekers.items() if _score(seeker)}
    grids: dict[str, tuple[str, dict]] = {}
    for samples, number in SAMPLES.items():
        case = BASE if number is None else f"one budget, {samples} samples"
        grids[f"samples-{samples}"] = case, {"score_samples": number, "seekers": scores}
    oracle = "the ticket's layer densities"
    grids["oracle"] = oracle, {"score_samples": None, "seekers": scores, "scope": "oracle"}
    trained: dict[str, dict[str, str]] = {}
    for label, seeker in seekers.items():
        if isinstance(seeker, str) and seeker in STRATEGIES:
            trained.setdefault(next(iter(STRATEGIES[seeker])), {})[label] = seeker
    for strategy, named in trained.items():
        options = {"strategy": strategy, "seekers": named, "search_epochs": FLAGS.search_epochs}
        grids[strategy] = BASE, {**options, "scope": "global"}
        grids[f"{strategy}-oracle"] = oracle, {**options, "scope": "oracle"}
    whole = {
        label: seeker
        for label, seeker in seekers.items()
        if not isinstance(seeker, str) and not _score(seeker)
    }
    # Options apply to the others. A seeker that has its own refuses them if it is alone.
    grids["own"] = BASE, {"seekers": whole, **({"options": {}} if scores or trained else {})}
    return {
        f"{FLAGS.out}/{name}": (case, {**fields, **options})
        for name, (case, options) in grids.items()
        if options["seekers"]
    }


def _score(seeker: str | Callable) -> Callable | None:
    """The score of a name, or a user's score; None for whole seekers."""
    from ticketjax.seekers.registry import SCORES, is_seeker

    if isinstance(seeker, str):
        return SCORES.get(seeker)
    return None if is_seeker(seeker) else seeker


def _starts(
    seeker: str | Callable, setting: Setting, noise: float, seeds: list[int]
) -> dict[str, np.ndarray]:
    """The kept fraction of the ticket after starting at it, by case, (seeds,); or nothing."""
    import jax
    import numpy as np

    from ticketjax.measure import diagnosis
    from ticketjax.runs.instance import make_instance
    from ticketjax.runs.programs import run_key

    def recalls(keep):
        def one(seed):
            key = run_key(seed)
            instance = make_instance(setting, key, noise)
            problem = setting.problem(instance.planted.params, instance.train)
            return keep(jax.random.fold_in(key, START), problem, instance.planted)

        # Sequential, because one search over all samples already uses the whole CPU.
        return np.asarray(jax.jit(lambda seeds: jax.lax.map(one, seeds))(np.array(seeds)))

    score = _score(seeker)
    if score:

        def keep_diluted(key, problem, planted):
            def at(dilution):
                return diagnosis.kept_from_ticket(key, score, problem, planted, dilution)

            return jax.vmap(at)(np.array(DILUTIONS, np.float32))

        kept = recalls(keep_diluted).T
        names = (
            f"at the ticket, {n} other{'s' * (n > 1)} for each (chance {1 / (1 + n):.2f})"
            for n in DILUTIONS
        )
        return dict(zip(names, kept, strict=True))
    if seeker == "edge_popup":
        epochs = FLAGS.search_epochs or diagnosis.EPOCHS

        def keep(key, problem, planted):
            return diagnosis.popup_from_ticket(key, problem, planted, epochs)

        return {"at the ticket, its scores the largest": recalls(keep)}
    return {}


def _case(seeker: str, name: str, rows: list[dict]) -> Case:
    import numpy as np

    from ticketjax.measure.diagnosis import Case, loss_ratio

    columns = ("recall", "strong_metric", "weak_metric", "found_objective", "planted_objective")
    recall, strong, weak, *losses = (np.array([row[name] for row in rows]) for name in columns)
    ratio = loss_ratio(*losses)
    return Case(seeker, name, {"recall": recall, "strong": strong, "weak": weak, "ratio": ratio})


def _evidence(rows: list[dict], case: Case, kept: np.ndarray | None) -> Evidence:
    import numpy as np

    from ticketjax.measure.diagnosis import Evidence
    from ticketjax.records.statistics import intervals_of_means

    ratios = case.measures["ratio"]
    bounds = intervals_of_means(ratios[None])[:, 0]
    # Fewer than five seeds have no interval. Then all of them must agree for a verdict.
    bounds = np.where(np.isfinite(bounds), bounds, [ratios.min(), ratios.max()])
    return Evidence(
        recall=float(case.measures["recall"].mean()),
        recovered=float(np.mean([bool(row["found"]) for row in rows])),
        feasible_recall=float(np.mean([row["feasible_recall"] for row in rows])),
        ratio=tuple(10.0**bounds),
        kept=None if kept is None else float(kept.mean()),
    )


def _diagnose(
    named: NamedSetting,
    noise: float,
    seeds: list[int],
    seekers: dict[str, str | Callable],
    cases: dict[str, list[dict]],
) -> None:
    """Print and draw one place; `cases` has the records of all seekers, as rows, by name."""
    import numpy as np

    from ticketjax.base import CLASSIFICATION
    from ticketjax.figures import draw_diagnosis
    from ticketjax.measure.diagnosis import Case, verdict
    from ticketjax.records.statistics import mean_of_finite
    from ticketjax.records.store import write_whole
    from ticketjax.records.tables import case_table
    from ticketjax.records.titles import place_name, place_title

    task = named.setting.task
    accuracy = task.kind == CLASSIFICATION
    collected: list[Case] = []
    verdicts = {}
    for label, seeker in seekers.items():
        own = {
            name: [row for row in rows if row["seeker"] == label] for name, rows in cases.items()
        }
        looked = {name: _case(label, name, rows) for name, rows in own.items() if rows}
        starts = _starts(seeker, named.setting, noise, seeds)
        collected += looked.values()
        collected += [Case(label, name, {"recall": kept}) for name, kept in starts.items()]
        farthest = next(reversed(starts.values()), None)
        evidence = _evidence(own[BASE], looked[BASE], farthest)
        verdicts[label] = verdict(evidence)
    place = place_title(_place(named, noise))
    rows = cases[BASE]
    metric = mean_of_finite(np.array([row["ticket_metric"] for row in rows]))
    objective = f"objective {FLAGS.objective or 'as published'}"
    text = "\n".join(
        [
            f"{place}: at the ticket's density, {rows[0]['density']:.2g}; {objective}; bare ticket "
            f"{metric:.3g}",
            f"mean [95% interval of the mean] of {len(seeds)} seeds",
            case_table(collected, verdicts, accuracy),
        ]
    )
    name = f"{FLAGS.out}/diagnosis-{place_name(_place(named, noise))}"
    write_whole(f"{name}.txt", lambda file: file.write(f"{text}\n".encode()))
    title = f"{place}, {objective}: why is the ticket not found?"
    draw_diagnosis(collected, metric, f"{name}.png", accuracy=accuracy, title=title)
    print(f"{text}\n\nfigure: {name}.png\ntable: {name}.txt\n")


def _place(named: NamedSetting, noise: float) -> dict:
    identity = dict(zip(("task", "model", "depth", "width"), named.identity, strict=True))
    return {**identity, "noise": noise}


def main() -> int:
    """Run what is missing of every case; print and draw a diagnosis of every place."""
    from ticketjax.commands.running import grid_of, run_grids
    from ticketjax.sweeping import records_of

    fields = {**networks(), **running()}
    cases_of = _grids(fields)
    grids = {directory: grid_of(**options) for directory, (_, options) in cases_of.items()}
    if run_grids(grids) is None:
        return 0
    # The directories may contain other records too.
    records = {
        directory: records_of(wanted, directory).to_pylist() for directory, wanted in grids.items()
    }
    first = next(iter(grids.values()))
    seeds = list(first.axis("seeds"))
    for named, noise in itertools.product(first.settings(), first.axis("noise")):
        here = _place(named, noise)
        cases: dict[str, list[dict]] = {}
        for directory, (case, _) in cases_of.items():
            cases.setdefault(case, []).extend(
                row
                for row in records[directory]
                if all(row[name] == value for name, value in here.items())
            )
        _diagnose(named, noise, seeds, fields["seekers"], cases)
    return 0
