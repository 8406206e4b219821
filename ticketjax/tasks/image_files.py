"""Real images: the official files of CIFAR-10, MNIST and Fashion-MNIST, and what a device needs.

Files from elsewhere are not trusted: sizes are checked before anything is read, labels and the
count of every class afterwards, and nothing in a file is ever executed. The Python version of
CIFAR-10 is a set of pickles, which an unpickler would run. Here a pickle's instructions are listed
(pickletools.genops) and none is executed: numbers and strings are read from the list.
"""

import gzip
import pathlib
import pickletools
import zlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ticketjax.base import Batch
from ticketjax.names import suggestion

_TRAIN_FILES = 5
# Instructions of a pickle for plain values and their structure. The official files contain no
# others, except for the three names of NumPy below.
_STRINGS = {"STRING", "BINSTRING", "SHORT_BINSTRING"}
_INTEGERS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1"}
_BOOLEANS = {"NEWTRUE", "NEWFALSE"}
_ARRANGEMENT = set(
    "PROTO STOP MARK NONE EMPTY_DICT DICT SETITEM SETITEMS EMPTY_LIST LIST APPEND APPENDS "
    "EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 PUT BINPUT LONG_BINPUT GET BINGET LONG_BINGET "
    "REDUCE BUILD".split()
)
_ARRAY_NAMES = {"numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype"}
# Values per image in the official pickles, besides its pixels: a label and the name of a file.
_LARGEST_PICKLE_RECORD = 256


class Images(NamedTuple):
    """A dataset: training data, test data and the training data's statistics.

    All leaves are arrays, so jax.device_put(images) places the whole on a device, in a quarter of
    float32's space; `networks.images.normalise` converts to float32 what a step needs.

    Args:
        train, test: Batch of x (n, height, width, channels) uint8 and y (n,) int32, NumPy arrays.
        mean, deviation: (channels,) float32, over all training pixels, of values on [0, 1].
    """

    train: Batch
    test: Batch
    mean: np.ndarray
    deviation: np.ndarray


class Dataset(NamedTuple):
    """What is known about a dataset before its files are read.

    Args:
        shape: (height, width, channels).
        classes: their names, in the order of the labels.
        train, test: number of images of each class.
        flip: whether an image's mirror image is one of the same class.
        folders: folders of its files below a data directory, if they are not in the directory
            itself.
        url: address of the files.
        read: (path of the data directory, dataset) -> the directory found, train and test.
    """

    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    train: tuple[int, ...]
    test: tuple[int, ...]
    flip: bool
    folders: tuple[str, ...]
    url: str
    read: Callable[[pathlib.Path, "Dataset"], tuple[pathlib.Path, Batch, Batch]]


def load_images(name: str, data_dir: str | pathlib.Path) -> Images:
    """Read a dataset from its official files.

    CIFAR-10: the binary version (cifar-10-batches-bin) or the Python version (cifar-10-batches-py).
    MNIST, Fashion-MNIST: four IDX files, each plain or as .gz.

    Args:
        name: one of DATASETS.
        data_dir: the directory of the files, or the one that contains their folder.

    Returns:
        Training data, test data and the training data's statistics.

    Raises:
        ValueError: an unknown name (one that is close is suggested), a file of the wrong size or
            content, a label out of range, a wrong number of images of some class.
        FileNotFoundError: a file is missing; the message names it and where to get it.
    """
    if name not in DATASETS:
        raise ValueError(
            f"dataset must be one of {', '.join(DATASETS)}, got {name!r}"
            f"{suggestion(name, DATASETS)}"
        )
    dataset = DATASETS[name]
    directory, train, test = dataset.read(pathlib.Path(data_dir), dataset)
    for batch, counts, part in ((train, dataset.train, "training"), (test, dataset.test, "test")):
        found = np.bincount(batch.y, minlength=len(counts))
        for label, (count, expected) in enumerate(zip(found, counts, strict=True)):
            if count != expected:
                raise ValueError(
                    f"{directory}: {name} has {expected} {part} images of class {label} "
                    f"({dataset.classes[label]}), here are {count}: files of another dataset, or "
                    f"damaged; see {dataset.url}"
                )
    return Images(train, test, *_statistics(name, directory, np.asarray(train.x)))


