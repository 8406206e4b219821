"""Readers of official files against small files of the same layout, augmentation against NumPy."""

import gzip
import pickle
import struct
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ticketjax.networks.images import normalise
from ticketjax.tasks import image_files as images
from ticketjax.tasks.image_files import DATASETS, augment, load_images

PER_CLASS = 2
N = 10 * PER_CLASS
# The values before the fixture `small` changes them.
OFFICIAL = dict(DATASETS)
NAMES = [*(f"data_batch_{index}" for index in range(1, 6)), "test_batch"]
IDX = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"]
IDX += ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Every dataset with two images per class in training and in test."""
    for name, dataset in DATASETS.items():
        counts = (PER_CLASS,) * 10
        monkeypatch.setitem(images.DATASETS, name, dataset._replace(train=counts, test=counts))


def draw(shape, seed):
    generator = np.random.default_rng(seed)
    x = generator.integers(0, 256, (2 * N, *shape), np.uint8)
    y = np.concatenate([generator.permutation(np.arange(N) % 10) for _ in range(2)])
    return x, y.astype(np.uint8)


def records(x, y):
    """Labels and rows of the six files: all red, then all green, then all blue."""
    rows = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
    bounds = [*range(0, N, N // 5), N, 2 * N]
    return [(y[a:b], rows[a:b]) for a, b in zip(bounds, bounds[1:], strict=False)]


def write_binary(folder, x, y):
    folder.mkdir(parents=True, exist_ok=True)
    for name, (labels, rows) in zip(NAMES, records(x, y), strict=True):
        (folder / f"{name}.bin").write_bytes(
            b"".join(
                bytes([label]) + row.tobytes() for label, row in zip(labels, rows, strict=True)
            )
        )


def python_2_pickle(labels, rows, fortran=False):
    """What Python 2's cPickle wrote, instruction by instruction (protocol 2)."""

    def text(value):
        return b"U" + bytes([len(value)]) + value + b"q\x05"

    def integer(value):
        return b"K" + bytes([value]) if 0 <= value < 256 else b"M" + struct.pack("<H", value)

    pixels = rows.tobytes("F" if fortran else "C")
    return b"".join(
        [
            b"\x80\x02}q\x01(",
            text(b"batch_label") + text(b"training batch 1 of 5"),
            text(b"labels") + b"]q\x05(" + b"".join(map(integer, labels.tolist())) + b"e",
            text(b"data") + b"cnumpy.core.multiarray\n_reconstruct\nq\x06cnumpy\nndarray\nq\x07",
            b"K\x00\x85U\x01b\x87Rq\x08(K\x01",
            integer(rows.shape[0]) + integer(rows.shape[1]) + b"\x86",
            b"cnumpy\ndtype\nq\x09U\x02u1K\x00K\x01\x87Rq\x0a",
            b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
            (b"\x88" if fortran else b"\x89") + b"T" + struct.pack("<i", len(pixels)) + pixels,
            b"tb",
            text(b"filenames") + b"]q\x05(" + text(b"ship_s_000001.png") * len(rows) + b"eu.",
        ]
    )


def write_pickles(folder, x, y, fortran=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, (labels, rows) in zip(NAMES, records(x, y), strict=True):
        (folder / name).write_bytes(python_2_pickle(labels, rows, fortran))


def write_idx(folder, x, y, suffix=""):
    folder.mkdir(parents=True, exist_ok=True)
    arrays = [x[:N, ..., 0], y[:N], x[N:, ..., 0], y[N:]]
    for name, array in zip(IDX, arrays, strict=True):
        header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}i", *array.shape)
        content = header + array.tobytes()
        (folder / (name + suffix)).write_bytes(gzip.compress(content) if suffix else content)


