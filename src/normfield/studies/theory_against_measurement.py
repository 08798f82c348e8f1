"""Three readings of mean-field theory and the batch's kernel beside the measured λ_max of real networks, over γ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from normfield.measure import curvature
from normfield.nets import build
from normfield.network import Network
from normfield.report import Column, Figure, Series, Table, lines
from normfield.studies.cases import OUTPUTS, Case
from normfield.studies.curves import column, furthest_from_one, number, times_off, where, within_factor
from normfield.studies.frame import Row, Rows, Size, Study
from normfield.studies.groups import each_alone, one_by_one
from normfield.studies.verdicts import Check, Verdict
from normfield.theory import mean_field
from normfield.theory.kernels.batch import batch_kernel

#: "Closely agrees" is read as 0.1 decade.
CLOSE = 10**0.1
#: "Order of magnitude": within half a decade, either way.
ORDER = 10**0.5
#: What is asked of a reading in the mode that it is about.
OWN_MODE = 1.05
#: What is asked of the kernel, which knows the batch.
KERNEL = 1.02

MODES = ("batch", "frozen")
FIELDS = ("published", "frozen", "batch")
READINGS = (*FIELDS, "kernel")


@dataclass(frozen=True)
class Settings:
    """Which networks, at which γ, on how many samples, and how many of each."""

    cases: tuple[Case, ...]
    gammas: tuple[float, ...]
    samples: int
    networks: int


def _points(settings: Settings, seed: int) -> Rows:
    return [
        {"case": case.name, "gamma": gamma, "statistics": mode, "seed": seed + k}
        for case in settings.cases
        for gamma in settings.gammas
        for mode in MODES
        for k in range(settings.networks)
    ]


def _measure(settings: Settings, point: Row) -> Row:
    """One network on one batch of its own, and what each reading of the theory says of it."""
    case = next(case for case in settings.cases if case.name == point["case"])
    network = case.network(number(point, "gamma"))
    seed = int(number(point, "seed"))
    inputs = case.batch(settings.samples, seed)
    found = curvature(
        build(network, seed),
        (inputs, torch.zeros(len(inputs), OUTPUTS)),
        statistics=str(point["statistics"]),
        top=OUTPUTS,
        tolerance=3e-3,
        seed=seed,
    )
    theory = {name: mean_field(network, name).largest_eigenvalue for name in FIELDS}  # type: ignore[arg-type]
    return {
        "measured_mean": found.cluster_mean,
        "measured_largest": found.largest_eigenvalue,
        "error": found.error,
        "products": found.products,
        **theory,
        "kernel": _kernel(case, network, inputs),
    }


def _kernel(case: Case, network: Network, inputs: torch.Tensor) -> float | None:
    """λ_max by the kernel of the batch; None for convolutions, whose every position would be a sample of it."""
    if case.width is None:
        return None
    return batch_kernel(network, inputs.double().numpy()).largest_eigenvalue


@dataclass(frozen=True)
class Measured:
    """Over the networks of one case, mode and γ: mean and spread of the measured λ, and the predicted values."""

    case: str
    mode: str
    gamma: float
    mean: float
    spread: float
    largest: float
    theory: Mapping[str, float]


def _summary(rows: Rows) -> list[Measured]:
    keys = dict.fromkeys((row["case"], row["statistics"], row["gamma"]) for row in rows)
    return [_measured(where(rows, case=c, statistics=s, gamma=g)) for c, s, g in keys]


def _measured(rows: Rows) -> Measured:
    values = column(rows, "measured_mean")
    first = rows[0]
    return Measured(
        str(first["case"]),
        str(first["statistics"]),
        number(first, "gamma"),
        float(values.mean()),
        float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        float(column(rows, "measured_largest").mean()),
        {name: float(column(rows, name).mean()) for name in READINGS if first[name] is not None},
    )


def _of(found: list[Measured], mode: str, case: str | None = None) -> list[Measured]:
    return [one for one in found if one.mode == mode and case in (None, one.case)]


_NAMES = {
    "batch": "training mode",
    "frozen": "frozen statistics",
    "published": "as published (Wei et al.)",
    "kernel": "kernel of the batch",
}


def _draw(rows: Rows) -> tuple[Figure, ...]:
    """How far theory is from the network that trains, case by case; after the first case its λ_max itself."""
    found = _summary(rows)
    first, *others = dict.fromkeys(one.case for one in found)
    return (_relative(found, first), _absolute(found, first), *(_relative(found, case) for case in others))


def _absolute(found: list[Measured], case: str) -> Figure:
    return lines(
        _series(found, case, dict.fromkeys((one.gamma for one in found), 1.0)),
        "batch norm's scale γ",
        "largest Fisher eigenvalue λ_max",
        log_x=True,
        log_y=True,
        title=f"{case.capitalize()}: λ_max itself",
        caption="Lines: theory, nothing fitted. Points: measured, mean and spread over networks (mostly smaller than "
        "the point).",
    )


def _relative(found: list[Measured], case: str) -> Figure:
    """Everything over the λ_max that was measured in training mode."""
    batch = _of(found, "batch", case)
    return lines(
        _series(found, case, {one.gamma: one.mean for one in batch}),
        "batch norm's scale γ",
        "λ_max, as a multiple of the one measured in training mode",
        log_x=True,
        log_y=True,
        title=_headline(batch, case),
        caption="Lines: theory, nothing fitted. Points: measured, mean and spread over networks (mostly "
        "smaller than the point); those of training mode stand at 1, where a theory of training must be.",
    )


def _series(found: list[Measured], case: str, unit: Mapping[float, float]) -> list[Series]:
    """The theory's lines and the measured points of one case; at each γ in multiples of ``unit``."""
    batch = _of(found, "batch", case)
    theory = [
        Series(
            _NAMES[key] if key == "kernel" else f"theory, {_NAMES[key]}",
            [one.gamma for one in batch],
            [one.theory[key] / unit[one.gamma] for one in batch],
            style,
            group=_NAMES[key],
        )
        for key, style in _STYLES.items()
        if all(key in one.theory for one in batch)
    ]
    return theory + [_dots(_of(found, mode, case), mode, unit) for mode in MODES]


