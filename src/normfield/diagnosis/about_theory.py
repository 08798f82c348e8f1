"""Findings on theory: whether it agrees with the measurement, what it leaves out, and where it does not hold."""

from __future__ import annotations

from collections.abc import Mapping

from normfield.diagnosis.answer import Answer
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.subject import Subject
from normfield.report import Finding, format_number
from normfield.theory import mean_field

#: Relative difference below which a prediction and the measurement are said to agree.
AGREE = 0.1
_BELOW = 0.3  # how far below the largest of the top eigenvalues their mean may well lie
_DOUBTS = "the inputs are not i.i.d., the network is narrow, or the theory's assumption fails"
_SPLIT = 1.1  # largest over mean of the top eigenvalues from which finite width is worth a word


def theory_beside_measurement(answers: Mapping[str, Answer], asked: Asked) -> Finding | None:
    """Whether theory and measurement give the same curvature, where they speak of the same."""
    theory, measured = answers["theory"], answers["measured"]
    if theory.largest_eigenvalue is None or measured.largest_eigenvalue is None or asked.matrix == "hessian":
        return None
    if not theory.detail.is_top:
        return None
    if theory.interval is not None:
        return interval_beside("Theory", theory, measured)
    apart = theory.largest_eigenvalue / measured.detail.cluster_mean - 1
    if measured.detail.cluster_size < 2:
        return mean_beside_largest("Theory's", apart, _DOUBTS, "theory over measured − 1")
    what = f"the mean of the top {measured.detail.cluster_size} eigenvalues"
    if abs(apart) <= AGREE:
        words = f"Theory gives {what} within {100 * abs(apart):.1f} % of the measurement."
        return Finding("good", words, apart, "theory over measured − 1")
    return Finding(
        "warning",
        f"Theory's value for {what} is {100 * apart:+.0f} % off the measurement: {_DOUBTS}. Trust the measurement.",
        apart,
        "theory over measured − 1",
    )


def mean_beside_largest(whose: str, apart: float, doubts: str, what: str) -> Finding:
    """Where only the largest eigenvalue was measured: a predicted mean of the top ones lies somewhat below it."""
    words = f"{whose} λ_max, a mean over the top eigenvalues, is {100 * apart:+.0f} % off the largest one measured"
    if -_BELOW <= apart <= AGREE:
        return Finding("good", f"{words}, which is what a mean would be.", apart, what)
    return Finding("warning", f"{words}: {doubts}. Trust the measurement.", apart, what)


def interval_beside(who: str, predicted: Answer, measured: Answer) -> Finding:
    """Cross-entropy: whether the interval over networks holds what was measured on this one."""
    assert predicted.interval is not None
    assert measured.max_learning_rate is not None
    low, high = predicted.interval
    inside = low <= measured.max_learning_rate <= high
    words = f"{who} expects networks like this one between {format_number(low)} and {format_number(high)}; "
    words += (
        "the measured limit lies in it." if inside else "the measured limit does not: trust the measurement."
    )
    return Finding(
        "good" if inside else "warning",
        words,
        measured.max_learning_rate,
        "largest stable learning rate, measured",
    )


def published(subject: Subject, asked: Asked, answers: Mapping[str, Answer]) -> Finding | None:
    """How far the published formula is from the measurement, where there is batch norm."""
    measured, theory = answers["measured"], answers["theory"]
    if not subject.has_batch_norm or theory.status != "answered" or measured.largest_eigenvalue is None:
        return None
    factor = asked.squared_loss_factor(subject.data.outputs)
    if factor is None or subject.network is None or (asked.matrix, asked.statistics) != ("fisher", "batch"):
        return None
    value = mean_field(subject.network, "published").largest_eigenvalue * factor
    ratio = value / measured.detail.cluster_mean
    return Finding(
        "note",
        "The published theory (Wei et al. 2019), which neglects the gradient through the batch statistics, gives λ_max "
        f"= {format_number(value)}, {format_number(ratio, 2)} times what was measured; the theory above includes it.",
        ratio,
        "published over measured",
    )


def not_the_top(answers: Mapping[str, Answer]) -> Finding | None:
    """Where theory's value is a bound only."""
    detail = answers["theory"].detail
    if detail is None or detail.is_top:
        return None
    return Finding(
        "warning",
        "Theory's value is not the top eigenvalue here, so its learning rate is only an upper bound: the direction "
        "that samples share does not dominate (an odd activation, or gradients that grow with depth). Trust the "
        "measurement.",
        detail.other_directions,
        "estimate of the largest other eigenvalue",
    )


def input_scale(subject: Subject) -> Finding | None:
    """Theory assumes inputs of mean square 1; without a description there is no theory, and inputs may be several."""
    if subject.network is None:
        return None
    scale = float(subject.data.inputs.double().square().mean())
    if 0.5 <= scale <= 2:
        return None
    return Finding(
        "warning",
        f"The inputs have mean square {format_number(scale)}, theory assumes 1: standardise them "
        "(--standardise global), or trust the measurement alone.",
        scale,
        "mean square of the inputs",
    )


def split_cluster(answers: Mapping[str, Answer]) -> Finding | None:
    """How much larger than their mean the largest of the top eigenvalues is."""
    detail = answers["measured"].detail
    if detail is None or len(detail.eigenvalues) < 2 or not detail.cluster_mean > 0:
        return None
    ratio = detail.largest_eigenvalue / detail.cluster_mean
    if ratio < _SPLIT:
        return None
    return Finding(
        "note",
        f"At this width the largest eigenvalue is {ratio:.2f} times the mean of the top {len(detail.eigenvalues)}; "
        "theory speaks of the mean, training feels the largest.",
        ratio,
        "largest over mean",
    )


def statistics_mode(subject: Subject, asked: Asked, answers: Mapping[str, Answer]) -> Finding | None:
    """Which mode was measured, where that is not the one that trains, or where there is only one."""
    if subject.has_batch_norm and asked.statistics != "batch":
        return Finding(
            "warning",
            f"The curvature is that of {asked.statistics} statistics; training uses each batch's own, so its limit is "
            "another.",
        )
    return None
