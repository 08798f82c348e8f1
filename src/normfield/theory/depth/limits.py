"""The door of depth: how fast gradients explode in a deep network with batch norm, and how deep it trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from normfield.errors import InvalidInput
from normfield.network import Activation, ActivationFunction
from normfield.theory import ops
from normfield.theory.depth.fixed_point import FixedPoint
from normfield.theory.depth.limits_result import DepthLimits
from normfield.theory.depth.point import Layer, PointLimits, limits_at
from normfield.theory.depth.response import Unit
from normfield.theory.depth.transition import CollapseTransition
from normfield.theory.gaussian import derivative

_TRAINED = 16  # depth scales to which networks train [Yang, Fig. 2]


def depth_limits(
    activation: str | ActivationFunction | Activation | Callable[[Any], Any] = "relu",
    batch_size: Any = 32,
    gamma: Any = 1.0,
    beta: Any = 0.0,
    eps: Any = 0.0,
    *,
    weight_variance: Any = 2.0,
) -> DepthLimits:
    r"""Fixed point, explosion rate and trainable depth of a network with batch norm in every layer, at infinite width.

    For layers h = φ(γ BN(z) + β), z ← Wh + b, over batches of B samples, Σ = E[h hᵀ] reaches q*[(1−c*)I + c*11ᵀ] in
    one step (ε = 0), and squared gradients then grow per layer, going backwards, by [Yang]

    .. math::
        \lambda_G = \frac{\mathbb{E}[(B-1-z_1^2)\varphi'(z_1)^2 + (1+z_1z_2)\varphi'(z_1)\varphi'(z_2)]}{(B-3)\mu^*} > 1

    with z = √B v, v uniform on the unit sphere of the centred batch, φ short for φ(γ· + β) and μ* = q*(1−c*); networks
    deeper than about 16ξ, ξ = 1/ln λ_G, do not train. With ε > 0 the fixed point is found numerically, with the
    batch's radius integrated out; above ``transition`` the batch collapses.

    Parameters
    ----------
    activation
        φ: a name, an `ActivationFunction`, an `Activation` layer or a vectorised callable.
    batch_size
        B, at least 2 (2 and 3 have an answer in words at ε = 0), or ``math.inf``.
    gamma, beta, eps
        γ, β and ε of batch norm.
    weight_variance
        σ_w²; it matters only beside ε > 0. Bias variance never matters, since batch norm removes it.

    All but ``activation`` may be arrays that broadcast against one another.

    Returns
    -------
    DepthLimits
        Numbers, or arrays of the broadcast shape, each with an error estimate.

    Raises
    ------
    InvalidInput
        A number is out of range, or the activation is unknown or fails on arrays.

    Examples
    --------
    >>> limits = depth_limits("relu", batch_size=32)
    >>> print(f"{limits.explosion_rate:.5f} {limits.trainable_depth:.1f}")
    1.52195 38.1
    >>> depth_limits("tanh", batch_size=[8, 64, 512], gamma=0.3).explosion_rate.shape
    (3,)
    """
    phi = _row(activation)
    given = (
        _batch_sizes(batch_size),
        _axis("gamma", gamma),
        _axis("beta", beta),
        _axis("eps", eps, least=0.0),
        _axis("weight_variance", weight_variance, least=np.finfo(float).tiny),
    )
    try:
        axes = np.broadcast_arrays(*given)
    except ValueError:
        raise InvalidInput(
            expected="axes that broadcast against one another", got=f"shapes {[axis.shape for axis in given]}"
        ) from None
    points = [
        limits_at(Layer(Unit(phi, size, scale, shift), added, variance))
        for size, scale, shift, added, variance in zip(*(axis.ravel().tolist() for axis in axes), strict=True)
    ]
    return _gathered(points, phi.name, axes)


def _row(activation: Any) -> ActivationFunction:
    layer = activation if isinstance(activation, Activation) else Activation(activation)
    phi, x = layer.row, np.linspace(-3, 3, 7)
    try:
        with np.errstate(all="ignore"):
            tried = [np.broadcast_to(np.asarray(f(x), dtype=float), x.shape) for f in _both(phi)]
    except Exception as error:
        raise InvalidInput(
            expected="an activation that maps a NumPy array to one of its shape",
            got=f"{phi.name}, which raised {type(error).__name__}: {error}",
            instead='give a name such as "tanh", or a function of NumPy arrays',
        ) from error
    if not np.all(np.isfinite(tried)):
        raise InvalidInput(
            expected="an activation with finite values and slopes",
            got=f"{phi.name}, which has others between −3 and 3",
        )
    return phi


def _both(phi: ActivationFunction) -> tuple[Callable[[np.ndarray], Any], Callable[[np.ndarray], Any]]:
    return (lambda x: phi.function(ops, x)), derivative(phi)


def _batch_sizes(values: Any) -> np.ndarray:
    sizes = _numbers("batch_size", values)
    wrong = np.isnan(sizes) | (sizes < 2) | (np.isfinite(sizes) & (sizes != np.round(sizes)))
    if np.any(wrong):
        raise InvalidInput(
            expected="batch_size as a whole number of at least 2, or math.inf",
            got=f"{sizes[wrong].flat[0]:g}",
            instead="batch norm needs 2 samples to have a variance, and 4 for gradients of finite variance",
        )
    return sizes


def _axis(name: str, values: Any, least: float = -np.inf) -> np.ndarray:
    array = _numbers(name, values)
    wrong = ~np.isfinite(array) | (array < least)
    if np.any(wrong):
        bound = {-np.inf: "", 0.0: " of at least 0"}.get(least, " above 0")
        raise InvalidInput(expected=f"a finite {name}{bound}", got=f"{array[wrong].flat[0]:g}")
    return array


def _numbers(name: str, values: Any) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise InvalidInput(expected=f"{name} as a number or an array", got=repr(values)) from None
    if array.size == 0:
        raise InvalidInput(expected=f"at least one value of {name}", got="none")
    return array


def _gathered(points: Sequence[PointLimits], name: str, axes: Sequence[np.ndarray]) -> DepthLimits:
    shape = axes[0].shape

    def over(read: Callable[[PointLimits], Any]) -> Any:
        values = np.array([read(point) for point in points]).reshape(shape)
        return values if shape else values.item()

    scales = over(_depth_scale)
    sizes, *settings = (axis.copy() if shape else axis.item() for axis in axes)
    return DepthLimits(
        depth_scale=scales,
        trainable_depth=_TRAINED * scales,
        residual_exponent=over(lambda point: point.residual_exponent),
        fixed_point=FixedPoint(*(over(_reader("fixed_point", item.name)) for item in fields(FixedPoint))),
        transition=CollapseTransition(
            *(over(_reader("transition", item.name)) for item in fields(CollapseTransition))
        ),
        regime=over(lambda point: point.regime),
        errors={key: over(lambda point, key=key: point.errors[key]) for key in points[0].errors},
        status=over(lambda point: point.status),
        activation=name,
        batch_size=int(sizes) if not shape and math.isfinite(sizes) else sizes,
        **{item: over(_reader("rates", item)) for item in vars(points[0].rates)},
        **dict(zip(("gamma", "beta", "eps", "weight_variance"), settings, strict=True)),
    )


def _reader(part: str, name: str) -> Callable[[PointLimits], Any]:
    return lambda point: getattr(getattr(point, part), name)


def _depth_scale(point: PointLimits) -> float:
    """ξ; infinite where the rate does not exceed 1 by more than its error."""
    rate = point.rates.explosion_rate
    if not math.isfinite(rate):
        return math.nan
    return 1 / math.log(rate) if rate > 1 + point.errors["explosion_rate"] else math.inf