_STYLES: dict[str, Any] = {"batch": "dashed", "frozen": "dashed", "published": "dashed", "kernel": "line"}


def _dots(found: list[Measured], mode: str, unit: Mapping[float, float]) -> Series:
    return Series(
        f"measured, {_NAMES[mode]}",
        [one.gamma for one in found],
        [one.mean / unit[one.gamma] for one in found],
        "markers",
        low=[(one.mean - one.spread) / unit[one.gamma] for one in found],
        high=[(one.mean + one.spread) / unit[one.gamma] for one in found],
        group=_NAMES[mode],
    )


def _headline(batch: list[Measured], case: str) -> str:
    """The finding as a sentence, with its numbers."""
    kernel = f", the kernel {_range(batch, 'kernel', 3)} times" if _has_kernel(batch) else ""
    return (
        f"The published theory gives {_range(batch, 'published')} times the λ_max of the network that trains, the "
        f"theory of training mode {_range(batch, 'batch')} times{kernel} ({case})"
    )


def _has_kernel(found: list[Measured]) -> bool:
    return all("kernel" in one.theory for one in found)


def _tabulate(rows: Rows) -> Table:
    columns = [
        Column("network"),
        Column("γ"),
        Column("statistics"),
        Column("measured", digits=4),
        Column("± spread", digits=2),
        Column("largest", digits=4),
        *(Column(f"theory, {_NAMES[name]}", digits=4) for name in FIELDS),
        Column(_NAMES["kernel"], digits=4),
    ]
    body = [
        (
            *(one.case, one.gamma, one.mode, one.mean, one.spread, one.largest),
            *(one.theory.get(name) for name in READINGS),
        )
        for one in _summary(rows)
    ]
    networks = len({row["seed"] for row in rows})
    notes = (
        f"Measured: the mean of the {OUTPUTS} top eigenvalues, which theory gives; its mean and standard deviation "
        f"over {networks} networks, each with weights and a batch of its own. Largest: the top one alone.",
        "The kernel is that of training mode, the mean over the same batches; not computed for convolutions, where "
        "every position of every image would be a sample.",
    )
    return Table("λ_max, measured and by theory", columns, body, notes)


@dataclass(frozen=True)
class Deviation:
    """Where a reading is furthest from the measurement, as theory / measured."""

    ratio: float
    case: str
    gamma: float


def _furthest(found: list[Measured], reading: str) -> Deviation:
    ratios = np.array([one.theory[reading] / one.mean for one in found])
    worst = furthest_from_one(ratios)
    if np.isnan(worst):
        return Deviation(worst, "", np.nan)
    place = found[int(np.argmax(ratios == worst))]
    return Deviation(worst, place.case, place.gamma)


def _range(found: list[Measured], reading: str, decimals: int = 2) -> str:
    """The least and the largest theory / measured, in words."""
    ratios = [one.theory[reading] / one.mean for one in found]
    least, largest = f"{min(ratios):.{decimals}f}", f"{max(ratios):.{decimals}f}"
    return least if least == largest else f"{least} to {largest}"


def _verdict(rows: Rows) -> Verdict:
    found = _summary(rows)
    trained = _of(found, "batch")
    cases = list(dict.fromkeys(one.case for one in found))
    checks = [
        _published_check(
            trained, ORDER, f"the right order of magnitude read as a factor {ORDER:.2f} (half a decade)"
        ),
        _published_check(
            trained, CLOSE, f"“closely agrees” read as a factor {CLOSE:.2f} (a tenth of a decade)"
        ),
        *(
            _own_mode_check(_furthest(_of(found, mode, case), mode), mode, case)
            for mode in MODES
            for case in cases
        ),
        *(
            _kernel_check(_of(found, "batch", case))
            for case in cases
            if _has_kernel(_of(found, "batch", case))
        ),
    ]
    sentence = (
        f"For networks as they train, the published theory gives {_range(trained, 'published')} times the measured "
        f"λ_max, the theory of training mode {_range(trained, 'batch')} times."
    )
    return Verdict(sentence, tuple(checks))


