"""What the answers say together, in plain sentences with the number behind each."""

from __future__ import annotations

import math
from collections.abc import Mapping

from normfield.diagnosis.answer import Answer
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.curves import CLOSED_FORM, rates_over_gamma
from normfield.diagnosis.subject import Subject
from normfield.measure.signals import LayerSignals
from normfield.report import Finding, format_number
from normfield.theory import mean_field
from normfield.train import CriticalLearningRate

_AGREE = 0.1  # relative difference below which theory and measurement are said to agree
_SPLIT = 1.1  # largest over mean of the top eigenvalues from which finite width is worth a word


def find(
    subject: Subject, asked: Asked, answers: Mapping[str, Answer], signals: LayerSignals | None = None
) -> tuple[Finding, ...]:
    """Every finding that the answers support, the most useful first."""
    found = [
        _limit(asked, answers),
        _trained_limit(asked, answers),
        _best_seen(asked, answers),
        _theory_beside_measurement(answers, asked),
        _smaller_gamma(subject, asked, answers),
        _published(subject, asked, answers),
        _not_the_top(answers),
        _input_scale(subject),
        _split_cluster(answers),
        _mode(subject, asked, answers),
    ]
    return tuple(finding for finding in found if finding is not None)


def _limit(asked: Asked, answers: Mapping[str, Answer]) -> Finding | None:
    """η*, by the nearest answer to the truth that there is."""
    for name in ("measured", "theory"):
        answer = answers[name]
        is_bound = not getattr(answer.detail, "is_top", True)
        if answer.max_learning_rate is not None and math.isfinite(answer.max_learning_rate) and not is_bound:
            rate = answer.max_learning_rate
            where = "" if asked.statistics == "batch" else f" with {asked.statistics} statistics"
            words = (
                f"The first steps{where} are stable up to a learning rate of {format_number(rate)} at momentum "
                f"{asked.momentum:g} ({name})."
            )
            if (
                asked.statistics == "batch"
                and not asked.is_cross_entropy
                and _agrees_with_runs(rate / 2, answers)
            ):
                words += f" Half of it, {format_number(rate / 2)}, is a good first try."
            return Finding(
                "note",
                words,
                rate,
                f"largest stable learning rate, {name}",
            )
    return None


def _agrees_with_runs(rate: float, answers: Mapping[str, Answer]) -> bool:
    """Whether the best run seen, if any, lies within half a decade of a learning rate."""
    detail = answers["trained"].detail
    best = None if detail is None else detail.best_learning_rate
    return best is None or abs(math.log10(best / rate)) <= 0.5


def _trained_limit(asked: Asked, answers: Mapping[str, Answer]) -> Finding | None:
    """Where runs diverge, and whether η* was what stopped them."""
    detail = answers["trained"].detail
    if detail is None:
        return None
    if detail.value is None and detail.limited is None:
        return Finding("warning", f"Training did not show its edge: {detail.status}.")
    if detail.value is None:
        return Finding("note", f"With {asked.loss_name} loss, {detail.verdict}.")
    words = f"Training diverges above a learning rate of {format_number(detail.value)}, {_against(detail)}."
    if detail.worse_value is not None and detail.worse_value < detail.value / 1.26:
        words += f" Runs end worse than they began already above {format_number(detail.worse_value)}."
    return Finding(
        "good" if detail.limited else "note", words, detail.decades_from_reference, "decades from η*"
    )


def _against(detail: CriticalLearningRate) -> str:
    """The edge of training beside η*, in words."""
    if detail.decades_from_reference is None or detail.limited is None:
        return detail.verdict
    times = f"{format_number(10**detail.decades_from_reference, 2)} times the limit η* of linear stability"
    if detail.limited:
        return f"{times}: that is what limits it"
    return f"{times}: it is not limited by η*"


