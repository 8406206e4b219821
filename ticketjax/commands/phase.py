r"""Phase diagrams: recovery and quality over density and width, one map per seeker.

    ticketjax phase --task=circle --seekers=magnitude,snip,synflow --seeds=5 \
        --width=25,50,100,200 --densities=ticket,0.01,0.02,0.05,0.1,0.2,0.5 --out=results/phase

The maps show the recall of the ticket, and the quality before and after training. --strategy is
multishot, or plain or annealed for edge_popup, as in their own commands. --tickets, --decoys,
--perturbation and --match set what is planted. Expect recall where nearly all parameters are kept,
good networks after training from a density of 0.1 on, and strong tickets nowhere.
"""

from absl import flags

from ticketjax.commands.flags import FLAGS, define_grid, define_running, grid, running


def define() -> None:
    """Define the flags."""
    define_grid(
        seeds=5,
        seekers=("magnitude", "snip", "synflow"),
        densities="ticket,0.01,0.02,0.05,0.1,0.2,0.5",
        width="25,50,100,200",
    )
    define_running(out="results/phase")
    flags.DEFINE_string("strategy", "singleshot", "singleshot, multishot; plain, annealed, ...")
    flags.DEFINE_integer("rounds", None, "Rounds of pruning.", lower_bound=1)
    flags.DEFINE_integer("round_epochs", None, "Epochs of training per round.", lower_bound=0)
    flags.DEFINE_integer("search_epochs", None, "Epochs of searches that train.", lower_bound=1)


def main() -> int:
    """Run the grid, print its table, draw a map for every task, depth and noise level."""
    from ticketjax.commands.running import grid_of, places, run_grids
    from ticketjax.figures import draw_phases
    from ticketjax.records.tables import table
    from ticketjax.records.titles import place_name

    names = ("strategy", "rounds", "round_epochs", "search_epochs")
    wanted = grid_of(**grid(), **running(), **{name: FLAGS[name].value for name in names})
    records = run_grids({FLAGS.out: wanted})
    if records is None:
        return 0
    print(table(records) + "\n")
    for place in places(wanted, ("task", "model", "depth", "noise")):
        path = f"{FLAGS.out}/phase-{place_name(place)}.png"
        draw_phases(records, place, path)
        print(f"figure: {path}")
    print(f"records: {FLAGS.out}/parts")
    return 0
