"""Networks of images as pure functions of a parameter tree: LeNet, VGG, ResNet18."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ticketjax.base import Layer, Model, Task
from ticketjax.networks.mlp import dense_network, initial_parameters

# Widths of the convolutions at width 1, pooling between the groups (Simonyan and Zisserman 2015,
# arXiv 1409.1556, table 1). Their number of layers counts the convolutions and three dense layers;
# here there is one dense layer.
VGG_STAGES = {
    11: ((64,), (128,), (256,) * 2, (512,) * 2, (512,) * 2),
    13: ((64,) * 2, (128,) * 2, (256,) * 2, (512,) * 2, (512,) * 2),
    16: ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3),
    19: ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4),
}
LENET_WIDTHS = (300, 100)
RESNET18_WIDTHS = (64, 128, 256, 512)
BLOCKS = 2  # residual blocks of each width


# Compiled here, because outside of jit the choice by platform would be compiled at every call.
@functools.partial(jax.jit, static_argnames=("stride", "precision"))
def _convolve(x: jax.Array, kernel: jax.Array, stride: int, precision: str | None) -> jax.Array:
    """Convolution of images with zeros around them, so that stride 1 keeps their size."""
    # In a loop on a CPU, XLA's own convolution, above all its gradient, takes twenty times as long
    # as one product for each place of the window (github.com/jax-ml/jax/issues/12868).
    return jax.lax.platform_dependent(
        x,
        kernel,
        cpu=lambda x, kernel: _convolve_by_products(x, kernel, stride, precision),
        default=lambda x, kernel: jax.lax.conv_general_dilated(
            x,
            kernel,
            (stride, stride),
            [(size // 2, size // 2) for size in kernel.shape[:2]],
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision=precision,
        ),
    )


def _convolve_by_products(
    x: jax.Array, kernel: jax.Array, stride: int, precision: str | None
) -> jax.Array:
    """The same, by one matrix product for each place of the window."""
    height, width = kernel.shape[:2]
    padded = jnp.pad(x, ((0, 0), (height // 2,) * 2, (width // 2,) * 2, (0, 0)))
    rows, columns = ((size - 1) // stride + 1 for size in x.shape[1:3])

    def product(i: int, j: int) -> jax.Array:
        seen = padded[:, i : i + stride * rows : stride, j : j + stride * columns : stride]
        return jnp.matmul(
            seen[:, :rows, :columns].reshape(-1, x.shape[3]), kernel[i, j], precision=precision
        )

    places = itertools.product(range(height), range(width))
    total = jnp.asarray(sum(itertools.starmap(product, places)))
    return total.reshape(x.shape[0], rows, columns, -1)


class Convolution(nn.Module):
    """A convolution of images (n, height, width, channels).

    Args:
        width: number of filters.
        window: height and width of the kernel.
        stride: distance between neighbouring places of the window, in pixels.
        precision: precision of the products, as in mlp().
    """

    width: int
    window: int
    stride: int
    precision: str | None

    @nn.compact
    def __call__(self, x):
        """(n, h, w, c) -> (n, ceil(h / stride), ceil(w / stride), width)."""
        shape = self.window, self.window, x.shape[-1], self.width
        kernel = self.param("kernel", nn.initializers.zeros, shape)
        bias = self.param("bias", nn.initializers.zeros, (self.width,))
        return _convolve(x, kernel, self.stride, self.precision) + bias[None, None, None]


class Classifier(nn.Module):
    """The dense layer after the convolutions; it reads all remaining places of the image.

    Args:
        width: number of outputs.
        precision: precision of the matrix product, as in mlp().
    """

    width: int
    precision: str | None

    @nn.compact
    def __call__(self, x):
        """(n, h, w, c) -> (n, width)."""
        x = x.reshape(x.shape[0], -1)
        kernel = self.param("kernel", nn.initializers.zeros, (x.shape[1], self.width))
        bias = self.param("bias", nn.initializers.zeros, (self.width,))
        return jnp.matmul(x, kernel, precision=self.precision) + bias[None]


def _pool(x: jax.Array, pool: Callable) -> jax.Array:
    """Pool in windows of 2 x 2, or of the image's size where that is 1."""
    window = tuple(min(2, size) for size in x.shape[1:3])
    return pool(x, window, strides=window)


class VGG(nn.Module):
    """Convolutions of 3 x 3, max pooling between stages, average pooling before one dense layer.

    Parameters {"layer_0": {"kernel": (3, 3, channels, width), "bias"}, ..., the last one dense}.

    Args:
        widths: number of filters of every convolution, then the number of outputs.
        stages: number of convolutions of every stage.
        precision: precision of the products, as in mlp().
    """

    widths: tuple[int, ...]
    stages: tuple[int, ...]
    precision: str | None

    @nn.compact
    def __call__(self, x):
        """(n, height, width, channels) -> (n, outputs); no ReLU after the last layer."""
        layer = 0
        for stage, length in enumerate(self.stages):
            for _ in range(length):
                width = self.widths[layer]
                x = nn.relu(Convolution(width, 3, 1, self.precision, name=f"layer_{layer}")(x))
                layer += 1
            x = _pool(x, nn.max_pool if stage < len(self.stages) - 1 else nn.avg_pool)
        return Classifier(self.widths[-1], self.precision, name=f"layer_{layer}")(x)


