"""The largest entries without a sort, and the budgets that say how many."""

import re
from fractions import Fraction

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.awkward_floats import AWKWARD, INFINITY
from tests.oracles import selection as oracle
from ticketjax import selection

# One below and one at a power of two, since ranks are found bit by bit.
SIZES = (1, 7, 8, 33)


# top_k_mask


@pytest.mark.parametrize("size", SIZES)
@hypothesis.given(data=st.data())
def test_top_k_of_awkward_values(size, data):
    elements = st.sampled_from(AWKWARD) | st.floats(width=32)
    pool = data.draw(arrays(np.float32, data.draw(st.integers(1, 8)), elements=elements))
    x = pool[data.draw(arrays(np.int32, size, elements=st.integers(0, pool.size - 1)))]
    for k in {0, 1, size - 1, size, data.draw(st.integers(0, size))}:
        np.testing.assert_array_equal(selection.top_k_mask(x, k), oracle.top_k(x, k))


@pytest.mark.parametrize("value", AWKWARD)
@pytest.mark.parametrize("size", SIZES)
def test_top_k_of_equal_values_are_the_first(value, size):
    x = np.full(size, value, np.float32)
    for k in range(size + 1):
        np.testing.assert_array_equal(selection.top_k_mask(x, k), np.arange(size) < k)


def test_top_k_ranks_every_float_in_order():
    in_order = np.sort(AWKWARD[np.isfinite(AWKWARD) & (AWKWARD != 0)])
    shuffled = np.random.default_rng(0).permutation(in_order)
    for k in range(in_order.size + 1):
        kept = shuffled[np.asarray(selection.top_k_mask(shuffled, k))]
        assert set(kept) == set(in_order[in_order.size - k :])


def test_zeros_of_either_sign_are_equal_and_nan_ranks_with_minus_infinity():
    x = np.array([-0.0, 0.0, -0.0, 0.0], np.float32)
    assert selection.top_k_mask(x, 2).tolist() == [True, True, False, False]
    x = np.array([-INFINITY, np.nan, -INFINITY, -3e38, -np.nan], np.float32)
    assert selection.top_k_mask(x, 3).tolist() == [True, True, False, True, False]


@pytest.mark.parametrize("distinct", [1, 2, 50, None])
def test_top_k_of_a_long_vector(distinct):
    generator = np.random.default_rng(1)
    x = generator.standard_normal(100_003).astype(np.float32)
    if distinct:
        x = x[generator.integers(0, distinct, x.size)]
    for k in (0, 1, 1_000, 65_535, 65_536, 65_537, x.size - 1, x.size):
        np.testing.assert_array_equal(selection.top_k_mask(x, k), oracle.top_k(x, k))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_top_k_of_half_precision(dtype):
    x = jnp.asarray(np.random.default_rng(2).integers(-9, 9, 200) / 8, dtype)
    np.testing.assert_array_equal(
        selection.top_k_mask(x, 77), oracle.top_k(np.asarray(x, np.float64), 77)
    )


def test_top_k_under_vmap():
    generator = np.random.default_rng(3)
    x = generator.integers(-3, 3, (20, 50)).astype(np.float32)
    ks = generator.integers(0, 51, 20)
    batched = jax.vmap(selection.top_k_mask)(x, ks)
    np.testing.assert_array_equal(batched, [oracle.top_k(a, k) for a, k in zip(x, ks, strict=True)])


def test_top_k_sorts_nothing():
    program = str(jax.make_jaxpr(selection.top_k_mask)(jnp.zeros(1_000), 10))
    assert not re.search(r"\b(sort|top_k|approx_top_k)\[", program)
    assert re.search(r"\bsort\[", str(jax.make_jaxpr(jnp.sort)(jnp.zeros(1_000))))


# budget and check_density


@pytest.mark.parametrize("size", [1, 2, 10, 335, 365, 655, 9_304, 30_904])
def test_budget_is_the_rounded_product(size):
    # As fractions, because 0.7 * 365 is exactly a half, which floats may miss.
    exact = [Fraction(i, 200) for i in range(1, 201) if round(Fraction(i, 200) * size)]
    densities, expected = [float(d) for d in exact], [round(d * size) for d in exact]
    assert [selection.budget(density, size) for density in densities] == expected
    traced = jax.jit(selection.budget, static_argnums=1)(jnp.array(densities), size)
    assert traced.dtype == jnp.int32
    assert traced.tolist() == expected


def test_budget_halves_to_even():
    assert [selection.budget(k / 8, 4) for k in (3, 5, 7)] == [2, 2, 4]
    assert selection.budget(jnp.array([1, 3, 5, 7]) / 8, 4).tolist() == [0, 2, 2, 4]
    # 0.3 is slightly more than 3 / 10 in float32, so 100.5 becomes slightly more than a half.
    assert selection.budget(0.3, 335) == selection.budget(jnp.float32(0.3), 335) == 100
    assert selection.budget(np.float32(0.3), 335) == 100


@pytest.mark.parametrize("size", [1_000, 9_304, 999_983, 3_000_001])
def test_budget_of_a_share_is_its_count(size):
    counts = np.unique(np.linspace(1, size, 1_000).astype(int))
    shares = counts / size
    assert selection.budget(jnp.asarray(shares, jnp.float32), size).tolist() == counts.tolist()
    assert [selection.budget(share, size) for share in shares] == counts.tolist()


@pytest.mark.parametrize("size", [2**23 - 1, 2**23 + 1, 15_000_001, 2**24])
def test_the_whole_of_a_large_network_is_kept_at_density_one(size):
    assert int(selection.budget(jnp.float32(1), size)) == selection.budget(1.0, size) == size


def test_a_traced_density_is_clipped():
    densities = jnp.array([-1.0, 0.0, 1.0, 1.5, INFINITY])
    assert selection.budget(densities, 7).tolist() == [0, 0, 7, 7, 7]


@pytest.mark.parametrize("density", [0, 0.0, -0.1, 1.0000001, 2, np.nan, INFINITY, np.float32(-1)])
def test_no_density_is_refused(density):
    for function in (selection.check_density, selection.budget):
        with pytest.raises(ValueError, match=r"density must be in \(0, 1\], got"):
            function(density, 100)


def test_a_density_that_keeps_nothing_is_refused():
    message = r"density 0.004 keeps none of 100 parameters.*above 0.005"
    with pytest.raises(ValueError, match=message):
        selection.check_density(0.004, 100)
    with pytest.raises(ValueError, match="keeps none"):
        selection.check_density(0.005, 100)  # a half, which is rounded to the even 0
    assert selection.budget(0.005, 100) == 0
    assert selection.budget(0.006, 100) == 1