def _best_seen(asked: Asked, answers: Mapping[str, Answer]) -> Finding | None:
    detail, measured = answers["trained"].detail, answers["measured"]
    if detail is None or detail.best is None:
        return None
    best = detail.best_learning_rate
    by = "training loss" if detail.best.test_loss is None else "test loss"
    words = f"The best of the runs, by {by}, had a learning rate of {format_number(best)}"
    if (
        asked.statistics == "batch"
        and measured.max_learning_rate
        and math.isfinite(measured.max_learning_rate)
    ):
        words += f", {format_number(best / measured.max_learning_rate, 2)} times the measured limit"
    return Finding("note", words + ".", best, "best learning rate seen")


def _theory_beside_measurement(answers: Mapping[str, Answer], asked: Asked) -> Finding | None:
    theory, measured = answers["theory"], answers["measured"]
    if theory.largest_eigenvalue is None or measured.largest_eigenvalue is None or asked.matrix == "hessian":
        return None
    if not theory.detail.is_top:
        return None
    if theory.interval is not None:
        return _theory_interval(theory, measured)
    apart = theory.largest_eigenvalue / measured.detail.cluster_mean - 1
    if abs(apart) <= _AGREE:
        return Finding(
            "good",
            f"Theory gives the mean of the top eigenvalues of this network within {100 * abs(apart):.1f} %.",
            apart,
            "theory over measured − 1",
        )
    return Finding(
        "warning",
        f"Theory and measurement of the mean of the top eigenvalues differ by {100 * apart:+.0f} %: the inputs are "
        "not i.i.d., the network is narrow, or the theory's assumption fails. Trust the measurement.",
        apart,
        "theory over measured − 1",
    )


def _theory_interval(theory: Answer, measured: Answer) -> Finding:
    """Cross-entropy: whether the interval over networks holds what was measured on this one."""
    assert theory.interval is not None
    assert measured.max_learning_rate is not None
    low, high = theory.interval
    inside = low <= measured.max_learning_rate <= high
    words = f"Theory's interval over networks, {format_number(low)} to {format_number(high)}, "
    words += (
        "holds the measured limit." if inside else "does not hold the measured limit: trust the measurement."
    )
    return Finding(
        "good" if inside else "warning",
        words,
        measured.max_learning_rate,
        "largest stable learning rate, measured",
    )


def _smaller_gamma(subject: Subject, asked: Asked, answers: Mapping[str, Answer]) -> Finding | None:
    """What a smaller γ would allow, by the closed form."""
    gamma, theory = subject.gamma, answers["theory"].detail
    if theory is None or not theory.is_top:
        return None
    if (
        subject.network is None
        or answers["theory"].status != "answered"
        or not gamma
        or asked.is_cross_entropy
    ):
        return None
    smaller = gamma / 4
    here, there = rates_over_gamma(subject.network, asked, [gamma, smaller])[CLOSED_FORM]
    if there < 1.5 * here:
        return None
    return Finding(
        "note",
        f"Batch norm's scale sets this limit: starting at γ = {smaller:g} instead of {gamma:g} would raise it "
        f"{there / here:.2g} times, to {format_number(there)} (theory).",
        there,
        f"largest stable learning rate at γ = {smaller:g}",
    )


def _published(subject: Subject, asked: Asked, answers: Mapping[str, Answer]) -> Finding | None:
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
        f"The published theory, which neglects the gradient through the batch statistics, gives λ_max = "
        f"{format_number(value)}, {format_number(ratio, 2)} times the measured mean.",
        ratio,
        "published over measured",
    )


def _not_the_top(answers: Mapping[str, Answer]) -> Finding | None:
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


def _input_scale(subject: Subject) -> Finding | None:
    """Theory assumes inputs of mean square 1."""
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


def _split_cluster(answers: Mapping[str, Answer]) -> Finding | None:
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


def _mode(subject: Subject, asked: Asked, answers: Mapping[str, Answer]) -> Finding | None:
    if subject.has_batch_norm and asked.statistics != "batch":
        return Finding(
            "warning",
            f"The curvature is that of {asked.statistics} statistics; training uses each batch's own, so its limit is "
            "another.",
        )
    if subject.has_batch_norm or answers["measured"].detail is None:
        return None
    return Finding("note", "There is no batch norm in this network: training and inference mode are one.")
