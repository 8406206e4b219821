"""The engine's programs, compiled for accelerators that are not present: memory, kernels, bytes.

    python -m benchmarks.ahead --targets=v5e:2x2,h100 --runs=128,512 --compilers=DIR

For every target and number of runs at once on each device, compiles the programs of a grid of
Circle (depth 5, width 100) with the target's own compiler: training and measuring, making the
instances, the programs that all searches share, and the scores or searches of `--seekers`. Prints
the seconds of compilation and, for each device, the memory and the size of the code as the compiler
reports them; collectives and transfers to the host, of which there must be none; and for a step of
the training the kernels, the bytes that they move in the device's memory, the FLOP of its products,
and the time of these at the rates that the device's maker publishes. Nothing is run. BUILD.md says
how to install the compilers. A few minutes for each number of runs on two cores.
"""

import sys
from typing import Any

from absl import flags

from ticketjax.commands.flags import FLAGS, naming
from ticketjax.commands.launching import launch

flags.DEFINE_list(
    "targets", ["v5e:2x2"], "TPU slices (v5e:2x2, v6e:2x2, v5p:2x2x1) and cards (h100, a100:4)."
)
flags.DEFINE_list("runs", ["128", "512"], "Runs at once on each device.")
flags.DEFINE_list("seekers", ["magnitude", "synflow"], "Searches to compile.")
flags.DEFINE_string("task", "circle", "The task.")
flags.DEFINE_integer("width", 100, "Neurons of every hidden layer.", lower_bound=8)
flags.DEFINE_integer("epochs", 10, "Epochs of the final training.", lower_bound=2)
flags.DEFINE_string("compilers", "", "The folder that the compilers are installed in.")

# Programs that all seekers of a grid share.
SHARED = ("measure", "instance", "selection", "ranking", "description")


