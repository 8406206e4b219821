"""The time of a run's phases, and how near each comes to the machine's limits.

    python -m benchmarks.roofline --seeds=8

Prints the machine's own rates of float32 products and of copies; for each phase of Figure 3's grid
of Circle (depth 5, width 100) its time per run, its minimum FLOP and bytes (`benchmarks/work.py`
says how they are counted), both per second, and their share of the machine's rates; then the total
time of the phases compared with that of a sweep. About 4 minutes on two cores.
"""

import statistics

from absl import flags

from ticketjax.commands.flags import FLAGS
from ticketjax.commands.launching import launch

flags.DEFINE_integer("repeats", 5, "Turns of every phase.", lower_bound=1)
flags.DEFINE_integer("runs_at_once", 8, "On each device; a GPU wants hundreds.", lower_bound=1)
flags.DEFINE_integer("seeds", 8, "Seeds of the sweep to compare with; 0: none.", lower_bound=0)
flags.DEFINE_list("densities", ["ticket", "0.01", "0.1", "0.5", "1"], "Those of the grid.")
flags.DEFINE_integer("epochs", 10, "Epochs of the final training.", lower_bound=1)
flags.DEFINE_integer("width", 100, "Neurons of every hidden layer.", lower_bound=8)

# Above this share of a rate, little is left to gain.
DOMINATED = 0.5


def _print_limits(width: int, runs: int) -> tuple[float, float]:
    """Measure and print the machine's rates; return products in FLOP/s and copies in bytes/s."""
    from benchmarks import limits
    from ticketjax.training import BATCH_SIZE

    products, size = limits.product_rate()
    own = limits.network_product_rate(width, BATCH_SIZE, runs)
    memory, cache = limits.copy_rate(), limits.copy_rate(limits.CACHE_BYTES)
    print(
        f"products, the best of square sizes ({size}): {products / 1e9:.1f} GFLOP/s\n"
        f"products of the network's own size, ({width}, {width}) by ({width}, {BATCH_SIZE}), "
        f"{runs} at once: {own / 1e9:.1f} GFLOP/s\n"
        f"copies in memory: {memory / 1e9:.1f} GB/s, read and written; "
        f"within {limits.CACHE_BYTES >> 20} MiB: {cache / 1e9:.1f} GB/s\n"
    )
    return products, memory


def main() -> int:
    """Measure the machine, then the phases; print a table and the dominant part of each phase."""
    from benchmarks import phases
    from benchmarks.machine import describe
    from benchmarks.timing import in_turns, seconds, spread
    from ticketjax import make_grid
    from ticketjax.runs.engine import run

    densities = [d if d == "ticket" else float(d) for d in FLAGS.densities]
    grid = make_grid(
        width=FLAGS.width, densities=densities, epochs=FLAGS.epochs, seeds=max(FLAGS.seeds, 1)
    )
    print(describe())
    print(f"repeats: {FLAGS.repeats}, runs at once on each device: {FLAGS.runs_at_once}\n")
    products, memory = _print_limits(FLAGS.width, FLAGS.runs_at_once)

    parts = phases.of_grid(grid, FLAGS.runs_at_once)
    _, turns = in_turns(
        {part.name: lambda p=part: seconds(p.program) / p.executions for part in parts},
        FLAGS.repeats,
    )
    per_network = grid.runs_per_instance
    print(f"{'':23}{'times per':>10}{'ms each,':>26}{'ms per':>8}{'MFLOP':>9}{'MB':>8}", end="")
    print(f"{'GFLOP/s':>9}{'GB/s':>8}{'share of':>10}{'share of':>10}")
    print(f"{'phase':23}{f'{per_network} runs':>10}{'median [min, max]':>26}{'run':>8}", end="")
    print(f"{'each':>9}{'each':>8}{'':>9}{'':>8}{'products':>10}{'copies':>10}")
    total, verdicts = 0.0, []
    for part in parts:
        each = statistics.median(turns[part.name])
        per_run = each * part.times / per_network
        total += per_run
        flops, rate = part.work.flop / each, part.work.bytes / each
        shares = {"arithmetic": flops / products, "memory": rate / memory}
        milliseconds = spread([1e3 * value for value in turns[part.name]])
        print(
            f"{part.name:23}{part.times:>10.2f}{milliseconds:>26}{1e3 * per_run:>8.3f}"
            f"{part.work.flop / 1e6:>9.1f}{part.work.bytes / 1e6:>8.2f}"
            f"{flops / 1e9:>9.2f}{rate / 1e9:>8.2f}"
            f"{shares['arithmetic']:>10.1%}{shares['memory']:>10.1%}"
        )
        most = max(shares, key=shares.get)
        neither = f"neither; besides products: {part.besides}"
        verdicts.append(f"{part.name}: {most if shares[most] >= DOMINATED else neither}")
    print(f"{'together':23}{'':>36}{1e3 * total:>8.3f}")
    if FLAGS.seeds:
        _, sweeps = in_turns({"sweep": lambda: seconds(lambda: list(run(grid)))}, repeats=1)
        per_run = sweeps["sweep"][0] / grid.runs
        print(f"{f'a sweep of {grid.runs} runs':23}{'':>36}{1e3 * per_run:>8.3f}")
    print(f"\nDominated by (a share of at least {DOMINATED:.0%}):")
    print("\n".join(verdicts))
    print("A share of copies may pass 100%: arrays that stay in caches are moved faster than that.")
    return 0


if __name__ == "__main__":
    launch(main)
