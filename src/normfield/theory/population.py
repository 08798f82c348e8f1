r"""Population order parameters: the mean-field recursions of Wei, Stokes and Schwab (2019), and what they leave out.

With x ≠ y two independent samples, h the activations, z the pre-activations and δ = ∂f/∂z of one output f,

    q = E‖z‖²/N,  q̂ = E‖h‖²/N,  q̃ = E‖δ‖²,   and q_xy, q̂_xy, q̃_xy the same for ⟨·(x), ·(y)⟩ [Wei, Eqs. 17–19].

Base cases: q̂⁰ = 1, q̂⁰_xy = 0, q̃ᴸ = q̃ᴸ_xy = 1. For a convolution, inputs being i.i.d., the parameters of two different
positions equal those of two samples going forwards (q_αβ,xy = q_xy) and vanish below a flattened dense head going
backwards (q̃_αβ,xy = 0), since the head has independent weights for every position.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from normfield.theory.chain import Affine, Block, Chain, Norm
from normfield.theory.gaussian import Moments, moments, pair_moments, slope_argument_product
from normfield.theory.shown import parameters_figure

if TYPE_CHECKING:
    import pandas
    from plotly.graph_objects import Figure as PlotlyFigure

Statistics = Literal["published", "frozen", "batch"]


@dataclass(frozen=True)
class OrderParameters:
    """Order parameters of layers 1..L; each an array of shape (L, *grid).

    Attributes
    ----------
    q, q_xy
        Second moment of the pre-activations, for one sample and for two.
    q_hat, q_hat_xy
        The same of the activations; layer L is linear, so there q̂ᴸ = qᴸ.
    q_tilde, q_tilde_xy
        The same of the gradient δ of one output, summed over units.
    """

    q: np.ndarray
    q_xy: np.ndarray
    q_hat: np.ndarray
    q_hat_xy: np.ndarray
    q_tilde: np.ndarray
    q_tilde_xy: np.ndarray

    def to_frame(self) -> pandas.DataFrame:
        """One row per layer and grid point: layer, (point,) q … q_tilde_xy."""
        import pandas

        layers, points = self.q.shape[0], int(np.prod(self.q.shape[1:]))
        columns = {"layer": np.repeat(np.arange(1, layers + 1), points)}
        if self.q.ndim > 1:
            columns["point"] = np.tile(np.arange(points), layers)
        columns |= {item.name: getattr(self, item.name).reshape(-1) for item in fields(self)}
        return pandas.DataFrame(columns)

    def plot(self) -> PlotlyFigure:
        """Every order parameter against the layer, on a logarithmic axis; raises InvalidInput for a grid."""
        return parameters_figure(self).to_plotly()


@dataclass(frozen=True)
class BlockPass:
    """One block's map: activations going forwards, gains of the squared gradient going backwards.

    ``gain`` and ``gain_xy`` take E‖∂f/∂h‖² (and its two-sample form) at the block's output to q̃ and q̃_xy at its
    pre-activation. ``scales`` holds, for each trainable γ and β, what the two-sample squared gradient at the
    block's output is multiplied with. ``fluctuation`` is [Var φ′ − (E φ′z)²]/E φ′², the share of the squared gradient
    that the backward pass of batch norm leaves to single samples.
    """

    q_hat: np.ndarray
    q_hat_xy: np.ndarray
    gain: np.ndarray
    gain_xy: np.ndarray
    scales: tuple[tuple[str, np.ndarray], ...] = ()
    fluctuation: np.ndarray | None = None
    unit_mean: np.ndarray | None = None
    error: float = 0.0


@dataclass(frozen=True)
class Population:
    """Order parameters with the block passes they came from."""

    order_parameters: OrderParameters
    passes: tuple[BlockPass, ...]
    error: float

    def gradient_xy(self, chain: Chain, l: int) -> np.ndarray:
        """Two-sample squared gradient at the output of hidden block l (1..L−1), per position."""
        return _pull_back(chain.affines[l], chain.affines[l - 1], self.order_parameters.q_tilde_xy[l])


def run_population(chain: Chain, statistics: Statistics, shape: tuple[int, ...]) -> Population:
    """Forward and backward recursion along a chain.

    Parameters
    ----------
    chain
        Blocks and head, their numbers broadcasting to ``shape``.
    statistics
        "published" takes the batch variance to be q and sends no gradient through it [Wei, Eqs. 23–25]; "frozen"
        takes the variance over the data, q − q_xy, as a constant; "batch" sends the gradient through it.
    shape
        Shape of the grid, () for one network.

    Returns
    -------
    Population
        Order parameters of shape (L, *shape).
    """
    passes: list[BlockPass] = []
    forward: list[tuple[np.ndarray, np.ndarray]] = []
    q_hat, q_hat_xy = np.ones(shape), np.zeros(shape)
    previous = None
    for block in chain.blocks:
        q, q_xy = _affine_map(block.affine, q_hat, q_hat_xy)
        repeats = bool(passes) and _repeats(block, previous, (q, q_xy), forward[-1])
        step = passes[-1] if repeats else block_pass(block, q, q_xy, statistics)
        previous = block
        forward.append((q, q_xy))
        passes.append(step)
        q_hat, q_hat_xy = step.q_hat, step.q_hat_xy
    forward.append(_affine_map(chain.head, q_hat, q_hat_xy))
    backward = _backward(chain, passes, shape)
    columns = [np.stack([np.broadcast_to(v, shape) for v in values]) for values in zip(*forward, strict=True)]
    hats = [
        np.stack([np.broadcast_to(getattr(step, name), shape) for step in passes] + [columns[k][-1]])
        for k, name in enumerate(("q_hat", "q_hat_xy"))
    ]
    tildes = [np.stack([np.broadcast_to(v, shape) for v in values]) for values in zip(*backward, strict=True)]
    parameters = OrderParameters(*columns, *hats, *tildes)
    return Population(parameters, tuple(passes), max((step.error for step in passes), default=0.0))


def _repeats(block: Block, before: Block | None, *moments: tuple[np.ndarray, np.ndarray]) -> bool:
    """Whether a block maps the same moments by the same numbers as the one before: batch norm's fixed point."""

    def numbers(norm: Norm | None) -> list[Any]:
        return [] if norm is None else [getattr(norm, item.name) for item in fields(norm)]

    if before is None or block.phi != before.phi:
        return False
    ours, theirs = (numbers(one.norm) + numbers(one.norm_after) for one in (block, before))
    alike = len(ours) == len(theirs) and all(map(np.array_equal, ours, theirs))
    return alike and all(map(np.array_equal, *moments))


