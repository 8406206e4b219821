"""Files and layouts of other programs."""

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

from ticketjax.sharing import interop, trees


def raw_file(path, header, data=b""):
    """A safetensors file written by hand, following the description of the format."""
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
nested = st.recursive(
    st.dictionaries(names, leaves, min_size=1, max_size=3),
    lambda inner: st.dictionaries(names, inner | leaves, min_size=1, max_size=3),
    max_leaves=6,
)


@hypothesis.settings(max_examples=25)
@hypothesis.given(nested, st.dictionaries(names, st.text(st.characters(exclude_categories=["Cs"]))))
def test_any_tree_comes_back_bit_for_bit(tmp_path_factory, tree, metadata):
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    trees.save_tree(path, tree, metadata)
    loaded, texts = trees.load_tree(path, expected=tree)
    assert_same(loaded, tree)
    assert texts == metadata


def test_jax_arrays_and_arrays_that_lie_otherwise_in_memory(tmp_path):
    tree = {
        "bfloat16": jnp.arange(3, dtype=jnp.bfloat16),
        "scalar": jnp.float32(2),
        "columns": np.arange(6.0).reshape(2, 3).T,
        "big_endian": np.arange(3, dtype=">f4"),
    }
    trees.save_tree(tmp_path / "a", tree)
    loaded, _ = trees.load_tree(tmp_path / "a")
    assert loaded["bfloat16"].dtype == jnp.bfloat16
    assert loaded["scalar"].shape == ()
    for name, array in tree.items():
        np.testing.assert_array_equal(loaded[name].astype(float), np.asarray(array, float))
    shapes, _ = trees.tree_shapes(tmp_path / "a")
    assert shapes["columns"] == jax.ShapeDtypeStruct((3, 2), np.float64)


def test_a_file_written_by_hand(tmp_path):
    header = {
        "conv.kernel": entry(shape=(1, 2), offsets=(0, 8)),
        "conv.mask": entry("BOOL", (3,), (8, 11)),
        "__metadata__": {"by": "hand"},
    }
    data = struct.pack("<2f", 0.5, -2) + bytes([1, 0, 1])
    tree, metadata = trees.load_tree(raw_file(tmp_path / "a", header, data))
    np.testing.assert_array_equal(tree["conv"]["kernel"], [[0.5, -2]])
    np.testing.assert_array_equal(tree["conv"]["mask"], [True, False, True])
    assert metadata == {"by": "hand"}


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        ({"a": entry(shape=(10**12,), offsets=(0, 4 * 10**12))}, b"", "not a complete safetensors"),
        ({"a": entry(shape=(2**63, 2), offsets=(0, 0))}, b"", "not a complete safetensors"),
        ({"a": entry()}, bytes(5), "not a complete safetensors"),
        ({"a": entry()}, bytes(3), "not a complete safetensors"),
        ({"__metadata__": {"a": 1}}, b"", "not a complete safetensors"),
        (b"[1]", b"", "not a complete safetensors"),
        ({"a": entry(shape=(0, 2**60), offsets=(0, 0))}, b"", "a shape that is too large"),
        ({"a": entry(shape=[1] * 70)}, bytes(4), "a shape that is too large"),
        ({"a": entry("F8_E4M3", offsets=(0, 1))}, b"1", "a is of type F8_E4M3; allowed are BOOL"),
        ({"m": entry("BOOL", offsets=(0, 1))}, b"7", "m is of type BOOL and has bytes other"),
        ({"a..b": entry()}, bytes(4), "'a..b'"),
        ({".".join("a" * 5000): entry()}, bytes(4), "names must be 1 to 32 words"),
        ({"a": entry(), "a.b": entry(offsets=(4, 8))}, bytes(8), "'a' in 'a.b' is also"),
    ],
)
def test_hostile_and_damaged_files_are_refused(header, data, message, tmp_path):
    path = raw_file(tmp_path / "a", header, data)
    with pytest.raises(ValueError, match=message) as error:
        trees.load_tree(path)
    assert str(path) in str(error.value)