def assert_read(found, x, y):
    assert found.train.x.dtype == found.test.x.dtype == np.uint8
    assert found.train.y.dtype == found.test.y.dtype == np.int32
    np.testing.assert_array_equal(found.train.x, x[:N])
    np.testing.assert_array_equal(found.train.y, y[:N])
    np.testing.assert_array_equal(found.test.x, x[N:])
    np.testing.assert_array_equal(found.test.y, y[N:])
    pixels = x[:N].reshape(-1, x.shape[-1]) / 255
    np.testing.assert_allclose(found.mean, pixels.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found.deviation, pixels.std(axis=0), rtol=1e-6)
    assert found.mean.dtype == found.deviation.dtype == np.float32


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("version", ["bin", "py", "py, column by column"])
def test_both_versions_of_cifar10_are_read(tmp_path, version, inside):
    x, y = draw((32, 32, 3), seed=0)
    folder = tmp_path / f"cifar-10-batches-{version.split(',')[0]}"
    if version == "bin":
        write_binary(folder, x, y)
    else:
        write_pickles(folder, x, y, fortran="column" in version)
    assert_read(load_images("cifar10", folder if inside else tmp_path), x, y)


@pytest.mark.parametrize("fortran", [False, True])
def test_the_pickles_of_these_tests_are_what_python_reads_as_the_documented_dictionary(fortran):
    x, y = draw((32, 32, 3), seed=1)
    labels, rows = records(x, y)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's, of old pickles
        content = pickle.loads(python_2_pickle(labels, rows, fortran), encoding="latin1")
    assert list(content) == ["batch_label", "labels", "data", "filenames"]
    assert content["labels"] == labels.tolist()
    np.testing.assert_array_equal(content["data"], rows)
    assert content["data"].dtype == np.uint8


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "mnist"), ("mnist", "."), ("fashion_mnist", "fashion")]
)
def test_idx_files_are_read(tmp_path, name, folder, suffix):
    x, y = draw((28, 28, 1), seed=2)
    write_idx(tmp_path / folder, x, y, suffix)
    assert_read(load_images(name, str(tmp_path)), x, y)


def test_two_datasets_of_the_same_file_names_lie_side_by_side(tmp_path):
    digits, clothes = draw((28, 28, 1), seed=3), draw((28, 28, 1), seed=4)
    write_idx(tmp_path, *digits)
    write_idx(tmp_path / "fashion_mnist", *clothes)
    assert_read(load_images("mnist", tmp_path), *digits)
    assert_read(load_images("fashion_mnist", tmp_path), *clothes)


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"cifar10, mnist, fashion_mnist, got 'Fashion-MNIST'.*"):
        load_images("Fashion-MNIST", ".")
    with pytest.raises(ValueError, match="did you mean 'cifar10'"):
        load_images("cifar", ".")


@pytest.mark.parametrize("name", DATASETS)
def test_missing_files_are_named_with_the_place_to_get_them(tmp_path, name):
    with pytest.raises(FileNotFoundError) as nothing:
        load_images(name, tmp_path / "nowhere")
    assert "nowhere" in str(nothing.value) and DATASETS[name].url in str(nothing.value)
    assert "\n" not in str(nothing.value)

    dataset = DATASETS[name]
    x, y = draw(dataset.shape, seed=5)
    write = write_binary if name == "cifar10" else write_idx
    write(tmp_path, x, y)
    gone = "data_batch_3.bin" if name == "cifar10" else "t10k-labels-idx1-ubyte"
    (tmp_path / gone).unlink()
    with pytest.raises(FileNotFoundError, match=f"{gone}: no such file.*{dataset.url}"):
        load_images(name, tmp_path)


def assert_refused(name, path, content, message):
    """A ValueError of one line that names the file; the file is as before afterwards."""
    before = path.read_bytes()
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        load_images(name, path.parent)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)
    path.write_bytes(before)


def test_damaged_binary_files_are_refused(tmp_path):
    x, y = draw((32, 32, 3), seed=6)
    write_binary(tmp_path, x, y)
    path = tmp_path / "data_batch_2.bin"
    content = path.read_bytes()
    assert len(content) == 4 * 3073
    assert_refused("cifar10", path, content[:-1], "must have 12292 bytes, has 12291")
    assert_refused("cifar10", path, content + b"\0", "must have 12292 bytes, has 12293")
    assert_refused("cifar10", path, b"\x0a" + content[1:], "labels must be 0 to 9, one is 10")


