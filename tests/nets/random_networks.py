"""Random descriptions: dense and convolutional, residual blocks within one another, every norm, pool and activation."""

from __future__ import annotations

from hypothesis import strategies as st

import normfield as nf
from normfield.network import ACTIVATIONS

variances = st.floats(0.01, 10)
numbers = st.floats(-3, 3, width=32)
small = st.integers(1, 3)


@st.composite
def affine_extras(draw):
    return {
        "weight_variance": draw(st.none() | variances),
        "bias_variance": draw(st.none() | st.just(0.0) | variances),
        "bias": draw(st.booleans()),
    }


@st.composite
def pointwise(draw, shape):
    kinds = [
        lambda: nf.BatchNorm(draw(numbers), draw(numbers), draw(st.sampled_from([1e-5, 1e-3, 0.1]))),
        lambda: nf.LayerNorm(draw(numbers), draw(numbers)),
        lambda: nf.RMSNorm(draw(numbers), draw(st.sampled_from([1e-5, 1e-3]))),
        lambda: nf.Activation(draw(st.sampled_from(sorted(ACTIVATIONS)))),
        lambda: nf.Activation("leaky_relu", slope=draw(st.floats(-0.5, 0.9))),
    ]
    return draw(st.sampled_from(kinds))()


@st.composite
def reducing(draw, shape):
    """A layer that changes the shape of an image."""
    side = min(shape[1:])
    window = draw(st.integers(1, min(3, side)))
    kinds = [
        lambda: nf.Conv(
            draw(small),
            window,
            draw(small),
            draw(st.integers(0, 1)),
            **draw(affine_extras()),
        ),
        lambda: nf.AveragePool(window, draw(st.none() | small), draw(st.integers(0, window // 2))),
        lambda: nf.MaxPool(window, draw(st.none() | small), draw(st.integers(0, window // 2))),
        nf.Flatten,
        nf.GlobalAveragePool,
    ]
    return draw(st.sampled_from(kinds))()


@st.composite
def residual(draw, shape, deep):
    """A block whose shortcut is the identity, or an affine layer where the branch changes the width."""
    inner = [draw(keeping(shape, deep + 1)) for _ in range(draw(st.integers(0, 2)))]
    if draw(st.booleans()):
        return nf.Residual(
            [draw(pointwise(shape)), *inner], draw(st.sampled_from([(), (nf.BatchNorm(2.0),)]))
        )
    width = draw(small)
    if len(shape) == 1:
        ends = [nf.Dense(width, **draw(affine_extras())) for _ in range(2)]
    else:
        ends = [nf.Conv(width, size, 1, size // 2, **draw(affine_extras())) for size in (3, 1)]
    return nf.Residual([*inner, ends[0]], [ends[1]])


@st.composite
def keeping(draw, shape, deep=0):
    """A layer, or a block, whose output has the shape of its input."""
    if deep < 2 and draw(st.integers(0, 3)) == 0:
        branch = [draw(keeping(shape, deep + 1)) for _ in range(draw(st.integers(1, 3)))]
        return nf.Residual(branch, [draw(pointwise(shape))] if draw(st.booleans()) else [])
    if draw(st.integers(0, 2)) == 0:
        extras = draw(affine_extras())
        return nf.Dense(shape[0], **extras) if len(shape) == 1 else nf.Conv(shape[0], 3, 1, 1, **extras)
    return draw(pointwise(shape))


@st.composite
def networks(draw):
    """A description that builds; its head is a Dense or a Conv."""
    shape = draw(st.sampled_from([(1,), (7,), (3, 6, 6), (1, 5, 8)]))
    layers, now = [], shape
    for _ in range(draw(st.integers(0, 6))):
        kinds = [keeping(now), residual(now, 0)]
        kinds.append(reducing(now) if len(now) == 3 else st.builds(nf.Dense, st.integers(1, 12)))
        layer = draw(draw(st.sampled_from(kinds)))
        layers.append(layer)
        now = layer.output_shape(now)
    extras = draw(affine_extras())
    head = nf.Dense(draw(small), **extras) if len(now) == 1 else nf.Conv(draw(small), 1, **extras)
    return nf.Network(shape, (*layers, head), draw(variances), draw(st.just(0.0) | variances))
