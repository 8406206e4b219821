"""PyTorch peer, expert: many masked networks trained at once, as fast as possible on a CPU.

The measurement is the wall time of a set of training runs that share batched matrix products (`bmm`
over runs) and one fused Adam over all stacked parameters. Data, shuffles and steps are those of
`benchmarks.torch_idiomatic`. PyTorch is an extra: pip install 'ticketjax[torch]'.

Measured to help, on two cores with 100 runs: gradients written by hand into preallocated arrays
(autograd takes 1.4 times as long); samples in the last axis and kernels as (n_out, n_in), which MKL
multiplies a fifth faster; the bias as one more kernel column, fed by a neuron that is always one,
which saves the bias's additions and sums (5%). Measured not to help: torch.compile, layers padded
to a multiple of 16, fewer runs at once, one Python thread per core, denormals flushed to zero.
"""

import time

import numpy as np


def train_many(
    x,
    y,
    params,
    masks,
    kind,
    epochs=10,
    batch_size=32,
    learning_rate=1e-3,
    seeds=None,
    runs_at_once=100,
) -> tuple[list, float]:
    """Train R masked networks; return their effective parameters and the training time.

    Args:
        x: (R, n, inputs) float32.
        y: (R, n) int class for "classification", (R, n, outputs) float32 for "regression".
        params, masks: [(kernel (R, n_in, n_out), bias (R, n_out)), ...] NumPy arrays.
        kind: "classification" or "regression".
        epochs: passes over the samples.
        batch_size: samples per step.
        learning_rate: of Adam.
        seeds: R integers; run r is shuffled as `train_one(seed=seeds[r])` is. 0 to R-1 by default.
        runs_at_once: the most runs in one batched product; more runs are trained group by group.

    Returns:
        The effective parameters, in the form of `params`, and the seconds.

    Raises:
        ImportError: PyTorch is not installed.
        ValueError: the kind is unknown, there is less than one batch, or the seeds are not one per
            run.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            "benchmarks.torch_expert needs PyTorch: pip install 'ticketjax[torch]'"
        ) from error
    runs, samples = x.shape[:2]
    seeds = range(runs) if seeds is None else seeds
    if kind not in ("classification", "regression"):
        raise ValueError(f"kind is {kind!r}; allowed are ['classification', 'regression']")
    if samples < batch_size:
        raise ValueError(f"x has {samples} samples; at least batch_size={batch_size} are needed")
    if len(seeds) != runs:
        raise ValueError(f"seeds has {len(seeds)} entries; {runs} runs need one each")

    # The first optimizer of a process imports a compiler, for a second or two; this is not timed.
    torch.optim.Adam([torch.zeros(1)])
    begin = time.perf_counter()
    groups = -(-runs // runs_at_once)
    bounds = [runs * i // groups for i in range(groups + 1)]
    trained = []
    with torch.no_grad():
        for first, last in zip(bounds, bounds[1:], strict=False):
            chosen = slice(first, last)
            trained.append(
                _train_group(
                    torch,
                    torch.tensor(np.asarray(x[chosen], np.float32)),
                    torch.tensor(np.asarray(y[chosen])),
                    [[np.asarray(leaf[chosen]) for leaf in layer] for layer in params],
                    [[np.asarray(leaf[chosen]) for leaf in layer] for layer in masks],
                    kind,
                    epochs,
                    batch_size,
                    learning_rate,
                    seeds[chosen],
                )
            )
    joined = [
        (np.concatenate([kernel for kernel, _ in layer]), np.concatenate([b for _, b in layer]))
        for layer in zip(*trained, strict=True)
    ]
    return joined, time.perf_counter() - begin


def _train_group(
    torch, x, y, params, masks, kind, epochs, batch_size, learning_rate, seeds
) -> list:
    """Train the runs of one group together; return [(kernels, biases), ...] as NumPy arrays."""
    runs, samples, _ = x.shape
    steps = samples // batch_size
    last = len(params) - 1

    # Layer l maps (activations, 1) to (activations, 1): its extra column is the bias, its extra
    # row makes the next layer's 1 and is frozen by the mask. The output layer needs no such row.
    shapes = [
        (runs, kernel.shape[2] + (layer < last), kernel.shape[1] + 1)
        for layer, (kernel, _) in enumerate(params)
    ]
    flat, gradient, mask = (torch.zeros(sum(np.prod(s) for s in shapes)) for _ in range(3))
    weights, gradients, weight_masks = (_views(array, shapes) for array in (flat, gradient, mask))
    for layer, (kernel, bias) in enumerate(params):
        outputs = kernel.shape[2]
        for target, (kernels, biases) in (
            (weights[layer], (kernel, bias)),
            (weight_masks[layer], masks[layer]),
        ):
            target[:, :outputs, :-1] = torch.tensor(kernels.astype(np.float32)).mT
            target[:, :outputs, -1] = torch.tensor(biases.astype(np.float32))
    flat.mul_(mask)
    for layer in range(last):
        weights[layer][:, -1, -1] = 1.0
    # Adam does not move a parameter whose gradient is always 0, so pruned ones stay exactly 0.
    flat.grad = gradient
    optimizer = torch.optim.Adam([flat], lr=learning_rate, fused=True)

    if kind == "classification":
        targets = torch.nn.functional.one_hot(y.long(), shapes[last][1]).float()
        loss_scale = 1.0 / batch_size
    else:
        targets = y.float()
        loss_scale = 2.0 / (batch_size * shapes[last][1])
    x, targets = x.mT.contiguous(), targets.mT.contiguous()

    generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
    epoch_x = torch.ones(steps, runs, x.shape[1] + 1, batch_size)
    epoch_targets = torch.empty(steps, runs, targets.shape[1], batch_size)
    outputs = [torch.empty(runs, rows, batch_size) for _, rows, _ in shapes]
    errors = [torch.empty(runs, rows, batch_size) for _, rows, _ in shapes]
    transposed_weights = [weight.mT for weight in weights]
    transposed_outputs = [output.mT for output in outputs]
    relu_backward = torch.ops.aten.threshold_backward.grad_input

    for _ in range(epochs):
        for run, generator in enumerate(generators):
            order = torch.randperm(samples, generator=generator)[: steps * batch_size]
            for source, shuffled in ((x, epoch_x[:, :, :-1]), (targets, epoch_targets)):
                picked = source[run].index_select(1, order)
                shuffled[:, run] = picked.view(-1, steps, batch_size).transpose(0, 1)
        for step_x, step_targets in zip(epoch_x, epoch_targets, strict=True):
            hidden = step_x
            for layer, weight in enumerate(weights):
                hidden = torch.bmm(weight, hidden, out=outputs[layer])
                if layer < last:
                    hidden.relu_()
            error = errors[last]
            if kind == "classification":
                torch.softmax(hidden, 1, out=error).sub_(step_targets)
            else:
                torch.sub(hidden, step_targets, out=error)
            error.mul_(loss_scale)
            for layer in range(last, 0, -1):
                torch.bmm(errors[layer], transposed_outputs[layer - 1], out=gradients[layer])
                error = torch.bmm(transposed_weights[layer], errors[layer], out=errors[layer - 1])
                relu_backward(error, outputs[layer - 1], 0, grad_input=error)
            torch.bmm(errors[0], step_x.mT, out=gradients[0])
            gradient.mul_(mask)
            optimizer.step()

    return [
        (
            weight[:, : kernel.shape[2], :-1].mT.contiguous().numpy(),
            weight[:, : kernel.shape[2], -1].contiguous().numpy(),
        )
        for weight, (kernel, _) in zip(weights, params, strict=True)
    ]


def _views(flat, shapes) -> list:
    """Cut a flat array into consecutive arrays of the given shapes that share its memory."""
    sizes = [int(np.prod(shape)) for shape in shapes]
    pieces = flat.split(sizes)
    return [piece.view(shape) for piece, shape in zip(pieces, shapes, strict=True)]
