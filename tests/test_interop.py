"""Files from elsewhere, and layouts of elsewhere."""

import json
import os
import struct

import hypothesis
import hypothesis.extra.numpy
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ticketjax import interop


def raw_file(path, header, data=b""):
    """A safetensors file put together by hand, from the format's own description."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def entry(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def assert_same(tree, other):
    assert jax.tree.structure(tree) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert a.tobytes() == b.tobytes()


names = st.text(st.characters(exclude_characters=".", exclude_categories=["Cs"]), min_size=1)
leaves = hypothesis.extra.numpy.arrays(
    st.sampled_from([np.float32, np.float16, np.int64, np.uint8, bool]),
    hypothesis.extra.numpy.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3),
)
trees = st.recursive(
    st.dictionaries(names, leaves, min_size=1, max_size=3),
    lambda inner: st.dictionaries(names, inner | leaves, min_size=1, max_size=3),
    max_leaves=6,
)


@hypothesis.settings(max_examples=40)
@hypothesis.given(trees, st.dictionaries(names, st.text(st.characters(exclude_categories=["Cs"]))))
def test_any_tree_comes_back_bit_for_bit(tmp_path_factory, tree, metadata):
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    interop.save_tree(path, tree, metadata)
    loaded, texts = interop.load_tree(path, expected=tree)
    assert_same(loaded, tree)
    assert texts == metadata


def test_jax_arrays_and_arrays_that_lie_otherwise_in_memory(tmp_path):
    tree = {
        "bfloat16": jnp.arange(3, dtype=jnp.bfloat16),
        "scalar": jnp.float32(2),
        "columns": np.arange(6.0).reshape(2, 3).T,
        "big_endian": np.arange(3, dtype=">f4"),
    }
    interop.save_tree(tmp_path / "a", tree)
    loaded, _ = interop.load_tree(tmp_path / "a")
    assert loaded["bfloat16"].dtype == jnp.bfloat16
    assert loaded["scalar"].shape == ()
    for name, array in tree.items():
        np.testing.assert_array_equal(loaded[name].astype(float), np.asarray(array, float))
    shapes, _ = interop.tree_shapes(tmp_path / "a")
    assert shapes["columns"] == jax.ShapeDtypeStruct((3, 2), np.float64)


def test_a_file_written_by_hand(tmp_path):
    header = {
        "conv.kernel": entry(shape=(1, 2), offsets=(0, 8)),
        "conv.mask": entry("BOOL", (3,), (8, 11)),
        "__metadata__": {"by": "hand"},
    }
    data = struct.pack("<2f", 0.5, -2) + bytes([1, 0, 1])
    tree, metadata = interop.load_tree(raw_file(tmp_path / "a", header, data))
    np.testing.assert_array_equal(tree["conv"]["kernel"], [[0.5, -2]])
    np.testing.assert_array_equal(tree["conv"]["mask"], [True, False, True])
    assert metadata == {"by": "hand"}


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        ({"a": entry(shape=(10**12,), offsets=(0, 4 * 10**12))}, b"", "not a whole safetensors"),
        ({"a": entry(shape=(2**63, 2), offsets=(0, 0))}, b"", "not a whole safetensors"),
        ({"a": entry()}, bytes(5), "not a whole safetensors"),
        ({"a": entry()}, bytes(3), "not a whole safetensors"),
        ({"__metadata__": {"a": 1}}, b"", "not a whole safetensors"),
        (b"[1]", b"", "not a whole safetensors"),
        ({"a": entry(shape=(0, 2**60), offsets=(0, 0))}, b"", "a shape that no array has"),
        ({"a": entry(shape=[1] * 70)}, bytes(4), "a shape that no array has"),
        ({"a": entry("F8_E4M3", offsets=(0, 1))}, b"1", "a is of type F8_E4M3; known are BOOL"),
        ({"m": entry("BOOL", offsets=(0, 1))}, b"7", "m is of type BOOL and has bytes other"),
        ({"a..b": entry()}, bytes(4), "'a..b'"),
        ({".".join("a" * 5000): entry()}, bytes(4), "names must be 1 to 32 words"),
        ({"a": entry(), "a.b": entry(offsets=(4, 8))}, bytes(8), "'a' in 'a.b' is also"),
    ],
)
def test_hostile_and_damaged_files_are_refused(header, data, message, tmp_path):
    path = raw_file(tmp_path / "a", header, data)
    with pytest.raises(ValueError, match=message) as error:
        interop.load_tree(path)
    assert str(path) in str(error.value)


def test_what_is_no_file_too_large_or_not_as_expected(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        interop.load_tree(tmp_path / "missing")
    with pytest.raises(FileNotFoundError, match="is not a file"):
        interop.load_tree(tmp_path)
    tree = {"layer_0": {"kernel": np.zeros((2, 3), np.float32), "bias": np.zeros(3, np.float32)}}
    interop.save_tree(tmp_path / "a", tree)
    with pytest.raises(ValueError, match="more than the 100 allowed"):
        interop.load_tree(tmp_path / "a", most_bytes=100)

    def expect(kernel, **more):
        layer = {"kernel": kernel, "bias": tree["layer_0"]["bias"], **more}
        interop.load_tree(tmp_path / "a", expected={"layer_0": layer})

    with pytest.raises(ValueError, match=r"kernel is float32 \(2, 3\), expected float32 \(3, 2\)"):
        expect(np.zeros((3, 2), np.float32))
    with pytest.raises(ValueError, match=r"expected bool \(2, 3\)"):
        expect(np.zeros((2, 3), bool))
    with pytest.raises(ValueError, match="has no layer_0.scale"):
        expect(tree["layer_0"]["kernel"], scale=np.zeros(1))
    with pytest.raises(ValueError, match="has an unexpected layer_0.bias"):
        interop.load_tree(tmp_path / "a", {"layer_0": {"kernel": tree["layer_0"]["kernel"]}})


@pytest.mark.parametrize(
    ("tree", "metadata", "message"),
    [
        ({}, {}, "empty dict"),
        ({"a": {"b": {}}}, {}, "a.b is an empty dict"),
        ({"a.b": np.zeros(1)}, {}, "names must be text without"),
        ({0: np.zeros(1)}, {}, "names must be text without"),
        ({"a": np.zeros(1, complex)}, {}, "a: arrays of complex128"),
        ({"a": None}, {}, "a: arrays of object"),
        ({"__metadata__": np.zeros(1)}, {}, "calls its metadata"),
        ({"a": np.zeros(1)}, {"depth": 5}, "metadata must be texts"),
    ],
)
def test_what_no_file_can_hold_is_refused_and_nothing_written(tree, metadata, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        interop.save_tree(tmp_path / "a", tree, metadata)
    assert os.listdir(tmp_path) == []
