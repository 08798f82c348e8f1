"""Findings on what to change, each with the effect that theory expects of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from normfield.diagnosis.answer import Answer
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.curves import CLOSED_FORM, rates_over_gamma
from normfield.diagnosis.subject import Subject
from normfield.errors import NormfieldError
from normfield.network import Activation, BatchNorm, Network
from normfield.report import Finding, format_number
from normfield.theory import mean_field

_WORTH_IT = 1.5


def _theory_holds(asked: Asked, answers: Mapping[str, Answer]) -> bool:
    """Whether theory answers, gives the top eigenvalue, and its limit is one of training."""
    theory = answers["theory"]
    return theory.status == "answered" and bool(theory.detail.is_top) and not asked.is_cross_entropy


def smaller_gamma(subject: Subject, asked: Asked, answers: Mapping[str, Answer]) -> Finding | None:
    """What a smaller γ would allow, by the closed form."""
    gamma = subject.gamma
    if subject.network is None or not gamma or not _theory_holds(asked, answers):
        return None
    smaller = gamma / 4
    here, there = rates_over_gamma(subject.network, asked, [gamma, smaller])[CLOSED_FORM]
    if there < _WORTH_IT * here:
        return None
    return Finding(
        "note",
        f"To allow a larger learning rate, lower γ: starting at γ = {smaller:g} instead of {gamma:g} would raise the "
        f"limit {format_number(there / here, 2)} times, to {format_number(there)} (theory). Batch norm's scale is what "
        "sets it.",
        there,
        f"largest stable learning rate at γ = {smaller:g}",
    )


def add_batch_norm(subject: Subject, asked: Asked, answers: Mapping[str, Answer]) -> Finding | None:
    """What batch norm in front of every activation would change, for a network without."""
    theory = answers["theory"]
    if subject.network is None or subject.has_batch_norm or not _theory_holds(asked, answers):
        return None
    rates = {gamma: _rate_with_batch_norm(subject.network, asked, gamma) for gamma in (1.0, 0.25)}
    here, one, quarter = theory.max_learning_rate or 0.0, rates[1.0], rates[0.25]
    if one is None or quarter is None or not here > 0:
        return None
    return Finding(
        "note",
        "There is no batch norm in this network: in front of every activation it would change the limit "
        f"{format_number(one / here, 2)}-fold at γ = 1, to {format_number(one)}, and "
        f"{format_number(quarter / here, 2)}-fold at γ = 0.25, to {format_number(quarter)} (theory).",
        one,
        "largest stable learning rate with batch norm, γ = 1",
    )


def _rate_with_batch_norm(network: Network, asked: Asked, gamma: float) -> float | None:
    layers = [
        part
        for layer in network.layers
        for part in ([BatchNorm(gamma=gamma), layer] if isinstance(layer, Activation) else [layer])
    ]
    try:
        field = mean_field(replace(network, layers=tuple(layers)))
    except NormfieldError:
        return None
    factor = asked.squared_loss_factor(network.output_shape[0]) or 1.0
    return field.max_learning_rate(asked.momentum) / factor if field.is_top else None


def batch_size(subject: Subject, asked: Asked, answers: Mapping[str, Answer]) -> Finding | None:
    """How much of λ_max belongs to the finite batch, and so what a larger one would change."""
    if subject.network is None or asked.statistics != "batch" or not _theory_holds(asked, answers):
        return None
    whole = mean_field(subject.network).largest_eigenvalue
    here = mean_field(subject.network, samples=asked.batch_size).largest_eigenvalue
    gain = 100 * (here / whole - 1)
    if gain < 0:
        return None
    words = f"A larger batch would raise the limit by {format_number(gain, 2)} % at most (theory)"
    advice = "worth trying." if gain > 20 else "choose the batch size for speed and noise, not for stability."
    return Finding(
        "note", f"{words}: {advice}", gain, f"% of λ_max that is due to batches of {asked.batch_size}"
    )
