"""The tools' calls for ten eigenvalues, a trace and a spectral density, as their users would write them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import curvlinops
import hessian_eigenthings as eigenthings
import numpy as np
import pyhessian
import torch
from scipy.sparse.linalg import eigsh
from yardstick import Problem

import normfield as nf

TOP, STARTS, STEPS = 10, 2, 30


@dataclass(frozen=True)
class Setting:
    """The one number that a tool's accuracy is set by."""

    what: str
    value: float

    def __str__(self) -> str:
        return f"{self.what} {self.value:g}"


Call = Callable[[Problem, Setting, int], Any]


def _curvlinops(given: Problem) -> Any:
    batches = [(given.inputs, given.labels)]
    return curvlinops.GGNLinearOperator(
        given.model, given.loss, given.parameters, batches, check_deterministic=False
    )


def _eigenthings(given: Problem) -> Any:
    from_outputs = eigenthings.supervised_loss_of_output(given.loss)
    data = [(given.inputs, given.labels)]
    return eigenthings.GGNOperator(given.model, data, eigenthings.supervised_forward, from_outputs)


def _pyhessian(given: Problem, seed: int) -> Any:
    torch.manual_seed(seed)
    return pyhessian.hessian(given.model, given.loss, data=(given.inputs, given.labels), cuda=False)


def _descending(values: Any) -> np.ndarray:
    return np.sort(np.asarray(values, dtype=float))[::-1]


def normfield_top(given: Problem, setting: Setting, seed: int) -> np.ndarray:
    """Block Lanczos until each is within the tolerance."""
    batch = (given.inputs, given.labels)
    found = nf.curvature(
        given.model, batch, given.loss, "ggn", top=TOP, tolerance=setting.value, seed=seed, method="lanczos"
    )
    return found.eigenvalues


def curvlinops_top(given: Problem, setting: Setting, seed: int) -> np.ndarray:
    """SciPy's ARPACK on its operator."""
    matrix = _curvlinops(given).to_scipy()
    start = np.random.default_rng(seed).standard_normal(matrix.shape[0]).astype(matrix.dtype)
    return _descending(
        eigsh(matrix, k=TOP, which="LA", tol=setting.value, v0=start, return_eigenvectors=False)
    )


def eigenthings_top(given: Problem, setting: Setting, seed: int) -> np.ndarray:
    """Its Lanczos with reorthogonalisation."""
    found = eigenthings.lanczos(
        _eigenthings(given), k=TOP, max_iter=int(setting.value), reorthogonalize=True, which="LA", seed=seed
    )
    return _descending(found.eigenvalues)


def pyhessian_top(given: Problem, setting: Setting, seed: int) -> np.ndarray:
    """Power iteration with deflation, its own 100 iterations at most."""
    return _descending(_pyhessian(given, seed).eigenvalues(tol=setting.value, top_n=TOP)[0])


TOPS: dict[str, tuple[Call, list[Setting]]] = {
    "normfield": (normfield_top, [Setting("tolerance", 1e-3)]),
    "curvlinops + eigsh": (curvlinops_top, [Setting("tol", tol) for tol in (1e-1, 1e-3)]),
    "hessian-eigenthings": (
        eigenthings_top,
        [Setting("steps", steps) for steps in (20, 30, 40, 60)],
    ),
    "PyHessian": (pyhessian_top, [Setting("tol", tol) for tol in (1e-3, 1e-5)]),
}


def top_error(values: Any, exact: np.ndarray) -> float:
    """The largest relative error over the ten."""
    return float(np.abs(np.asarray(values)[:TOP] / exact - 1).max())


def normfield_trace(given: Problem, setting: Setting, seed: int) -> float:
    """To a relative standard error."""
    batch = (given.inputs, given.labels)
    return nf.curvature_trace(given.model, batch, given.loss, "ggn", tolerance=setting.value, seed=seed).value


def _curvlinops_trace(estimator: Callable[..., Any]) -> Call:
    def trace(given: Problem, setting: Setting, seed: int) -> float:
        torch.manual_seed(seed)
        return float(estimator(_curvlinops(given), int(setting.value)))

    return trace


def _eigenthings_trace(method: Any) -> Call:
    def trace(given: Problem, setting: Setting, seed: int) -> float:
        found = eigenthings.trace(
            _eigenthings(given), num_matvecs=int(setting.value), method=method, seed=seed
        )
        return float(found.estimate)

    return trace


def _pyhessian_trace(given: Problem, setting: Setting, seed: int) -> float:
    """So many probes: its own stopping rule, two means within 1e-3, is no measure of the error."""
    return float(np.mean(_pyhessian(given, seed).trace(maxIter=int(setting.value), tol=0.0)))


HUTCHPP_PRODUCTS = [Setting("products", number) for number in (30, 60, 90, 150, 240)]
HUTCHPP: dict[str, Call] = {
    "hessian-eigenthings Hutch++": _eigenthings_trace("hutch++"),
    "curvlinops Hutch++": _curvlinops_trace(curvlinops.hutchpp_trace),
}
HUTCHINSON: dict[str, Call] = {
    "curvlinops Hutchinson": _curvlinops_trace(curvlinops.hutchinson_trace),
    "hessian-eigenthings Hutchinson": _eigenthings_trace("hutchinson"),
    "PyHessian": _pyhessian_trace,
}


@dataclass(frozen=True)
class Density:
    """What a density says of the trace: P times its mean."""

    trace: float


def density_of(value: Any) -> float:
    """The trace of a density."""
    return value.trace


def _normfield_density(given: Problem, setting: Setting, seed: int) -> Density:
    batch = (given.inputs, given.labels)
    found = nf.spectral_density(given.model, batch, given.loss, "ggn", seed=seed, probes=STARTS, steps=STEPS)
    return Density(found.moments(1)[0].value * _size(given))


def _size(given: Problem) -> int:
    return sum(p.numel() for p in given.parameters)


def _curvlinops_density(given: Problem, setting: Setting, seed: int) -> Density:
    """With the boundaries given, so that it need not look for them."""
    torch.manual_seed(seed)
    grid, density = curvlinops.lanczos_approximate_spectrum(
        _curvlinops(given), STEPS, num_points=20_000, num_repeats=STARTS, boundaries=(0.0, 10.79)
    )
    return Density(float(torch.trapezoid(grid * density, grid)) * _size(given))


def _eigenthings_density(given: Problem, setting: Setting, seed: int) -> Density:
    found = eigenthings.spectral_density(
        _eigenthings(given), num_runs=STARTS, lanczos_steps=STEPS, seed=STARTS * seed
    )
    mean = (found.raw_eigenvalues.nan_to_num() * found.raw_weights.nan_to_num()).sum(1).mean()
    return Density(float(mean) * _size(given))


DENSITIES: dict[str, Call] = {
    "normfield": _normfield_density,
    "curvlinops": _curvlinops_density,
    "hessian-eigenthings": _eigenthings_density,
}
"""PyHessian's density calls torch.eig, which torch has no more."""
