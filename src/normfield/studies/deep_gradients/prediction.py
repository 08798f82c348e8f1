"""Gradient norms by layer as theory of infinite width has them."""

from __future__ import annotations

import math

import numpy as np

from normfield.network import Network
from normfield.studies.network_kinds import Kind
from normfield.theory import depth_limits, mean_field


def predicted(
    kind: Kind, network: Network, activation: str, batch_size: int, layers: np.ndarray, weight_variance: float
) -> np.ndarray:
    """‖∂ℓ/∂z^l‖ of the layers asked for, over that of the last of them.

    Without batch norm √q̃^l of `mean_field`. With it λ_G^((L−l)/2) [Yang, Fig. 1]. With skip connections as well
    (v_L/v_l)^(λ_G/2), v_l = 1 + (l − 1)b the variance over the batch of what block l is given, b = σ_w² Var φ(z),
    z ~ N(0, 1), that of each branch: by 1 + λ_G b/v_l per block, squared.
    """
    if not kind.batch_norm:
        squared = mean_field(network, "published").order_parameters.q_tilde.reshape(-1)[layers - 1]
        return np.sqrt(squared / squared[-1])
    limits = depth_limits(activation, [batch_size, math.inf])
    rate = float(limits.explosion_rate[0])
    if not kind.skips:
        return rate ** ((layers[-1] - layers) / 2)
    variance = 1 + (layers - 1) * weight_variance * float(limits.fixed_point.spread[1])
    return (variance[-1] / variance) ** (rate / 2)
