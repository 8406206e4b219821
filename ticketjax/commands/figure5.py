"""Figure 5: its settings, its runs, its table and figure."""

from typing import TYPE_CHECKING, Any

from ticketjax.commands.flags import FlagError

if TYPE_CHECKING:
    from ticketjax.commands.images import ImageRuns

PRESETS: dict[str, dict[str, Any]] = {
    "full": {
        "images": 50_000,
        "test_images": 10_000,
        "channels": 1.0,
        "seeds": 3,
        "rounds": 10,
        "round_epochs": 5,
        "epochs": 50,
        "search_epochs": 250,
        "batch_size": 128,
        "augment": True,
        "densities": ["0.01", "0.05", "0.1", "0.2", "0.5"],
    },
    "cpu": {
        "images": 3_000,
        "test_images": 2_000,
        "channels": 0.125,
        "seeds": 1,
        "rounds": 3,
        "round_epochs": 1,
        "epochs": 8,
        "search_epochs": 10,
        "batch_size": 32,
        "augment": False,
        "densities": ["0.01", "0.05", "0.1", "0.5"],
    },
}
# Fields that the presets do not set, with the paper's values.
OF_FIGURE_5: dict[str, Any] = {
    "dataset": "cifar10",
    "model": "vgg16",
    "ticket_density": 0.01,
    "match": "cosine",
    "levels": 5,
    "score_samples": 1_000,
}
# Listed here, because the module that defines them imports JAX, which is slow.
NETWORKS = ["lenet300", "resnet18", "vgg11", "vgg13", "vgg16", "vgg19"]
SEARCHES = "edge_popup,probabilistic"


def runs_of(settings: dict[str, Any]) -> "ImageRuns":
    """The runs of a figure, from the fields of ImageRuns."""
    from ticketjax.commands.images import STRONG, ImageRuns
    from ticketjax.seekers.registry import SCORES

    for flag, known in (("seekers", SCORES), ("searches", STRONG)):
        for name in settings[flag]:
            if name not in known:
                raise FlagError(f"--{flag}: must be among {', '.join(known)}, got {name!r}")
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()
    }
    return ImageRuns(**fields)


def show(runs: "ImageRuns", data_dir: str, out: str) -> int:
    """Run what is missing, print the table, write the figure; a command's exit status."""
    from ticketjax.commands.images import image_grids
    from ticketjax.commands.running import run_grids
    from ticketjax.figures import Panel, draw_quality
    from ticketjax.records.store import write_whole
    from ticketjax.records.tables import table
    from ticketjax.records.titles import task_title

    try:
        grids = image_grids(runs, data_dir, out)
    except (ValueError, OSError) as error:
        raise FlagError(str(error)) from None
    try:
        records = run_grids(grids)
    except ValueError as error:  # a ticket of other runs
        raise FlagError(str(error)) from None
    if records is None:
        return 0
    text = table(records)
    write_whole(f"{out}/figure5.txt", lambda file: file.write(f"{text}\n".encode()))
    where = {"task": runs.dataset}
    panels = [
        Panel("weak", {**where, "objective": "raw"}, "pruning in rounds, after training (weak)"),
        Panel("strong", {**where, "objective": "rescaled"}, "searches, before training (strong)"),
    ]
    there = set(records["objective"].to_pylist())
    name = (
        runs.model.replace("vgg", "VGG")
        .replace("lenet300", "LeNet-300-100")
        .replace("resnet", "ResNet")
    )
    title = f"{name} on {task_title(runs.dataset)}, a trained ticket planted in it"
    draw_quality(
        records,
        [panel for panel in panels if panel.where["objective"] in there],
        f"{out}/figure5.png",
        title=title,
    )
    print(f"{text}\n\nfigure: {out}/figure5.png\ntable: {out}/figure5.txt")
    return 0