def test_what_is_no_file_too_large_or_not_as_expected(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        trees.load_tree(tmp_path / "missing")
    with pytest.raises(FileNotFoundError, match="is not a file"):
        trees.load_tree(tmp_path)
    tree = {"layer_0": {"kernel": np.zeros((2, 3), np.float32), "bias": np.zeros(3, np.float32)}}
    trees.save_tree(tmp_path / "a", tree)
    with pytest.raises(ValueError, match="more than the 100 allowed"):
        trees.load_tree(tmp_path / "a", most_bytes=100)

    def expect(kernel, **more):
        layer = {"kernel": kernel, "bias": tree["layer_0"]["bias"], **more}
        trees.load_tree(tmp_path / "a", expected={"layer_0": layer})

    with pytest.raises(ValueError, match=r"kernel is float32 \(2, 3\), expected float32 \(3, 2\)"):
        expect(np.zeros((3, 2), np.float32))
    with pytest.raises(ValueError, match=r"expected bool \(2, 3\)"):
        expect(np.zeros((2, 3), bool))
    with pytest.raises(ValueError, match="has no layer_0.scale"):
        expect(tree["layer_0"]["kernel"], scale=np.zeros(1))
    with pytest.raises(ValueError, match="has an unexpected layer_0.bias"):
        trees.load_tree(tmp_path / "a", {"layer_0": {"kernel": tree["layer_0"]["kernel"]}})


@pytest.mark.parametrize(
    ("tree", "metadata", "message"),
    [
        ({}, {}, "empty dict"),
        ({"a": {"b": {}}}, {}, "a.b is an empty dict"),
        ({"a.b": np.zeros(1)}, {}, "names must be text without"),
        ({0: np.zeros(1)}, {}, "names must be text without"),
        ({"a": np.zeros(1, complex)}, {}, "a: arrays of complex128"),
        ({"a": None}, {}, "a: arrays of object"),
        ({"__metadata__": np.zeros(1)}, {}, "name of the metadata"),
        ({"a": np.zeros(1)}, {"depth": 5}, "metadata must be texts"),
    ],
)
def test_what_no_file_can_hold_is_refused_and_nothing_written(tree, metadata, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        trees.save_tree(tmp_path / "a", tree, metadata)
    assert os.listdir(tmp_path) == []


def small():
    """A network of 2, 3 and 1 neurons with a different number in each place."""
    return {
        "layer_0": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.ones(3)},
        "layer_1": {"kernel": np.array([[7.0], [8.0], [9.0]]), "bias": np.array([-1.0])},
    }


def test_a_state_dict_there_and_back():
    state = interop.to_state_dict(small(), ["net.0", "net.10"])
    assert list(state) == ["net.0.weight", "net.0.bias", "net.10.weight", "net.10.bias"]
    np.testing.assert_array_equal(state["net.0.weight"], [[0, 3], [1, 4], [2, 5]])
    for order in (list(state), sorted(state), sorted(state, reverse=True)):
        back = interop.from_state_dict({name: state[name] for name in order})
        jax.tree.map(np.testing.assert_array_equal, back, small())
    with pytest.raises(ValueError, match="order must name 2 layers, got 1"):
        interop.to_state_dict(small(), ["a"])


def test_convolutions_turn_their_axes():
    kernel = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    state = interop.to_state_dict({"layer_0": {"kernel": kernel, "bias": np.zeros(5)}})
    assert state["layer_0.weight"].shape == (5, 4, 2, 3)
    assert state["layer_0.weight"][4, 3, 1, 2] == kernel[1, 2, 3, 4]
    back = interop.from_state_dict(state)
    np.testing.assert_array_equal(back["layer_0"]["kernel"], kernel)


def test_names_that_give_no_order_need_one():
    state = interop.to_state_dict(small(), ["zuerst", "danach"])
    with pytest.raises(ValueError, match="the order of the layers has to be given .*--layers"):
        interop.from_state_dict(state)
    back = interop.from_state_dict(state, ["zuerst", "danach"])
    jax.tree.map(np.testing.assert_array_equal, back, small())
    with pytest.raises(ValueError, match="must name zuerst, danach, got zuerst"):
        interop.from_state_dict(state, ["zuerst"])


@pytest.mark.parametrize("dense", ["weight_orig", "weight"])
def test_what_pruning_left_is_multiplied(dense):
    state = {
        f"0.{dense}": np.array([[2.0, 3.0]]),
        "0.weight_mask": np.array([[0.0, 1.0]]),
        "0.bias": np.array([4.0]),
    }
    params = interop.from_state_dict(state)
    np.testing.assert_array_equal(params["layer_0"]["kernel"], [[0], [3]])
    np.testing.assert_array_equal(params["layer_0"]["bias"], [4])


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "at least one layer"),
        ({"0.weight": np.ones((3, 2)), "1.weight": np.ones((1, 4))}, "1 has 4 inputs, .* before"),
        ({"0.weight": np.ones((3, 2, 1, 1)), "1.weight": np.ones((1, 12))}, "flatten images"),
        ({"0.weight": np.ones((3, 2)), "0.bias": np.ones(2)}, r"the bias is \(2,\) for 3 outputs"),
        ({"0.weight": np.ones(3), "0.running_mean": np.ones(3)}, "0 has running_mean, weight"),
        ({"0.weight": np.ones(3)}, r"0 has shape \(3,\); allowed are dense"),
        ({"0.weight": np.full((1, 1), np.nan)}, "0.weight has values that are not finite"),
        ({"0.weight": np.full((1, 1), 1e300)}, "0.weight has values that are not finite"),
        ({"0.weight": np.ones((1, 1), int)}, "parameters are floating point"),
        ({"0.weight": np.array([["a"]])}, "0.weight is of type <U1"),
        ({"0.weight_orig": np.ones((1, 1))}, "0 has one of weight_orig and weight_mask"),
        (
            {f"0.weight{end}": np.ones((1, 1)) for end in ("", "_orig", "_mask")},
            "0 has both weight and weight_orig",
        ),
        (
            {"0.weight": np.ones((1, 1)), "0.weight_mask": np.ones((2, 1))},
            r"0.weight_mask is \(2, 1\), 0.weight \(1, 1\)",
        ),
        ({"0.weight": np.ones((1, 1)), "1.kernel": np.ones((1, 1))}, "some layers have a kernel"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_state_dicts_that_are_no_such_network_are_refused(state, message):
    with pytest.raises(ValueError, match=message):
        interop.from_state_dict(state)


def masks_in_many_forms():
    mask = jax.tree.map(lambda leaf: np.asarray(leaf) % 2 == 1, small())
    torch = interop.to_state_dict(mask, ["0", "2"])
    pruned = {f"{name}_mask": array.astype(np.float32) for name, array in torch.items()}
    pruned |= {f"{name}_orig": np.full(array.shape, 0.5) for name, array in torch.items()}
    synflow = {name.removesuffix("_orig"): array for name, array in pruned.items()}
    whole = {"2.weight": np.full((1, 3), 0.5), "2.bias": np.full(1, 0.5)}
    half = {name: array for name, array in pruned.items() if name.startswith("0.")} | whole
    last = {"layer_1": jax.tree.map(lambda leaf: leaf | True, mask["layer_1"])}
    return {
        "ours": (trees.flatten(mask), mask),
        "numbers": ({k: v.astype(np.int64) for k, v in trees.flatten(mask).items()}, mask),
        "pytorch": (torch, mask),
        "pruned": (pruned, mask),
        "weight and weight_mask": (synflow, mask),
        "last layer not pruned": (half, mask | last),
    }


@pytest.mark.parametrize("form", masks_in_many_forms())
def test_masks_are_read_in_either_layout(form, tmp_path):
    flat, mask = masks_in_many_forms()[form]
    trees.save_tree(tmp_path / "mask", trees.unflatten(flat))
    assert_same(interop.load_mask(tmp_path / "mask", small()), mask)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer_0.kernel": np.ones((3, 2))}, r"layer_0.kernel is \(3, 2\), expected \(2, 3\)"),
        ({"layer_0.kernel": np.full((2, 3), 0.5)}, "layer_0.kernel has values other than 0 and 1"),
        ({"layer_0.kernel": np.full((2, 3), np.nan)}, "values other than 0 and 1"),
        ({"layer_0.bias": None}, "layer_0 has no mask of its bias"),
        ({"layer_0.weight": np.ones((3, 2))}, "layer_0 has bias, kernel, weight"),
        ({"layer_2.kernel": np.ones((1, 1))}, "the mask has 3 layers, the network 2"),
        ({"extra": np.ones(1)}, "differ by more than numbers"),
    ],
)
def test_what_is_no_mask_of_the_network_is_refused(change, message, tmp_path):
    flat = trees.flatten(jax.tree.map(lambda leaf: np.ones(leaf.shape, bool), small())) | change
    flat = {name: array for name, array in flat.items() if array is not None}
    trees.save_tree(tmp_path / "mask", trees.unflatten(flat))
    with pytest.raises(ValueError, match=message) as error:
        interop.load_mask(tmp_path / "mask", small())
    assert str(error.value).startswith(str(tmp_path / "mask"))


def test_biases_that_cannot_be_pruned_need_no_mask(tmp_path):
    kernels = {name: {"kernel": layer["kernel"] > 4} for name, layer in small().items()}
    trees.save_tree(tmp_path / "mask", kernels)
    mask = interop.load_mask(tmp_path / "mask", small(), prune_bias=False)
    assert mask["layer_0"]["bias"].all() and mask["layer_0"]["kernel"].sum() == 1


def test_a_target_is_read_in_either_layout_and_errors_name_the_file(tmp_path):
    path = tmp_path / "target"
    for flat in (trees.flatten(small()), interop.to_state_dict(small(), ["0", "2"])):
        trees.save_tree(path, trees.unflatten(flat))
        jax.tree.map(np.testing.assert_array_equal, interop.load_target(path), small())
    trees.save_tree(path, {"fc": {"weight": np.ones(3)}})
    with pytest.raises(ValueError, match=f"^{path}: fc has shape"):
        interop.load_target(path)