def _affine_map(affine: Affine, q_hat: np.ndarray, q_hat_xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """q = σ_b² + σ_w² q̂, and the same for two samples [Wei, Eq. 23]."""
    b, w = affine.bias_variance, affine.weight_variance
    return np.asarray(b + w * q_hat), np.asarray(b + w * q_hat_xy)


def _backward(
    chain: Chain, passes: list[BlockPass], shape: tuple[int, ...]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(q̃, q̃_xy) of layers 1..L, from the head down."""
    found = [(np.ones(shape), np.ones(shape))]
    pairs = zip(chain.affines[1:], chain.affines[:-1], strict=True)
    for (above, here), step in zip(reversed(list(pairs)), reversed(passes), strict=True):
        q_tilde, q_tilde_xy = (_pull_back(above, here, value) for value in found[0])
        found.insert(0, (q_tilde * step.gain, q_tilde_xy * step.gain_xy))
    return found


def _pull_back(above: Affine, here: Affine, q_tilde: np.ndarray) -> np.ndarray:
    """Squared gradient at the input of an affine layer, per position: σ_w² q̃ |K above|/|K here|."""
    return np.asarray(above.weight_variance * q_tilde * (above.positions / here.positions))


def block_pass(block: Block, q: np.ndarray, q_xy: np.ndarray, statistics: Statistics) -> BlockPass:
    """One block's map for the given q and q_xy of its pre-activations."""
    if block.norm is None:
        step = _plain(block, q, q_xy)
    elif block.norm.kind == "batch":
        step = _batch_normed(block, block.norm, q, q_xy, statistics)
    else:
        step = _sample_normed(block, block.norm, q, q_xy)
    return step if block.norm_after is None else _normed_after(block.norm_after, step)


def _plain(block: Block, q: np.ndarray, q_xy: np.ndarray) -> BlockPass:
    """E φφ and E φ′φ′ under the bivariate normal [Wei, Eqs. 20–22, for any φ]."""
    m = pair_moments(block.phi, q, q_xy)
    return BlockPass(m.second, m.product, m.slope_second, m.slope_product, unit_mean=m.mean, error=m.error)


def _batch_normed(
    block: Block, norm: Norm, q: np.ndarray, q_xy: np.ndarray, statistics: Statistics
) -> BlockPass:
    """u = z/s per unit, φ(γu + β); s² is q as published (no ε), else the variance over the data q − q_xy, plus ε."""
    spread = q if statistics == "published" else q - q_xy
    s2 = q if statistics == "published" else spread + norm.eps
    kept = np.sqrt(spread / s2)
    m = moments(block.phi, norm.gamma * kept, norm.beta)
    gamma2 = np.square(norm.gamma)
    passed = 0.0 if statistics == "batch" else gamma2 * m.slope**2 / s2
    return BlockPass(
        q_hat=m.second,
        q_hat_xy=m.mean**2,
        gain=gamma2 * m.slope_second / s2,
        gain_xy=np.asarray(passed),
        scales=(("gamma", (m.slope_z * kept) ** 2), ("beta", m.slope**2)),
        fluctuation=_fluctuation(m),
        unit_mean=m.mean,
        error=m.error,
    )


def _fluctuation(m: Moments) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (m.slope_second - m.slope**2 - m.slope_z**2) / m.slope_second
    return np.where(m.slope_second > 0, share, 0.0)


def _sample_normed(block: Block, norm: Norm, q: np.ndarray, q_xy: np.ndarray) -> BlockPass:
    """Per-sample division by √(q + ε) (mean over units 0); its backward projections are O(1/N)."""
    s2 = q + norm.eps
    gamma2 = np.square(norm.gamma)
    beta = np.asarray(norm.beta, dtype=float)
    m = pair_moments(block.phi, gamma2 * q / s2, gamma2 * q_xy / s2, beta)
    unit = np.broadcast_arrays(q / s2, q_xy / s2, beta)
    # With γ inside φ′ only through the argument: E φ′(a)φ′(b) u v, u and v of variance q/s².
    gamma_scale = _scale_term(block, np.asarray(norm.gamma, dtype=float), *unit)
    scales = [("gamma", gamma_scale)]
    if norm.kind == "layer":
        scales.append(("beta", m.slope_product))
    return BlockPass(
        m.second,
        m.product,
        gamma2 / s2 * m.slope_second,
        gamma2 / s2 * m.slope_product,
        tuple(scales),
        unit_mean=m.mean,
        error=m.error,
    )


def _scale_term(
    block: Block, gamma: np.ndarray, variance: np.ndarray, covariance: np.ndarray, beta: np.ndarray
) -> np.ndarray:
    """E φ′(γu + β)φ′(γv + β)uv; at γ = 0 the slopes are constants."""
    safe = np.where(gamma == 0, 1.0, gamma)
    product = slope_argument_product(block.phi, safe**2 * variance, safe**2 * covariance, beta) / safe**2
    if not np.any(gamma == 0):
        return product
    constant = moments(block.phi, 0.0, beta).slope ** 2 * covariance
    return np.where(gamma == 0, constant, product)


def _normed_after(norm: Norm, step: BlockPass) -> BlockPass:
    """A per-sample norm after the activation: LayerNorm subtracts (E φ)² first, RMSNorm does not."""
    assert step.unit_mean is not None
    mean2 = step.unit_mean**2 if norm.kind == "layer" else 0.0
    s2 = step.q_hat - mean2 + norm.eps
    gain = np.square(norm.gamma) / s2
    own = [("gamma after", (step.q_hat_xy - mean2) / s2)]
    if norm.kind == "layer":
        own.append(("beta after", np.ones_like(s2)))
    return BlockPass(
        q_hat=gain * (step.q_hat - mean2) + np.square(norm.beta),
        q_hat_xy=gain * (step.q_hat_xy - mean2) + np.square(norm.beta),
        gain=gain * step.gain,
        gain_xy=gain * step.gain_xy,
        scales=(*((name, gain * value) for name, value in step.scales), *own),
        unit_mean=np.asarray(norm.beta, dtype=float),
        error=step.error,
    )
