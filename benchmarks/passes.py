"""Matrix products of float32 numbers by products of bfloat16 numbers, emulated by rounding."""

import jax
import jax.numpy as jnp


def rounded(x):
    """The nearest bfloat16 number, as float32."""
    return jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=7)


def product_in_passes(a, b, passes: int):
    """A matrix product by bfloat16 products: 1, or 3 of the operands' larger and smaller parts."""

    @jax.custom_vjp
    def product(a, b):
        first, second = rounded(a), rounded(b)
        if passes == 1:
            return jnp.matmul(first, second)
        return (
            jnp.matmul(first, second)
            + jnp.matmul(first, rounded(b - second))
            + jnp.matmul(rounded(a - first), second)
        )

    def forward(a, b):
        return product(a, b), (a, b)

    def backward(operands, gradient):
        a, b = operands
        return (
            product_in_passes(gradient, b.T, passes),
            product_in_passes(a.T, gradient, passes),
        )

    product.defvjp(forward, backward)
    return product(a, b)


def apply_in_passes(passes: int):
    """The dense network's forward pass, (params, x) -> outputs, with such products."""

    def apply(params, x):
        x = x.T
        for i in range(len(params)):
            kernel, bias = params[f"layer_{i}"]["kernel"], params[f"layer_{i}"]["bias"]
            x = jax.nn.relu(x) if i else x
            x = product_in_passes(kernel.T, x, passes) + bias[:, None]
        return x.T

    return apply
