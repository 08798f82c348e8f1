"""Deep fully connected networks with and without batch norm, with and without skip connections."""

from __future__ import annotations

from dataclasses import dataclass

from normfield.network import Activation, BatchNorm, Dense, Layer, Network, Residual, mlp

CLASSES = 10


@dataclass(frozen=True)
class Kind:
    """Whether a network has batch norms, and skip connections, and how that is called in tables."""

    name: str
    batch_norm: bool
    skips: bool


PLAIN = Kind("neither", batch_norm=False, skips=False)
NORMED = Kind("batch norm", batch_norm=True, skips=False)
SKIPS = Kind("skip connections", batch_norm=False, skips=True)
BOTH = Kind("batch norm and skip connections", batch_norm=True, skips=True)
KINDS = (PLAIN, NORMED, SKIPS, BOTH)


def kind_named(name: object) -> Kind:
    """The kind of a row of a table."""
    return next(kind for kind in KINDS if kind.name == name)


def deep_network(
    kind: Kind,
    activation: str,
    inputs: int,
    width: int,
    depth: int,
    *,
    weight_variance: float,
    eps: float = 1e-5,
) -> Network:
    """``depth`` affine layers with biases 0 and ten outputs, h ← φ(N(Wh)) or, with skip connections, x ← x + Wφ(N(x)).

    N is a batch norm or nothing. With skip connections the first layer has σ_w² = 1, so that what the blocks are
    given has the mean square of the inputs, and another N and φ stand in front of the last.
    """
    if not kind.skips:
        return mlp(
            inputs, width, depth, CLASSES, kind.batch_norm, 1.0, activation, weight_variance, 0.0, eps=eps
        )
    given: tuple[Layer, ...] = (Activation(activation),)
    if kind.batch_norm:
        given = (BatchNorm(eps=eps), *given)
    blocks = [Residual((*given, Dense(width)))] * (depth - 2)
    layers = (Dense(width, weight_variance=1.0), *blocks, *given, Dense(CLASSES))
    return Network((inputs,), layers, weight_variance=weight_variance, bias_variance=0.0)