def measure(
    target: str,
    compilers: str,
    program: str,
    runs: int,
    task: str,
    width: int,
    epochs: int,
) -> dict:
    """Compile one program, in this process: one of SHARED, or a seeker's."""
    from benchmarks import targets

    devices = targets.devices(target, compilers)
    import jax

    import ticketjax as tj
    from benchmarks import hlo, phases, work
    from benchmarks.machine import describe
    from benchmarks.timing import seconds
    from ticketjax.runs import memory, programs

    seekers = "magnitude" if program in SHARED else program
    grid = tj.make_grid(task=task, width=width, epochs=epochs, seeds=1, seekers=seekers)
    named, ((_, seeker),) = grid.settings()[0], grid.seekers
    setting = named.setting

    def shaped(tree: Any) -> Any:
        """Only the shapes: the programs determine where arrays are stored."""
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)

    def of_runs(dtype: str) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((len(devices), runs), dtype)

    seeds, floats, flags = map(of_runs, ("uint32", "float32", "bool"))
    chosen, given = programs.instance_program(setting, devices), (seeds, floats, None, None)
    if program != "instance":
        instances = shaped(jax.eval_shape(chosen.function, *given))
        found = instances.planted.mask
        scores = instances.planted.params
        if program == "measure":
            chosen = programs.measure_program(setting, None, devices)
            given = (instances, found, flags, None, None)
        elif program == "selection":
            chosen = programs.selection_program(setting, seeker.selection, devices)
            given = (seeds, instances, scores, floats, None)
        elif program == "ranking":
            chosen, given = programs.ranking_program(setting, devices), (instances, found, scores)
        elif program == "description":
            chosen = programs.description_program(setting, False, devices)
            given = (instances, found)
        elif isinstance(seeker, tj.Singleshot) and seeker.selection is not None:
            chosen = programs.score_program(setting, seeker, devices)
            given = (seeds, instances, None)
        else:
            chosen = programs.search_program(setting, seeker, True, devices)
            given = (seeds, instances, floats, None)
    compiled = None

    def compile_it() -> None:
        nonlocal compiled
        compiled = chosen.compiled(*given)

    taken = seconds(compile_it)
    module, analysis = hlo.Module(compiled.as_text()), compiled.memory_analysis()
    opcodes = module.opcodes()
    step = module.inner_step() if program == "measure" else None
    batch_size = setting.training.batch_size
    sizes = phases.sizes_of(setting.parameter_shapes)
    return {
        "machine": describe(),
        "devices": f"{len(devices)} x {devices[0].device_kind}",
        "seconds": taken,
        "arguments": analysis.argument_size_in_bytes,
        "temporary": analysis.temp_size_in_bytes,
        "needed": memory.needed_by(analysis),
        "code": analysis.generated_code_size_in_bytes,
        "collectives": sorted(opcodes & hlo.COLLECTIVES),
        "transfers": sorted(opcodes & hlo.TRANSFERS),
        "step": None if step is None else step._asdict(),
        "flop": runs * work.training(sizes, 1, batch_size).flop,
        "steps": epochs * (setting.training_samples // batch_size),
    }


def _print_step(name: str, runs: int, answer: dict) -> None:
    """Print what a step of the training does, and its time at the published rates."""
    from benchmarks import targets

    target, step = targets.target_of(name), answer["step"]
    times = {
        "memory": step["bytes"] / target.bandwidth,
        "products": answer["flop"] * target.passes / target.products,
        "launches": step["kernels"] * target.launch,
    }
    most = max(times, key=times.get)
    each = ", ".join(f"{kind} {1e6 * value:,.0f} us" for kind, value in times.items() if value)
    print(
        f"  a step of the training, {runs} runs: {step['kernels']} kernels, "
        f"{step['bytes'] / 1e6:,.0f} MB, {answer['flop'] / 1e9:,.2f} GFLOP of products; {each}\n"
        f"  at least {1e3 * answer['steps'] * times[most] / runs:.2f} ms a run for its training of "
        f"{answer['steps']:,} steps, by {most}",
        flush=True,
    )


def _compile(name: str, runs: int, head: bool) -> bool:
    """Compile all programs for one target, print a table; return whether a head is still due."""
    from benchmarks import fresh

    begun = False
    for program in (*SHARED, *FLAGS.seekers):
        try:
            answer = fresh.call(
                "benchmarks.ahead",
                "measure",
                target=name,
                compilers=FLAGS.compilers,
                program=program,
                runs=runs,
                task=FLAGS.task,
                width=FLAGS.width,
                epochs=FLAGS.epochs,
            )
        except fresh.Failure as failure:
            print(f"{program:12} failed: {failure}", flush=True)
            continue
        if head:
            print(f"{answer['machine']}\ncompiled, not run")
            head = False
        if not begun:
            print(f"\n{name}, {answer['devices']}: {runs} runs at once on each")
            print(f"{'':12}{'compiled':>9}{'arguments':>11}{'temporary':>11}{'all':>8}", end="")
            print(f"{'of a run':>10}{'code':>6}  collectives, transfers")
            print(f"{'program':12}{'s':>9}{'MiB':>11}{'MiB':>11}{'MiB':>8}{'KiB':>10}{'MiB':>6}")
        begun = True
        mebibytes = [answer[key] / 2**20 for key in ("arguments", "temporary", "needed")]
        beside = ", ".join(answer["collectives"] + answer["transfers"]) or "none"
        print(
            f"{program:12}{answer['seconds']:>9.0f}{mebibytes[0]:>11,.0f}{mebibytes[1]:>11,.0f}"
            f"{mebibytes[2]:>8,.0f}{answer['needed'] / 2**10 / runs:>10,.0f}"
            f"{answer['code'] / 2**20:>6.0f}  {beside}",
            flush=True,
        )
        if answer["step"]:
            _print_step(name, runs, answer)
    return head


def main() -> int:
    """Compile for every target and number of runs."""
    from benchmarks import targets

    with naming("targets"):
        lacking = [targets.missing(name, FLAGS.compilers) for name in FLAGS.targets]
    for line in filter(None, lacking):
        print(line, file=sys.stderr)
    if any(lacking):
        return 1
    with naming("runs"):
        if not all(size.isdecimal() and int(size) > 0 for size in FLAGS.runs):
            raise ValueError("must be whole numbers of at least 1")
    head = True
    for name in FLAGS.targets:
        for size in FLAGS.runs:
            head = _compile(name, int(size), head)
    return 0


if __name__ == "__main__":
    launch(main)
