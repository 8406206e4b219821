"""PyTorch peer, idiomatic: one masked network trained at a time, as a PyTorch user would write it.

The measurement is the wall time of one training run: `torch.nn.Linear` layers whose effective
parameters are parameter * mask, default `torch.optim.Adam`, autograd, samples kept as tensors and
sliced per batch (no DataLoader). Data, shuffles and steps are those of `benchmarks.torch_expert`.
PyTorch is an extra: pip install 'ticketjax[torch]'.
"""

import time

import numpy as np


def train_one(
    x, y, params, masks, kind, epochs=10, batch_size=32, learning_rate=1e-3, seed=0
) -> tuple[list, float]:
    """Train one masked network; return its effective parameters and the training time.

    Every epoch is a new permutation drawn from `seed`; a last short batch is dropped. The loss is
    cross entropy, or the mean squared error over samples and outputs.

    Args:
        x: (n, inputs) float32.
        y: (n,) int class for "classification", (n, outputs) float32 for "regression".
        params, masks: [(kernel (n_in, n_out), bias (n_out,)), ...] NumPy arrays.
        kind: "classification" or "regression".
        epochs: passes over the samples.
        batch_size: samples per step.
        learning_rate: of Adam.
        seed: determines the permutations.

    Returns:
        The effective parameters, in the form of `params`, and the seconds.

    Raises:
        ImportError: PyTorch is not installed.
        ValueError: the kind is unknown, or there is less than one batch.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            "benchmarks.torch_idiomatic needs PyTorch: pip install 'ticketjax[torch]'"
        ) from error
    functional = torch.nn.functional
    losses = {"classification": functional.cross_entropy, "regression": functional.mse_loss}
    if kind not in losses:
        raise ValueError(f"kind is {kind!r}; allowed are {sorted(losses)}")
    if len(x) < batch_size:
        raise ValueError(f"x has {len(x)} samples; at least batch_size={batch_size} are needed")
    loss_of = losses[kind]

    # The first optimizer of a process imports a compiler, for a second or two; this is not timed.
    torch.optim.Adam([torch.zeros(1)])
    begin = time.perf_counter()
    x = torch.tensor(np.asarray(x, np.float32))
    y = torch.tensor(np.asarray(y, np.int64 if kind == "classification" else np.float32))
    layers = torch.nn.ModuleList()
    layer_masks = []
    for (kernel, bias), (kernel_mask, bias_mask) in zip(params, masks, strict=True):
        layer = torch.nn.Linear(*kernel.shape)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(np.asarray(kernel, np.float32).T))
            layer.bias.copy_(torch.tensor(np.asarray(bias, np.float32)))
        layers.append(layer)
        layer_masks.append(
            (
                torch.tensor(np.asarray(kernel_mask, np.float32).T),
                torch.tensor(np.asarray(bias_mask, np.float32)),
            )
        )

    def forward(hidden):
        for i, (layer, (weight_mask, bias_mask)) in enumerate(
            zip(layers, layer_masks, strict=True)
        ):
            if i > 0:
                hidden = torch.relu(hidden)
            hidden = functional.linear(hidden, layer.weight * weight_mask, layer.bias * bias_mask)
        return hidden

    optimizer = torch.optim.Adam(layers.parameters(), lr=learning_rate)
    generator = torch.Generator().manual_seed(int(seed))
    steps = len(x) // batch_size
    for _ in range(epochs):
        order = torch.randperm(len(x), generator=generator)
        for step in range(steps):
            chosen = order[step * batch_size : (step + 1) * batch_size]
            loss = loss_of(forward(x[chosen]), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    with torch.no_grad():
        trained = [
            ((layer.weight * weight_mask).T.numpy().copy(), (layer.bias * bias_mask).numpy().copy())
            for layer, (weight_mask, bias_mask) in zip(layers, layer_masks, strict=True)
        ]
    return trained, time.perf_counter() - begin
