"""What the report shows by layer: where λ_max sits, and how large signals and gradients are."""

from __future__ import annotations

import math
from collections.abc import Mapping

from normfield.diagnosis.answer import Answer
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.shares import measured_shares, theory_shares
from normfield.diagnosis.signals import Expected, expected_by_kernel, expected_by_theory
from normfield.diagnosis.subject import Subject
from normfield.measure.signals import LayerSignals
from normfield.report import Column, Figure, Fold, Section, Series, Table, bars, lines
from normfield.theory.kernels import DepthProfile
from normfield.theory.shown import KINDS, by_layer

_GRADIENT_CAPTIONS = {
    "kernel": "The kernel's curve is the root mean square over random weights, on these samples and targets.",
    "theory": "Theory gives the growth; its curve starts at the measured value of the last hidden layer.",
}


def shares_section(answers: Mapping[str, Answer], subject: Subject) -> Section | None:
    """What each layer adds to λ_max, by theory and as measured; None where there is neither."""
    figures: list[Figure] = []
    theory, measured = answers["theory"].detail, answers["measured"].detail
    if theory is not None:
        scale = (answers["theory"].largest_eigenvalue or 0.0) / theory.largest_eigenvalue
        figures.append(_share_figure("λ_max by layer, theory", theory_shares(theory, scale)))
    if measured is not None and measured.largest_eigenvalue > 0:
        figures.append(_share_figure("λ_max by layer, measured", measured_shares(measured, subject.module)))
    if not figures:
        return None
    lead = "Which parameters make the loss steep: what each layer adds to the largest eigenvalue."
    if subject.has_batch_norm:
        lead += (
            " By theory the backward pass of a batch norm removes what samples have in common, so that layers below "
            "it add little; the measured shares show whether that holds here."
        )
    return Section("Where λ_max comes from", figures, lead=lead)


def _share_figure(title: str, shares: dict[str, dict[int, float]]) -> Figure:
    labels, values = by_layer(shares)
    named = {KINDS.get(kind, kind): value for kind, value in values.items()}
    return bars(labels, named, value_title="part of λ_max", title=title)


def signals_section(
    answers: Mapping[str, Answer], asked: Asked, signals: LayerSignals | None, profile: DepthProfile | None
) -> Section | None:
    """Scale of signal and gradient at each affine layer; None where fewer than two layers were measured."""
    if signals is None or len(signals.layers) < 2:
        return None
    theory = expected_by_kernel(profile, signals, asked) or expected_by_theory(
        answers["theory"].detail, signals
    )
    figures = [
        _gradient_figure(signals, theory),
        _signal_figure(signals, theory),
        _correlation_figure(signals, theory),
    ]
    lead = (
        f"One forward and one backward pass over {signals.samples} samples at the initial weights, in training mode. "
        f"{_growth_words(signals, theory)}"
    )
    table = Fold("Every layer", [_table(signals, theory)])
    return Section("Signal and gradient by layer", [*(f for f in figures if f is not None), table], lead=lead)


def _growth_words(signals: LayerSignals, theory: Expected | None) -> str:
    growth = signals.gradient_growth
    if growth is None:
        return ""
    by_theory = theory.gradient_growth if theory else None
    beside = "" if theory is None or by_theory is None else f" ({theory.by}: {by_theory:.3g})"
    error = "" if growth.error is None else f" ± {growth.factor * growth.error:.1g}"
    return (
        f"From one inner layer to the one below it, the gradient's norm changes by a factor of "
        f"{growth.factor:.3g}{error}{beside}."
    )


def _numbers(signals: LayerSignals) -> list[int]:
    return list(range(1, len(signals.layers) + 1))


def _signal_figure(signals: LayerSignals, theory: Expected | None) -> Figure | None:
    measured = [math.sqrt(layer.mean_square) for layer in signals.layers]
    if not max(measured) > 0:
        return None
    x, names = _numbers(signals), [layer.name for layer in signals.layers]
    series = [Series("measured √(E z²)", x, measured, style="markers", hover=names)]
    if theory is not None:
        series.append(Series(f"{theory.by} √q", x, theory.signal, style="dashed"))
    return lines(
        series,
        "affine layer, from the input",
        "root mean square of its outputs z",
        log_y=True,
        least_decades=1.0,
        title="Signal by layer",
    )


def _gradient_figure(signals: LayerSignals, theory: Expected | None) -> Figure | None:
    measured = [layer.gradient for layer in signals.layers]
    if not max(measured) > 0:
        return None
    x, names = _numbers(signals), [layer.name for layer in signals.layers]
    series = [Series("measured ‖∂ℓ/∂z‖", x, measured, style="markers", hover=names)]
    if theory is not None:
        series.append(_expected_gradient(theory, x))
    caption = "" if theory is None else _GRADIENT_CAPTIONS[theory.by]
    return lines(
        series,
        "affine layer, from the input",
        "norm of the loss's gradient there",
        log_y=True,
        least_decades=1.0,
        title="Gradient by layer",
        caption=caption,
    )


def _expected_gradient(theory: Expected, x: list[int]) -> Series:
    """Theory knows nothing of the outputs' own gradient."""
    if theory.by == "theory":
        return Series("theory √q̃", x[:-1], theory.gradient[:-1], style="dashed")
    return Series("kernel √tr Π", x, theory.gradient, style="dashed")


def _correlation_figure(signals: LayerSignals, theory: Expected | None) -> Figure | None:
    measured = [layer.correlation for layer in signals.layers]
    if None in measured:
        return None
    x, names = _numbers(signals), [layer.name for layer in signals.layers]
    series = [Series("measured", x, measured, style="markers", hover=names)]
    if theory is not None and theory.correlation is not None:
        series.append(Series(theory.by, x, theory.correlation, style="dashed"))
    return lines(
        series,
        "affine layer, from the input",
        "mean cosine between two samples' outputs z",
        title="Correlation between samples by layer",
        caption="Where it nears 1, all inputs look alike to the layers above.",
    )


def _table(signals: LayerSignals, theory: Expected | None) -> Table:
    rows = [
        (
            layer.name,
            layer.kind,
            layer.units,
            layer.positions,
            math.sqrt(layer.mean_square),
            layer.standard_deviation,
            layer.gradient,
            layer.relative_weight_gradient,
            layer.correlation,
        )
        for layer in signals.layers
    ]
    columns = [
        "layer",
        "kind",
        "units",
        "positions",
        "√(E z²)",
        "standard deviation",
        "‖∂ℓ/∂z‖",
        "‖∂ℓ/∂W‖/‖W‖",
        "correlation",
    ]
    if theory is not None and theory.by == "kernel":
        more = zip(theory.signal, theory.gradient, theory.correlation or (), strict=True)
        rows = [(*row, float(q), float(g), c) for row, (q, g, c) in zip(rows, more, strict=True)]
        columns += ["kernel √q", "kernel ‖∂ℓ/∂z‖", "kernel correlation"]
    return Table("Signal and gradient at each affine layer", [Column(name) for name in columns], rows)
