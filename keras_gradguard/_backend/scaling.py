"""Powers of two that keep squares within float32."""

from keras import ops

# Numbers beyond these are moved by so much before they are squared. What is
# lost then of smaller ones beside them is below the last digit.
_SMALL, _LARGE, _FAR = 1e-10, 1e14, 2.0**80
# Sums of squares in between neither overflow nor lose digits.
SAFE_LOW, SAFE_HIGH = 1e-20, 1e37


def safe_factors(largest):
    """Factors that bring numbers to where their squares are safe, and back.

    Powers of two, which round nothing. To divide by the largest number itself
    would not do: XLA multiplies by its reciprocal, which is zero where that is
    smaller than any normal float32.

    Args:
        largest: Float32 tensor, the largest magnitude of each row of numbers.

    Returns:
        Two tensors of the same shape.
    """
    one = ops.ones_like(largest)
    high, low = largest > _LARGE, largest < _SMALL
    factor = ops.where(high, one / _FAR, ops.where(low, one * _FAR, one))
    back = ops.where(high, one * _FAR, ops.where(low, one / _FAR, one))
    return factor, back


def safe_roots(sums, shift):
    """Roots of sums of squares, whatever the size of what is summed.

    No branch: an accelerator would wait for the host to read which one to
    take, and three sums of what it reads once cost it nothing.

    Args:
        sums: Function of an optional factor to the float32 sums of the squares
            of what is multiplied with it.
        shift: Float, a power of two, which rounds nothing.
    """
    plain = sums()
    return ops.where(
        plain < SAFE_LOW,
        ops.sqrt(sums(shift)) / shift,
        ops.where(
            plain > SAFE_HIGH,
            ops.sqrt(sums(1 / shift)) * shift,
            ops.sqrt(plain),
        ),
    )