def augment(key: jax.Array, x: jax.typing.ArrayLike, pad: int = 4, flip: bool = True) -> jax.Array:
    """Crop every image at random from its padded self, and mirror half of them.

    The usual augmentation of CIFAR-10: `pad` black pixels on every side, a crop of the old size,
    uniform among all, and a horizontal flip of probability 1/2; independent for every image. Black
    is 0, so augment() comes before `normalise`. Pure, for jit and vmap.

    Args:
        key: typed random key.
        x: (n, height, width, channels), of any dtype.
        pad: pixels added on every side, at least 0.
        flip: whether to mirror; DATASETS[name].flip is whether mirroring keeps the class.

    Returns:
        Images of the same shape and dtype as x.

    Raises:
        ValueError: x is not of four dimensions, a pad below 0.

    Source: He et al. (2016), Deep Residual Learning for Image Recognition, section 4.2.
    """
    x = jnp.asarray(x)
    if x.ndim != 4:
        raise ValueError(f"x must have the shape (n, height, width, channels), got {x.shape}")
    if pad < 0:
        raise ValueError(f"pad must be >= 0, got {pad!r}")
    key_crop, key_flip = jax.random.split(key)
    corners = jax.random.randint(key_crop, (len(x), 2), 0, 2 * pad + 1, jnp.int32)
    padded = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))

    def crop(image: jax.Array, corner: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(image, (*corner, jnp.int32(0)), x.shape[1:])

    cropped = jax.vmap(crop)(padded, corners)
    if not flip:
        return cropped
    mirrored = jax.random.bernoulli(key_flip, jnp.float32(0.5), (len(x), 1, 1, 1))
    return jnp.where(mirrored, cropped[:, :, ::-1], cropped)


def crop(key: jax.Array, x: jax.typing.ArrayLike) -> jax.Array:
    """augment() without mirroring, for classes that a mirror image does not keep."""
    return augment(key, x, flip=False)


def _statistics(name: str, directory: pathlib.Path, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation per channel, on [0, 1], with exact sums from counts of values."""
    values = np.arange(256) / 255
    channels = x.shape[-1]
    counts = np.zeros((channels, 256), np.int64)
    for image in np.array_split(x, max(1, len(x) // 1000)):  # bincount makes int64 of its input
        for channel in range(channels):
            counts[channel] += np.bincount(image[..., channel].ravel(), minlength=256)
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ values
    deviation = np.sqrt((share * np.square(values - mean[:, None])).sum(axis=1))
    if not deviation.all():
        raise ValueError(f"{directory}: all training pixels of {name} are alike in some channel")
    return mean.astype(np.float32), deviation.astype(np.float32)


def _find(
    data_dir: pathlib.Path, folders: Iterable[str], files: Iterable[str]
) -> pathlib.Path | None:
    """Return the first directory that has any of the files, the folders before data_dir itself."""
    for directory in (*(data_dir / folder for folder in folders), data_dir):
        if any((directory / file).is_file() for file in files):
            return directory
    return None


def _missing(path: pathlib.Path, what: str, dataset: Dataset) -> FileNotFoundError:
    return FileNotFoundError(f"{path}: no {what}; get it from {dataset.url}")


def _check_size(path: pathlib.Path, size: int, expected: int) -> None:
    if size != expected:
        raise ValueError(f"{path}: must have {expected} bytes, has {size}")


def _labels(path: pathlib.Path, labels: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Return the labels as int32, after a check of their range."""
    largest = len(dataset.classes) - 1
    if labels.max(initial=0) > largest:
        raise ValueError(f"{path}: labels must be 0 to {largest}, one is {labels.max()}")
    return labels.astype(np.int32)


def _batch(x: Any, y: Any) -> Batch:
    """Samples as NumPy arrays, which are not yet on a device; JAX's functions accept them."""
    return Batch(x, y)


def _read_cifar10(data_dir: pathlib.Path, dataset: Dataset) -> tuple[pathlib.Path, Batch, Batch]:
    names = [*(f"data_batch_{index + 1}" for index in range(_TRAIN_FILES)), "test_batch"]
    versions = ((".bin", _read_binary), ("", _read_pickle))
    for folder, (suffix, read) in zip(dataset.folders, versions, strict=True):
        files = [name + suffix for name in names]
        directory = _find(data_dir, [folder], files)
        if directory is not None:
            return directory, *_read_batches([directory / file for file in files], read, dataset)
    raise _missing(data_dir, f"CIFAR-10 here or in {' or '.join(dataset.folders)}", dataset)


def _read_batches(
    paths: list[pathlib.Path],
    read: Callable[[pathlib.Path, int, Dataset], tuple[np.ndarray, np.ndarray]],
    dataset: Dataset,
) -> tuple[Batch, Batch]:
    """Return train and test of CIFAR-10, whose last file is the test's."""
    for path in paths:
        if not path.is_file():
            raise _missing(path, "such file", dataset)
    height, width, channels = dataset.shape
    batches = []
    for part, counts in ((paths[:-1], dataset.train), (paths[-1:], dataset.test)):
        n = sum(counts) // len(part)
        x = np.empty((len(part), n, height, width, channels), np.uint8)
        y = np.empty((len(part), n), np.int32)
        for index, path in enumerate(part):
            labels, pixels = read(path, n, dataset)
            # A file contains all red values of an image, then all green ones, then all blue ones.
            x[index] = pixels.reshape(n, channels, height, width).transpose(0, 2, 3, 1)
            y[index] = _labels(path, labels, dataset)
        batches.append(_batch(x.reshape(-1, *dataset.shape), y.reshape(-1)))
    train, test = batches
    return train, test


def _read_binary(path: pathlib.Path, n: int, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return labels (n,) and pixels (n, size) of a file of records: a label, then the pixels."""
    record = 1 + int(np.prod(dataset.shape))
    _check_size(path, path.stat().st_size, n * record)
    records = np.fromfile(path, np.uint8).reshape(n, record)
    return records[:, 0], records[:, 1:]


def _read_pickle(path: pathlib.Path, n: int, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return labels (n,) and pixels (n, size) of a pickle, without unpickling it.

    It is a dictionary of "batch_label", "labels" (a list of integers), "data" (an array) and
    "filenames", as Python 2 wrote it.
    """
    size = int(np.prod(dataset.shape))
    largest = n * (size + _LARGEST_PICKLE_RECORD) + 4096
    if path.stat().st_size > largest:
        raise ValueError(f"{path}: must have at most {largest} bytes, has {path.stat().st_size}")
    # Every value in the order of the file, by the key that it follows.
    keys = ("batch_label", "labels", "data", "filenames")
    values: dict[str, list[str | int | bool | None]] = {key: [] for key in keys}
    key = keys[0]
    try:
        for instruction, argument, _ in pickletools.genops(path.read_bytes()):
            name = instruction.name
            if name in _STRINGS and argument in values:
                key = argument
            elif name in _STRINGS or name in _INTEGERS:
                values[key].append(argument)
            elif name in _BOOLEANS:
                values[key].append(name == "NEWTRUE")
            elif name not in _ARRANGEMENT and not (name == "GLOBAL" and argument in _ARRAY_NAMES):
                refused = name if argument is None else f"{name} {argument}"
                raise ValueError(f"the instruction {refused!s:.80} has no place in this dataset")
    except ValueError as error:
        raise ValueError(f"{path}: not the official file, and not unpickled: {error}") from None

    labels = values["labels"]
    if len(labels) != n or not all(type(label) is int and 0 <= label < 256 for label in labels):
        raise ValueError(f"{path}: 'labels' must be a list of {n} integers from 0 to 255")
    # How NumPy pickles an array: type, rank, shape, dtype and its state, then order and bytes.
    array = values["data"]
    if (
        array[:6] != [0, "b", 1, n, size, "u1"]
        or not isinstance(array[-2], bool)
        or not isinstance(array[-1], str)
        or len(array[-1]) != n * size
    ):
        raise ValueError(f"{path}: 'data' must be an array of shape ({n}, {size}) of type uint8")
    pixels = np.frombuffer(array[-1].encode("latin-1"), np.uint8)
    return np.array(labels, np.uint8), pixels.reshape((n, size), order="F" if array[-2] else "C")


def _read_mnist(data_dir: pathlib.Path, dataset: Dataset) -> tuple[pathlib.Path, Batch, Batch]:
    pairs = [
        (f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte") for part in ("train", "t10k")
    ]
    files = [file for pair in pairs for file in pair]
    directory = _find(data_dir, dataset.folders, [*files, *(file + ".gz" for file in files)])
    if directory is None:
        folders = " or ".join(dataset.folders)
        raise _missing(data_dir, f"{files[0]} (or .gz) here or in {folders}", dataset)
    paths = []
    for file in files:
        path = directory / file
        if not path.is_file():
            path = directory / (file + ".gz")
        if not path.is_file():
            raise _missing(directory / file, "such file, nor .gz", dataset)
        paths.append(path)

    batches = []
    for images, labels, counts in zip(
        paths[::2], paths[1::2], (dataset.train, dataset.test), strict=True
    ):
        n = sum(counts)
        x = _read_idx(images, (n, *dataset.shape[:2]))
        y = _labels(labels, _read_idx(labels, (n,)), dataset)
        batches.append(_batch(x[..., None], y))
    train, test = batches
    return directory, train, test


def _read_idx(path: pathlib.Path, shape: tuple[int, ...]) -> np.ndarray:
    """Return the array of an IDX file: zero, zero, type 8 (uint8), rank, the shape, the bytes."""
    header = np.array([0x0800 + len(shape), *shape], ">u4").tobytes()
    expected = len(header) + int(np.prod(shape))
    if path.suffix == ".gz":
        try:
            with gzip.open(path) as file:
                # One more byte detects a longer file without reading it, and verifies the checksum.
                content = file.read(expected + 1)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path}: damaged: {error}") from None
        _check_size(path, len(content), expected)
    else:
        _check_size(path, path.stat().st_size, expected)
        content = path.read_bytes()
    if not content.startswith(header):
        raise ValueError(
            f"{path}: must begin with the magic number and the shape {shape}, {header.hex()}, "
            f"begins with {content[: len(header)].hex()}"
        )
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)


_DIGITS = tuple("0123456789")
_OBJECTS = "airplane automobile bird cat deer dog frog horse ship truck"
_CLOTHES = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"

# The counts are those of the official files. They distinguish MNIST from Fashion-MNIST, whose files
# have the same names and sizes.
DATASETS: dict[str, Dataset] = {
    "cifar10": Dataset(
        shape=(32, 32, 3),
        classes=tuple(_OBJECTS.split()),
        train=(5000,) * 10,
        test=(1000,) * 10,
        flip=True,
        folders=("cifar-10-batches-bin", "cifar-10-batches-py"),
        url="https://www.cs.toronto.edu/~kriz/cifar.html",
        read=_read_cifar10,
    ),
    "mnist": Dataset(
        shape=(28, 28, 1),
        classes=_DIGITS,
        train=(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
        test=(980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
        flip=False,
        folders=("mnist", "MNIST/raw"),
        url="http://yann.lecun.com/exdb/mnist/",
        read=_read_mnist,
    ),
    "fashion_mnist": Dataset(
        shape=(28, 28, 1),
        classes=tuple(_CLOTHES.split(",")),
        train=(6000,) * 10,
        test=(1000,) * 10,
        flip=True,
        folders=("fashion_mnist", "fashion-mnist", "fashion", "FashionMNIST/raw"),
        url="https://github.com/zalandoresearch/fashion-mnist",
        read=_read_mnist,
    ),
}