def _published_check(trained: list[Measured], factor: float, criterion: str) -> Check:
    worst = _furthest(trained, "published")
    return Check(
        f"The published λ_max is {_range(trained, 'published')} times the one of networks in training mode (furthest "
        f"off: {worst.case}, γ = {worst.gamma:g}).",
        worst.ratio,
        "published / measured",
        criterion,
        within_factor(worst.ratio, factor),
    )


def _own_mode_check(worst: Deviation, mode: str, case: str) -> Check:
    return Check(
        f"{case.capitalize()}: the theory of {_NAMES[mode]} is up to {times_off(worst.ratio)} against the "
        f"networks measured in that mode (γ = {worst.gamma:g}).",
        worst.ratio,
        "theory / measured",
        f"within {100 * (OWN_MODE - 1):.0f} % at every γ",
        within_factor(worst.ratio, OWN_MODE),
        "normfield",
    )


def _kernel_check(trained: list[Measured]) -> Check:
    worst = _furthest(trained, "kernel")
    return Check(
        f"{trained[0].case.capitalize()}: the kernel of each network's own batch is up to {times_off(worst.ratio)} "
        f"against the networks in training mode (γ = {worst.gamma:g}).",
        worst.ratio,
        "kernel / measured",
        f"within {100 * (KERNEL - 1):.0f} % at every γ",
        within_factor(worst.ratio, KERNEL),
        "normfield",
    )


_SMALL = (
    Case("digits", (64,), width=1000),
    Case("normal", (784,), width=1000),
    Case("normal", (3, 32, 32), channels=(30, 60, 90)),
)

STUDY = Study(
    name="theory-against-measurement",
    title="Which theory describes the network that trains?",
    citation="Wei, Stokes, Schwab 2019, Claim 3.1 with Eqs. 20–25 and 34–45",
    link="https://arxiv.org/abs/1903.02606",
    claim=(
        "Mean-field theory gives the largest eigenvalue λ_max of the Fisher information matrix of a "
        "batch-normalised network, and the largest learning rate that follows from it closely agrees with "
        "where training fails."
    ),
    background=(
        "Batch norm rescales every unit's input over a batch to mean 0 and standard deviation γ. λ_max "
        "says how steep the loss is at initialisation; the largest stable learning rate is 2(1 + μ)/λ_max "
        "at momentum μ. Three readings of the theory differ in how they treat the batch's mean and "
        "variance. As published: no gradient flows through them, and the variance is taken to be the "
        "second moment. Frozen statistics: no gradient, the true variance, which is a network in inference "
        "mode. Training mode: the gradient flows through both, as it does when a network trains. The kernel does "
        "the same exactly, at infinite width, for the very batch that is measured."
    ),
    setting=(
        "Networks of four affine layers with ReLU as PyTorch modules at initialisation, σ_w² = 2, σ_b² = 0.5, "
        "β = 0, ε = 1e-5, ten outputs, squared loss. Measured is the mean of the ten top eigenvalues of the "
        "Fisher matrix of one batch, by Lanczos iteration; mean-field theory is at infinite width and for "
        "infinitely many i.i.d. normal inputs, the kernel at infinite width for the batch."
    ),
    differences=(
        "The paper compares its theory with where training fails; here it is compared with the curvature "
        "itself, which needs no training. Nothing was trained for this page.",
        "For convolutional networks the theories of frozen statistics and of training mode are lower bounds.",
        "Digits are not i.i.d. normal: neighbouring pixels go together. That matters for frozen statistics "
        "and hardly for training mode, as the checks show.",
    ),
    sizes={
        "smoke": Size(
            "digits, width 600, narrower than the paper's 1000; 128 samples, 3 values of γ, 2 networks",
            "20 s on one core",
            Settings((Case("digits", (64,), width=600),), (0.1, 1.0, 3.0), samples=128, networks=2),
        ),
        "small": Size(
            "digits, normal inputs of MNIST's size, width 1000, and the paper's convolutional network on "
            "CIFAR-10's shape; 300 samples, 7 values of γ, 3 networks",
            "about 10 minutes on 2 free cores",
            Settings(_SMALL, (0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0), samples=300, networks=3),
        ),
        "paper": Size(
            "the same and MNIST itself; 1000 samples, 13 values of γ, 10 networks",
            "hours on 2 free cores; not yet run by us",
            Settings(
                (Case("mnist", (784,), width=1000), *_SMALL),
                (0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0, 4.5, 5.0),
                samples=1000,
                networks=10,
            ),
        ),
    },
    points=_points,
    groups=each_alone,
    measure=one_by_one(_measure),
    draw=_draw,
    tabulate=_tabulate,
    verdict=_verdict,
)