def _unit_size(x: jax.Array) -> jax.Array:
    """Divide every channel of every image by its root mean square, without any parameters."""
    square = jnp.mean(x * x, axis=(1, 2), keepdims=True)
    # `where` twice, because the gradient of the root at 0 is infinite, even if it is not selected.
    is_some = square > 0
    return jnp.where(is_some, x / jnp.sqrt(jnp.where(is_some, square, 1.0)), 0.0)


class ResNet18(nn.Module):
    """Residual network of four widths, two blocks of two convolutions each.

    Parameters {"layer_0": ..., "layer_17": ...} in the order in which they compute, and
    "layer_<i>_shortcut" beside the second convolution of a block that changes the width: 1 x 1,
    added to the same stream.

    Args:
        widths: number of filters or outputs of every layer, by its name.
        normalised: whether each convolution's output is divided by its size, channel by channel.
        precision: precision of the products, as in mlp().
    """

    widths: dict[str, int]
    normalised: bool
    precision: str | None

    @nn.compact
    def __call__(self, x):
        """(n, height, width, channels) -> (n, outputs); no ReLU after the last layer."""

        def convolve(name, x, window, stride=1):
            x = Convolution(self.widths[name], window, stride, self.precision, name=name)(x)
            return _unit_size(x) if self.normalised else x

        stream = nn.relu(convolve("layer_0", x, 3))
        for first, second, shortcut in _resnet_blocks():
            stride = 2 if shortcut else 1
            branch = nn.relu(convolve(first, stream, 3, stride))
            branch = convolve(second, branch, 3)
            stream = convolve(shortcut, stream, 1, stride) if shortcut else stream
            stream = nn.relu(stream + branch)
        stream = jnp.mean(stream, axis=(1, 2), keepdims=True)
        name = f"layer_{1 + 2 * BLOCKS * len(RESNET18_WIDTHS)}"
        return Classifier(self.widths[name], self.precision, name=name)(stream)


def _resnet_blocks() -> list[tuple[str, str, str | None]]:
    """Names of each block's two convolutions, and of its shortcut where the width changes."""
    blocks = []
    for block in range(BLOCKS * len(RESNET18_WIDTHS)):
        first, second = (f"layer_{1 + 2 * block + i}" for i in range(2))
        widens = block > 0 and block % BLOCKS == 0
        blocks.append((first, second, f"{second}_shortcut" if widens else None))
    return blocks


def _image_shape(task: Task) -> tuple[int, int, int]:
    if not isinstance(task.inputs, tuple) or len(task.inputs) != 3:
        raise ValueError(
            f"task must be of images (height, width, channels), got {task.name!r} with inputs "
            f"{task.inputs}"
        )
    return task.inputs


def _scaled(widths: Sequence[int], width: float) -> tuple[int, ...]:
    if not 0 < width < math.inf:
        raise ValueError(f"width must be positive, got {width!r}")
    return tuple(max(1, round(width * channels)) for channels in widths)


def lenet300(task: Task, width: float = 1.0, precision: str | None = "highest") -> Model:
    """LeNet-300-100: a dense ReLU network with two hidden layers (LeCun et al. 1998).

    Initial values as in mlp().

    Args:
        task: a task of images, which are flattened, or of vectors.
        width: factor of the widths 300 and 100.
        precision: as in mlp().

    Returns:
        A Model.

    Raises:
        ValueError: a width that is not positive.
    """
    return _lenet300(task, width, precision)


@functools.cache
def _lenet300(task: Task, width: float, precision: str | None) -> Model:
    return dense_network(task, _scaled(LENET_WIDTHS, width), precision)


def vgg(
    task: Task, layers: int = 16, width: float = 1.0, precision: str | None = "highest"
) -> Model:
    """VGG with biases and without batch normalisation (Fischer and Burkholz 2022, after VGG16).

    Initial values as in mlp(), where n_in is the number of inputs of a filter.

    Args:
        task: a task of images (height, width, channels).
        layers: 11, 13, 16 or 19.
        width: factor of the channels, 64 to 512.
        precision: as in mlp().

    Returns:
        A Model.

    Raises:
        ValueError: other layers, a width that is not positive, a task that is not of images.
    """
    if layers not in VGG_STAGES:
        raise ValueError(f"layers must be one of {', '.join(map(str, VGG_STAGES))}, got {layers!r}")
    return _vgg(task, layers, width, precision)


