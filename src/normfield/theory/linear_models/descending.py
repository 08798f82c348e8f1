"""The door of linear models: one method of descent from many starts at many learning rates."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from normfield.errors import InvalidInput
from normfield.seeds import whole_seed
from normfield.theory.linear_models.descent import Descent
from normfield.theory.linear_models.problems import Problem
from normfield.theory.linear_models.reading import numbers, positive, whole
from normfield.theory.linear_models.running import run
from normfield.theory.linear_models.steps.batch_norm import BatchNormSteps
from normfield.theory.linear_models.steps.gradient import GradientSteps
from normfield.theory.linear_models.steps.heavy_ball import HeavyBallSteps
from normfield.theory.linear_models.steps.method import Method, State
from normfield.theory.linear_models.steps.nesterov import NesterovSteps
from normfield.theory.linear_models.steps.normalised import NormalisedSteps
from normfield.theory.linear_models.watching import Watch, recorded_steps

_METHODS: Mapping[str, type[Any]] = {
    "batch_norm": BatchNormSteps,
    "gradient": GradientSteps,
    "heavy_ball": HeavyBallSteps,
    "nesterov": NesterovSteps,
    "normalised": NormalisedSteps,
}


def descend(
    problem: Problem,
    method: str | Method = "batch_norm",
    learning_rates: Any = None,
    *,
    steps: int = 10_000,
    start: Any = None,
    seed: int | Sequence[int] = 0,
    tolerance: float = 1e-10,
    records: int = 200,
) -> Descent:
    r"""Minimise a linear model's loss by one method, from many starts at many learning rates at once.

    Beside the losses it gives, for batch norm, the effective step ε̂ = ε(a/σ)(wᵀg/σ²) of each step, in which the error
    e = u − (wᵀg/σ²)w obeys u − (wᵀg/σ²)w⁺ = (1 − ε̂H)e exactly; ‖w‖ never falls, since every step of w is at right
    angles to w; and the local rate max|1 − ε̂λ_i(H*)| beside the one that is measured [Cai].

    Parameters
    ----------
    problem
        A `LeastSquares`, a `GaussianHalfspace` or a `SampledHalfspace`.
    method
        "batch_norm" | "gradient" | "heavy_ball" | "nesterov" | "normalised", or one of `BatchNormSteps`,
        `GradientSteps`, `HeavyBallSteps`, `NesterovSteps`, `NormalisedSteps` with settings of its own.
    learning_rates : float or array
        ε, each above 0; None for "normalised", which has none.
    steps
        How many.
    start : array (d,) or (s, d)
        w₀ of every run; drawn from the unit sphere if None.
    seed
        One whole number, or one for each of s starts to draw.
    tolerance
        `Descent.steps_needed` counts steps until f − f* is at most this share of f(0) − f*.
    records
        About how many steps are recorded, evenly spread over decades.

    Returns
    -------
    Descent
        Arrays over starts and learning rates; an axis that was one number or one start is left out.

    Raises
    ------
    InvalidInput
        A word or number is out of range, a start does not fit the problem, or batch norm cannot leave it: where
        wᵀg = 0 its gradient is 0.

    Warns
    -----
    UserWarning
        "normalised" on samples that are far from Gaussian, with the measured departure: Kohler's theorem is about
        Gaussian ones.

    Examples
    --------
    >>> problem = LeastSquares(np.diag([1.0, 4.0, 9.0]), [1.0, 1.0, 1.0])
    >>> found = descend(problem, "batch_norm", [1e-2, 1.0, 1e2], steps=20_000)
    >>> found.status.tolist()
    ['converged', 'converged', 'converged']
    >>> descend(problem, "gradient", [1e-2, 1.0], steps=2_000).status.tolist()
    ['converged', 'diverged']
    """
    rule = _method(method)
    if not isinstance(problem, Problem):
        raise InvalidInput(
            expected="a problem of a linear model",
            got=type(problem).__name__,
            instead="make one with nf.least_squares_problem or nf.halfspace_problem",
        )
    if problem.caveat and isinstance(rule, NormalisedSteps):
        warnings.warn(problem.caveat, stacklevel=2)
    rates = _rates(rule, learning_rates)
    starts = _starts(problem, rule, start, seed)
    shape = starts.shape[:-1] + rates.shape
    columns = np.repeat(problem.spectrum.inwards(starts).reshape(-1, starts.shape[-1]).T, rates.size, axis=1)
    watch = Watch(
        problem.objective,
        positive("tolerance", tolerance, most=1.0),
        recorded_steps(whole("steps", steps), whole("records", records)),
        columns.shape[1],
    )
    each = np.tile(rates.ravel(), columns.shape[1] // rates.size)
    return _gathered(
        problem, rule, learning_rates, watch, run(watch.objective, rule, columns, each, watch), shape
    )


def _gathered(
    problem: Problem, rule: Method, given: Any, watch: Watch, last: State, shape: tuple[int, ...]
) -> Descent:
    def over(values: np.ndarray) -> Any:
        shaped = values.reshape(values.shape[:-1] + shape)
        return shaped if shaped.ndim else shaped.item()

    steps = int(watch.recorded[-1])
    settled = np.where(watch.unstable < steps, watch.unstable + 1.0, np.inf)
    return Descent(
        problem=problem,
        method=rule,
        learning_rates=None if given is None else numbers_of_any_shape("learning_rates", given),
        steps=steps,
        tolerance=watch.tolerance,
        recorded_steps=watch.recorded,
        excess_losses=over(watch.excess),
        direction_gaps=over(watch.direction_gaps),
        effective_steps=over(watch.effective),
        norms=over(np.sqrt(watch.squared_norms)),
        steps_needed=over(np.where(watch.reached >= 0, watch.reached, np.inf)),
        settled_from=over(settled),
        least_norm_growth=over(watch.least_growth),
        predicted_rates=over(rule.local_rates(problem.local, watch.effective[-1])),
        measured_rates=over(watch.local.rates()),
        weights=problem.spectrum.outwards(last.predictor.T).reshape(*shape, -1),
    )


def _method(given: Any) -> Method:
    if isinstance(given, tuple(_METHODS.values())):
        return given
    if isinstance(given, str) and given in _METHODS:
        return _METHODS[given]()
    raise InvalidInput(
        expected=f"method as one of {', '.join(_METHODS)}",
        got=repr(given),
        instead="or give settings of your own, such as nf.HeavyBallSteps(momentum=0.5)",
    )


def _rates(rule: Method, given: Any) -> np.ndarray:
    if not rule.takes_rates:
        if given is not None:
            raise InvalidInput(
                expected=f"no learning rate for {rule.name}", got="learning_rates", instead="leave it out"
            )
        return np.asarray(1.0)
    if given is None:
        raise InvalidInput(
            expected=f"learning_rates for {rule.name}", got="none", instead="try np.geomspace(1e-4, 10, 51)"
        )
    rates = numbers_of_any_shape("learning_rates", given)
    if np.any(rates <= 0):
        raise InvalidInput(expected="learning_rates above 0", got=f"{rates[rates <= 0].flat[0]:g}")
    return rates


def numbers_of_any_shape(name: str, given: Any) -> np.ndarray:
    """A number or a row of them."""
    return numbers(name, given, "()" if np.ndim(given) == 0 else "(n,)")


def _starts(problem: Problem, rule: Method, given: Any, seed: Any) -> np.ndarray:
    inputs = len(problem.spectrum.eigenvalues)
    starts = (
        _drawn(inputs, seed)
        if given is None
        else numbers("start", given, "(d,)" if np.ndim(given) == 1 else "(s, d)")
    )
    if starts.shape[-1] != inputs:
        raise InvalidInput(expected=f"a start of {inputs} weights", got=f"{starts.shape[-1]}")
    if isinstance(rule, BatchNormSteps | NormalisedSteps):
        _check_moving(problem, rule, starts)
    return starts


def _check_moving(problem: Problem, rule: BatchNormSteps | NormalisedSteps, starts: np.ndarray) -> None:
    """A norm needs w ≠ 0; and where wᵀg = 0 with a = 0 every gradient is 0."""
    lengths = np.linalg.norm(starts, axis=-1)
    if np.any(lengths == 0):
        raise InvalidInput(
            expected="a start other than 0 for a normalised model", got="w = 0, which has no direction"
        )
    cosines = starts @ problem.correlation / (lengths * np.linalg.norm(problem.correlation))
    held = isinstance(rule, NormalisedSteps) or rule.start_scale == 0
    if held and np.any(np.abs(cosines) <= len(problem.correlation) * np.finfo(float).eps):
        raise InvalidInput(
            expected="a start with some correlation to the targets",
            got="wᵀg = 0, a stationary point: the gradient of batch norm is 0 there, and no step leaves it",
            instead="give another start",
        )


def _drawn(inputs: int, seed: Any) -> np.ndarray:
    """Unit vectors, one for each seed."""
    if isinstance(seed, Sequence | np.ndarray) and not isinstance(seed, str):
        if not len(seed):
            raise InvalidInput(expected="at least one seed", got="none")
        return np.stack([_drawn(inputs, one) for one in seed])
    w = np.random.default_rng(whole_seed(seed)).standard_normal(inputs)
    return w / np.linalg.norm(w)