def test_damaged_idx_files_are_refused(tmp_path):
    x, y = draw((28, 28, 1), seed=7)
    write_idx(tmp_path, x, y)
    pixels, labels = tmp_path / IDX[0], tmp_path / IDX[1]
    content = pixels.read_bytes()
    magic = "must begin with the magic number and the shape"
    assert_refused("mnist", pixels, content[:-1], "must have 15696 bytes, has 15695")
    assert_refused("mnist", pixels, content[:2] + b"\x09" + content[3:], magic)
    assert_refused("mnist", pixels, content[:7] + b"\x15" + content[8:], magic)
    assert_refused("mnist", labels, labels.read_bytes()[:-1] + b"\x0b", "labels must be 0 to 9")


def test_damaged_gz_files_are_refused(tmp_path):
    x, y = draw((28, 28, 1), seed=8)
    write_idx(tmp_path, x, y, ".gz")
    path = tmp_path / f"{IDX[0]}.gz"
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    assert_refused("mnist", path, content[:-9], "damaged")
    assert_refused("mnist", path, bytes(flipped), "damaged")
    assert_refused("mnist", path, b"not gzip", "damaged")
    longer = gzip.compress(gzip.decompress(content) + bytes(10_000_000))
    # Of a file that would fill the memory, only one byte too many is unpacked.
    assert_refused("mnist", path, longer, "must have 15696 bytes, has 15697")


def test_wrong_counts_of_a_class_and_images_all_alike_are_refused(tmp_path):
    x, y = draw((28, 28, 1), seed=9)
    swapped = y.copy()
    swapped[np.flatnonzero(y[:N] == 3)[0]] = 4
    write_idx(tmp_path, x, swapped)
    with pytest.raises(ValueError, match=r"2 training images of class 3 \(Dress\), here are 1"):
        load_images("fashion_mnist", tmp_path)
    write_idx(tmp_path, np.zeros_like(x), y)
    with pytest.raises(ValueError, match="all training pixels of mnist are alike"):
        load_images("mnist", tmp_path)


