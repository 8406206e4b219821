"""A seeker's time by function: the operations of its compiled program, by the code of their origin.

    python -m benchmarks.profile --seeker="refined(probabilistic(epochs=5), rounds=50)"

Compiles the seeker for one planted network on one device and runs it under XLA's profiler. For each
function of ticketjax, prints the share of the time of the operations that came from it, and the
share of matrix products. "between operations" is the time in which XLA's executor starts operations
and runs loops. The profiler slows the program down, by a factor that is printed; shares are of the
profiled time. Keep the program short, because the profiler keeps only about a million operations.
About a minute on one core.
"""

import tempfile

from absl import flags

from ticketjax.commands.flags import FLAGS, naming
from ticketjax.commands.launching import launch

flags.DEFINE_string("seeker", "multishot(snip, rounds=3, round_epochs=1)", "An expression.")
flags.DEFINE_string("task", "circle", "A task, by name.")
flags.DEFINE_integer("depth", 5, "Layers of neurons, including the input.", lower_bound=2)
flags.DEFINE_integer("width", 100, "Neurons of every hidden layer.", lower_bound=4)
flags.DEFINE_integer("rows", 14, "Functions to list.", lower_bound=1)


def main() -> int:
    """Compile, run, profile, print."""
    import jax

    from benchmarks.machine import describe
    from benchmarks.origins import origins, shares, thread_events
    from benchmarks.timing import seconds
    from ticketjax import Setting, get_seeker, get_task, make_instance, mlp
    from ticketjax.runs.programs import run_key

    with naming("task"):
        task = get_task(FLAGS.task)
    with naming("seeker"):
        seeker = get_seeker(FLAGS.seeker)
    setting = Setting(task, mlp(task, depth=FLAGS.depth, width=FLAGS.width))
    key = run_key(0)
    instance = jax.jit(lambda key: make_instance(setting, key, 0.01))(key)
    problem = setting.problem(instance.planted.params, instance.train)
    density = setting.ticket_density
    # One program, so that XLA optimises everything together; compiled ahead for its text.
    compiled = jax.jit(seeker).lower(key, problem, density).compile()
    density = jax.numpy.float32(density)
    seconds(lambda: compiled(key, problem, density))
    plain = seconds(lambda: compiled(key, problem, density))
    with tempfile.TemporaryDirectory() as directory:
        with jax.profiler.trace(directory):
            profiled = seconds(lambda: compiled(key, problem, density))
        found = shares(thread_events(directory), origins(compiled.as_text()))
    total = sum(all_of_it for all_of_it, _ in found.values())
    print(describe())
    print(f"{FLAGS.seeker}: {task.name}, depth {FLAGS.depth}, width {FLAGS.width}")
    print(f"{plain:.2f} s, {profiled:.2f} s with the profiler\n")
    print(f"{'share':>7}{'s':>9}{'of it products':>16}  function")
    for function, (all_of_it, products) in list(found.items())[: FLAGS.rows]:
        share = products / all_of_it if all_of_it else 0.0
        print(f"{all_of_it / total:>7.1%}{all_of_it:>9.3f}{share:>16.0%}  {function}")
    return 0


if __name__ == "__main__":
    launch(main)
