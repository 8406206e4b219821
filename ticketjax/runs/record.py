"""Records: what one run measured, and the columns of a table of them."""

import json
from collections.abc import Mapping
from typing import NamedTuple

import jax
import pyarrow as pa

# Columns that identify an instance (planted network and data), and columns that identify a run.
IDENTITY = ("task", "model", "depth", "width", "noise", "seed")
RUN = (*IDENTITY, "seeker", "density")


class Record(NamedTuple):
    """What one run measured; every entry () but layer_*, (layers,).

    Args:
        density: the requested density.
        noise: of the data.
        kept: fraction of the prunable parameters that are kept.
        strong_metric, strong_loss: before any training.
        output_sign: -1 if an output would fit the data better with a negative factor, see
            objective.output_sign().
        weak_metric, weak_loss: after the final training.
        own_metric, own_loss: of the parameters that the seeker has trained itself, under its mask;
            NaN if it returns none; null in a grid.
        ticket_metric, ticket_loss: of the bare ticket.
        planted_metric, planted_loss: of the planted mask before training.
        found_objective, planted_objective: loss of the found and of the planted mask on the
            training data, under the seeker's objective.
        precision, recall, f1, jaccard, layer_precision, layer_recall, neuron_precision,
            neuron_recall: of the found mask against the planted one (with several tickets, the one
            it overlaps most), see Recovery.
        decoy_recall: the recall of the decoy that the found mask overlaps most; 0 without decoys.
        score_auc, average_precision, covering_density: of the scores for "planted", see Ranking.
        target_error_mean, target_error_largest, target_error_root_mean_square,
            target_error_relative, disagreement: of the found network before training as a function,
            see TargetError.
        found: whether this function is the target's, see equivalence.is_found().
        effective_density: fraction of the prunable parameters that are kept and on a live path.
        collapsed: whether no path is left.
        first_dead_layer: where the last path ended, -1 if none did.
        log10_paths: log10 of the number of paths.
        layer_kept: kept fraction of each layer's prunable parameters.
    """

    density: jax.Array
    noise: jax.Array
    kept: jax.Array
    strong_metric: jax.Array
    strong_loss: jax.Array
    output_sign: jax.Array
    weak_metric: jax.Array
    weak_loss: jax.Array
    own_metric: jax.Array
    own_loss: jax.Array
    ticket_metric: jax.Array
    ticket_loss: jax.Array
    planted_metric: jax.Array
    planted_loss: jax.Array
    found_objective: jax.Array
    planted_objective: jax.Array
    precision: jax.Array
    recall: jax.Array
    f1: jax.Array
    jaccard: jax.Array
    layer_precision: jax.Array
    layer_recall: jax.Array
    neuron_precision: jax.Array
    neuron_recall: jax.Array
    decoy_recall: jax.Array
    score_auc: jax.Array
    average_precision: jax.Array
    covering_density: jax.Array
    target_error_mean: jax.Array
    target_error_largest: jax.Array
    target_error_root_mean_square: jax.Array
    target_error_relative: jax.Array
    disagreement: jax.Array
    found: jax.Array
    effective_density: jax.Array
    collapsed: jax.Array
    first_dead_layer: jax.Array
    log10_paths: jax.Array
    layer_kept: jax.Array


# Metadata with the time of searches. It is not a column, so that repeated runs give equal records.
_SECONDS = b"seconds"


def with_seconds(records: pa.Table, seconds: Mapping[str, float]) -> pa.Table:
    """Records with the wall time of their searches.

    Args:
        records: of one chunk.
        seconds: per run, by label of the seeker, on the machine with all its devices, without
            compiling, planting and measuring.

    Returns:
        The same table; the times are in the metadata of its schema.
    """
    return records.replace_schema_metadata({_SECONDS: json.dumps(dict(seconds)).encode()})


def seconds_of(records: pa.Table) -> dict[str, float]:
    """The times that with_seconds() added, by label of the seeker; empty for other tables."""
    return json.loads((records.schema.metadata or {}).get(_SECONDS, b"{}"))


SCHEMA = pa.schema(
    [
        ("task", pa.string()),
        ("kind", pa.string()),
        ("model", pa.string()),
        ("depth", pa.int32()),
        ("width", pa.int32()),
        ("seeker", pa.string()),
        ("strategy", pa.string()),
        ("scope", pa.string()),
        ("rounds", pa.int32()),
        ("objective", pa.string()),
        ("config", pa.string()),
        ("optimizer", pa.string()),
        ("flops", pa.float64()),
        ("passes", pa.float64()),
        ("prune_bias", pa.bool_()),
        ("sanity", pa.string()),
        ("match", pa.string()),
        ("tickets", pa.int32()),
        ("decoys", pa.int32()),
        ("perturbation", pa.float64()),
        ("density", pa.float64()),
        ("ticket_density", pa.float64()),
        ("noise", pa.float64()),
        ("seed", pa.int64()),
        ("kept", pa.float32()),
        ("within_budget", pa.bool_()),
        ("strong_metric", pa.float32()),
        ("strong_loss", pa.float32()),
        ("output_sign", pa.int32()),
        ("weak_metric", pa.float32()),
        ("weak_loss", pa.float32()),
        ("own_metric", pa.float64()),
        ("own_loss", pa.float64()),
        ("ticket_metric", pa.float32()),
        ("ticket_loss", pa.float32()),
        ("planted_metric", pa.float32()),
        ("planted_loss", pa.float32()),
        ("found_objective", pa.float32()),
        ("planted_objective", pa.float32()),
        ("precision", pa.float32()),
        ("recall", pa.float32()),
        ("f1", pa.float32()),
        ("jaccard", pa.float32()),
        ("layer_precision", pa.list_(pa.float32())),
        ("layer_recall", pa.list_(pa.float32())),
        ("neuron_precision", pa.float32()),
        ("neuron_recall", pa.float32()),
        ("decoy_recall", pa.float32()),
        ("feasible_recall", pa.float32()),
        ("score_auc", pa.float32()),
        ("average_precision", pa.float32()),
        ("covering_density", pa.float32()),
        ("target_error_mean", pa.float32()),
        ("target_error_largest", pa.float32()),
        ("target_error_root_mean_square", pa.float32()),
        ("target_error_relative", pa.float32()),
        ("disagreement", pa.float32()),
        ("functionally_recovered", pa.bool_()),
        ("found", pa.bool_()),
        ("effective_density", pa.float32()),
        ("collapsed", pa.bool_()),
        ("first_dead_layer", pa.int32()),
        ("log10_paths", pa.float32()),
        ("layer_kept", pa.list_(pa.float32())),
        ("anytime_rounds", pa.list_(pa.int32())),
        ("anytime_objective", pa.list_(pa.float32())),
        ("anytime_metric", pa.list_(pa.float32())),
        ("round_layer_kept", pa.list_(pa.list_(pa.float32()))),
        ("round_first_dead_layer", pa.list_(pa.int32())),
    ]
)