class Malicious:
    """Unpickling it creates the file `path`."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_malicious_pickle_is_refused_and_nothing_of_it_runs(tmp_path, protocol):
    x, y = draw((32, 32, 3), seed=10)
    write_pickles(tmp_path, x, y)
    trace = tmp_path / "trace"
    attack = pickle.dumps({"data": Malicious(trace)}, protocol)
    pickle.loads(attack)
    trace.unlink()  # it works when unpickled
    path = tmp_path / "data_batch_1"
    assert_refused("cifar10", path, attack, "not the official file, and not unpickled")
    # Also before valid content, where POP would drop its result.
    official = path.read_bytes()
    assert_refused("cifar10", path, attack[:-1] + b"0" + official, "not unpickled")
    assert not trace.exists()


def test_no_other_name_than_those_of_an_array_is_let_through(tmp_path):
    x, y = draw((32, 32, 3), seed=11)
    write_pickles(tmp_path, x, y)
    path = tmp_path / "test_batch"
    official = path.read_bytes()
    for name in (b"numpy\nload\n", b"os\nsystem\n", b"numpy.core.multiarray\nndarray\n"):
        attack = official.replace(b"numpy\nndarray\n", name)
        assert_refused("cifar10", path, attack, f"GLOBAL {name.split()[0].decode()} ")


def test_damaged_pickles_are_refused(tmp_path):
    x, y = draw((32, 32, 3), seed=12)
    write_pickles(tmp_path, x, y)
    path = tmp_path / "data_batch_5"
    labels, rows = records(x, y)[4]
    official = python_2_pickle(labels, rows)
    assert path.read_bytes() == official
    data = r"'data' must be an array of shape \(4, 3072\) of type uint8"
    list_of_labels = "'labels' must be a list of 4 integers"
    assert_refused("cifar10", path, python_2_pickle(labels + 10, rows), "labels must be 0 to 9")
    assert_refused("cifar10", path, python_2_pickle(labels[1:], rows), list_of_labels)
    assert_refused("cifar10", path, python_2_pickle(labels, rows[1:]), data)
    assert_refused("cifar10", path, official.replace(b"u1", b"i1"), data)
    assert_refused("cifar10", path, official.replace(b"\x89T", b"NT"), data)
    assert_refused("cifar10", path, official + bytes(100_000), "must have at most")
    for size in np.random.default_rng(13).integers(0, len(official) - 1, 50).tolist() + [0, 1]:
        assert_refused("cifar10", path, official[:size], "not the official file")


def test_normalise_is_the_formula_per_channel_and_maps():
    x, _ = draw((8, 8, 3), seed=14)
    mean, deviation = np.array([0.5, 0.25, 0.1]), np.array([0.2, 0.3, 0.4])
    expected = (x / 255 - mean) / deviation
    for map_or_not in (normalise, jax.vmap(normalise, (0, None, None))):
        found = jax.jit(map_or_not)(x, mean, deviation)
        assert found.dtype == jnp.float32
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"mean must have the shape \(channels,\)"):
        normalise(x, 0.5, deviation)
    with pytest.raises(ValueError, match=r"deviation must have the shape \(channels,\)"):
        normalise(x[..., :1], mean[:1], deviation)


def crops(image, pad):
    """Every crop of one image by (row, column, mirrored)."""
    height, width, _ = image.shape
    padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)))
    offsets = [(i, j) for i in range(2 * pad + 1) for j in range(2 * pad + 1)]
    plain = {(i, j, False): padded[i : i + height, j : j + width] for i, j in offsets}
    return plain | {(i, j, True): crop[:, ::-1] for (i, j, _), crop in plain.items()}


@pytest.mark.parametrize(("pad", "flip"), [(4, True), (2, False)])
def test_augment_draws_uniformly_and_independently_from_all_crops(pad, flip):
    # All pixels differ, so that a crop is known by its content.
    image = np.arange(1, 6 * 6 * 2 + 1, dtype=np.uint8).reshape(6, 6, 2)
    names = {
        crop.tobytes(): name for name, crop in crops(image, pad).items() if flip or not name[2]
    }
    assert len(names) == (2 * pad + 1) ** 2 * (1 + flip)
    n = 50 * len(names)
    augmented = jax.jit(augment, static_argnums=(2, 3))
    found = augmented(jax.random.key(0), np.broadcast_to(image, (n, *image.shape)), pad, flip)
    assert found.dtype == jnp.uint8 and found.shape == (n, 6, 6, 2)
    drawn = [names[crop.tobytes()] for crop in np.asarray(found)]  # KeyError: no such crop
    order = {name: index for index, name in enumerate(names.values())}
    drawn = np.array([order[name] for name in drawn])
    counts = np.bincount(drawn, minlength=len(names))
    # Chi-squared with this many degrees of freedom: five standard deviations above its mean.
    freedom = len(names) - 1
    assert np.sum((counts - 50) ** 2 / 50) < freedom + 5 * np.sqrt(2 * freedom)
    # Neighbours in the batch are independent: equal once in that many.
    equal = np.mean(drawn[1:] == drawn[:-1])
    assert equal < 2.5 / len(names)


def test_augment_keeps_images_apart_and_maps_over_keys():
    x = draw((6, 6, 3), seed=15)[0][:5]
    keys = jax.random.split(jax.random.key(1))[np.array([0, 1, 0])]
    found = np.asarray(jax.jit(jax.vmap(augment, (0, None)))(keys, x))
    for batch in found:
        for image, crop in zip(x, batch, strict=True):
            assert any(np.array_equal(crop, other) for other in crops(image, 4).values())
    np.testing.assert_array_equal(found[0], found[2])
    assert not np.array_equal(found[0], found[1])


def test_augment_refuses_other_shapes_and_a_negative_pad():
    with pytest.raises(ValueError, match=r"x must have the shape \(n, height, width, channels\)"):
        augment(jax.random.key(0), np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match="pad must be >= 0, got -1"):
        augment(jax.random.key(0), np.zeros((1, 4, 4, 3)), pad=-1)


def test_every_dataset_has_its_official_number_of_images():
    numbers = {name: (sum(d.train), sum(d.test)) for name, d in OFFICIAL.items()}
    assert numbers == {
        "cifar10": (50_000, 10_000),
        "mnist": (60_000, 10_000),
        "fashion_mnist": (60_000, 10_000),
    }
    assert all(len(d.classes) == len(d.train) == len(d.test) == 10 for d in OFFICIAL.values())
