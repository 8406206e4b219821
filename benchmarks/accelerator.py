"""Runs per second on the device that JAX finds, and the training's share of the device's rates.

    python -m benchmarks.accelerator --chunk_sizes=auto,2048 --seeds=25

Runs Figure 3's grid (three tasks, five pruners, five densities; `--seeds` of each) twice for every
chunk size, in a separate process: first with compilation, then without. Prints runs per second for
both, the runs that a device computes at once (its memory decides, not the chunk), the FLOP/s of
Circle's training phase with that many and their share of the device's own float32 products, and the
most memory that a device used, next to its limit. Needs only ticketjax. About 3 minutes for each
chunk size on a GPU, 8 on two cores.
"""

from absl import flags

from ticketjax.commands.flags import FLAGS, naming
from ticketjax.commands.launching import launch

flags.DEFINE_list("chunk_sizes", ["auto"], 'Runs per device between two writes, or "auto".')
flags.DEFINE_integer("seeds", 25, "Seeds of the grid.", lower_bound=1)
flags.DEFINE_list("task", ["circle", "relu", "helix"], "Tasks of the grid.")
flags.DEFINE_integer("epochs", 10, "Epochs of the final training.", lower_bound=1)
flags.DEFINE_integer("repeats", 3, "Turns of the training phase.", lower_bound=1)


def _training_rate(setting, width: int, runs: int, repeats: int) -> list[float]:
    """FLOP/s of training at full width, `runs` at once on each device, for each turn."""
    import jax

    from benchmarks import phases, work
    from benchmarks.timing import seconds

    make, seeds = phases.make_instances(setting, runs)
    training = phases.make_training(setting, width)
    instances = make(seeds)
    # The planted mask, as an example: a masked network takes as long as a dense one.
    planted = instances.planted.mask
    jax.block_until_ready(training(instances, planted))
    epochs, steps, batch_size = instances.order.shape[-3:]
    sizes = phases.sizes_of(setting.parameter_shapes)
    flop = work.training(sizes, epochs * steps, batch_size).flop * seeds.size
    return [flop / seconds(lambda: training(instances, planted)) for _ in range(repeats)]


def measure(task: list[str], epochs: int, seeds: int, chunk_size: int | str, repeats: int) -> dict:
    """Measure one chunk size, in this process."""
    import jax

    import ticketjax as tj
    from benchmarks import limits
    from benchmarks.fresh import peak_device_memory, peak_memory
    from benchmarks.machine import describe
    from benchmarks.timing import seconds
    from ticketjax.runs.batches import batch_size
    from ticketjax.runs.engine import run

    grid = tj.make_grid(task=task, epochs=epochs, seeds=seeds, chunk_size=chunk_size)
    first, second = (
        seconds(lambda: sum(records.num_rows for records in run(grid))) for _ in range(2)
    )
    # Read first, before other programs can use more memory.
    on_device, in_process = peak_device_memory(), peak_memory()
    circle = tj.make_grid(task="circle", epochs=epochs, seeds=1).settings()[0]
    at_once = batch_size(circle, circle.width, jax.local_devices()[0])
    products, size = limits.product_rate()
    stats = jax.local_devices()[0].memory_stats() or {}
    return {
        "machine": describe(),
        "runs": grid.runs,
        "first": first,
        "second": second,
        "at_once": at_once,
        "training": _training_rate(circle.setting, circle.width, at_once, repeats),
        "products": products,
        "product_size": size,
        "peak_device_memory": on_device,
        "device_memory": stats.get("bytes_limit"),
        "peak_memory": in_process,
    }


def _chunk_sizes() -> list[int | str]:
    with naming("chunk_sizes"):
        for size in FLAGS.chunk_sizes:
            if size != "auto" and not (size.isdecimal() and int(size) > 0):
                raise ValueError('must be whole numbers of at least 1, or "auto"')
    return [size if size == "auto" else int(size) for size in FLAGS.chunk_sizes]


def _memory(size: int | None) -> str:
    return "-" if size is None else f"{size / 2**20:,.0f}"


def main() -> int:
    """Measure every chunk size, print a table."""
    import statistics

    from benchmarks import fresh

    head = True
    for chunk_size in _chunk_sizes():
        try:
            point = fresh.call(
                "benchmarks.accelerator",
                "measure",
                task=FLAGS.task,
                epochs=FLAGS.epochs,
                seeds=FLAGS.seeds,
                chunk_size=chunk_size,
                repeats=FLAGS.repeats,
            )
        except fresh.Failure as failure:
            print(f"{chunk_size:>6}  failed: {failure}", flush=True)
            continue
        if head:
            print(
                f"{point['machine']}\n"
                f"{point['runs']:,} runs of {FLAGS.epochs} epochs; tasks: {', '.join(FLAGS.task)}; "
                f"seeds: {FLAGS.seeds}; each device has {_memory(point['device_memory'])} MiB\n"
            )
            print(f"{'chunk':>6}{'at':>7}{'runs/s with':>13}{'runs/s':>9}{'first,':>8}", end="")
            print(f"{'second,':>9}{'training':>10}{'products (size)':>18}{'share':>7}", end="")
            print(f"{'MiB of a':>10}{'MiB of':>9}")
            print(f"{'size':>6}{'once':>7}{'compilation':>13}{'':>9}{'s':>8}{'s':>9}", end="")
            print(f"{'GFLOP/s':>10}{'GFLOP/s':>18}{'':>7}{'device':>10}{'process':>9}")
            head = False
        training = statistics.median(point["training"])
        products = f"{point['products'] / 1e9:,.0f} ({point['product_size']})"
        print(
            f"{chunk_size:>6}{point['at_once']:>7,}{point['runs'] / point['first']:>13.1f}"
            f"{point['runs'] / point['second']:>9.1f}{point['first']:>8.1f}{point['second']:>9.1f}"
            f"{training / 1e9:>10,.1f}{products:>18}{training / point['products']:>7.1%}"
            f"{_memory(point['peak_device_memory']):>10}{_memory(point['peak_memory']):>9}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    launch(main)