@functools.cache
def _vgg(task: Task, layers: int, width: float, precision: str | None) -> Model:
    height, image_width, channels = _image_shape(task)
    stages = VGG_STAGES[layers]
    widths = _scaled([channels for stage in stages for channels in stage], width)
    shapes: dict[str, tuple[int, ...]] = {
        f"layer_{i}": (3, 3, *pair)
        for i, pair in enumerate(itertools.pairwise((channels, *widths)))
    }
    for _ in stages:
        height, image_width = (size // min(2, size) for size in (height, image_width))
    shapes[f"layer_{len(widths)}"] = height * image_width * widths[-1], task.outputs

    def init(key):
        return initial_parameters(key, shapes)

    def apply(params, x):
        filters = tuple(params[f"layer_{i}"]["bias"].size for i in range(len(params)))
        network = VGG(filters, tuple(map(len, stages)), precision)
        return network.apply({"params": params}, x)

    return Model(init, apply, resizable=True)


def resnet18(task: Task, width: float = 1.0, precision: str | None = "highest") -> Model:
    """ResNet18 for small images, each channel normalised to size one without any parameters.

    Every convolution's output is divided by its root mean square over the image, channel by
    channel. There are no statistics over a batch, so the network is a pure function of one image,
    and a positive factor of a filter changes nothing. Initial values as in mlp().

    Args:
        task: a task of images (height, width, channels).
        width: factor of the channels, 64 to 512.
        precision: as in mlp().

    Returns:
        A Model, with the layers that planting in it requires.

    Raises:
        ValueError: a width that is not positive, a task that is not of images.

    Source: He et al. 2016, arXiv 1512.03385. Here the first convolution is 3 x 3, and shortcuts are
    1 x 1 where the width changes.
    """
    return _resnet18(task, width, precision)


@functools.cache
def _resnet18(task: Task, width: float, precision: str | None) -> Model:
    channels = _image_shape(task)[2]
    widths = _scaled(RESNET18_WIDTHS, width)
    shapes: dict[str, tuple[int, ...]] = {"layer_0": (3, 3, channels, widths[0])}
    stream, space = 1, 1
    layers = [Layer("layer_0", 0, 1, normalised=True)]
    for block, (first, second, shortcut) in enumerate(_resnet_blocks()):
        before, after = widths[max(block - 1, 0) // BLOCKS], widths[block // BLOCKS]
        shapes[first] = 3, 3, before, after
        shapes[second] = 3, 3, after, after
        layers.append(Layer(first, stream, space + 1, normalised=True))
        if shortcut:
            shapes[shortcut] = 1, 1, before, after
            layers.append(Layer(shortcut, stream, space + 2, normalised=True))
            stream = space + 2
        layers.append(Layer(second, space + 1, stream, normalised=True))
        space += 2 if shortcut else 1
    last = f"layer_{1 + 2 * BLOCKS * len(widths)}"
    shapes[last] = widths[-1], task.outputs
    layers.append(Layer(last, stream, space + 1))

    def init(key):
        return initial_parameters(key, shapes)

    def apply(params, x, normalised=True):
        filters = {name: layer["bias"].size for name, layer in params.items()}
        return ResNet18(filters, normalised, precision).apply({"params": params}, x)

    return Model(
        init, apply, tuple(layers), functools.partial(apply, normalised=False), resizable=True
    )


def on_pixels(model: Model, mean: jax.typing.ArrayLike, deviation: jax.typing.ArrayLike) -> Model:
    """The same network for stored images, uint8, which it normalises first.

    Args:
        model: a network of normalised images.
        mean, deviation: (channels,), of values on [0, 1], as load_images() returns them.

    Returns:
        A Model. Its flow, which is used without data, does not normalise its inputs.
    """

    def apply(params, x):
        return model.apply(params, normalise(x, mean, deviation))

    return dataclasses.replace(model, apply=apply, flow=model.flow or model.apply)


def normalise(
    x: jax.typing.ArrayLike, mean: jax.typing.ArrayLike, deviation: jax.typing.ArrayLike
) -> jax.Array:
    """Return (x / 255 - mean) / deviation in float32; pure, for jit and vmap.

    Args:
        x: (..., height, width, channels) uint8.
        mean, deviation: (channels,), of values on [0, 1]; `Images` holds them.

    Returns:
        (..., height, width, channels) float32.

    Raises:
        ValueError: mean or deviation is not of shape (channels,).

    >>> normalise(np.full((1, 1, 1), 51, np.uint8), np.array([0.1]), np.array([0.5])).tolist()
    [[[0.2]]]
    """
    x = jnp.asarray(x, jnp.float32)
    for argument, value in (("mean", mean), ("deviation", deviation)):
        if np.shape(value) != x.shape[-1:]:
            raise ValueError(
                f"{argument} must have the shape (channels,) of x {x.shape}, got {np.shape(value)}"
            )
    per_channel = (1,) * (x.ndim - 1) + x.shape[-1:]
    mean = jnp.asarray(mean, jnp.float32).reshape(per_channel)
    deviation = jnp.asarray(deviation, jnp.float32).reshape(per_channel)
    return (x / 255 - mean) / deviation
