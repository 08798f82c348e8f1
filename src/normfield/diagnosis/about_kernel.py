"""A finding on the kernel: whether it agrees with the measurement."""

from __future__ import annotations

from collections.abc import Mapping

from normfield.diagnosis.about_theory import AGREE, interval_beside, mean_beside_largest
from normfield.diagnosis.answer import Answer
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.trust import is_bound, runner_up
from normfield.report import Finding, format_number

_DOUBTS = "the network is narrow, its weights are not independent draws, or its batches differ much"
_SAME = "kernel over measured − 1"


def _crowded(kernel: Answer, apart: float) -> Finding:
    """Where finite width decides which of many eigenvalues becomes the largest."""
    second = 100 * runner_up(kernel.detail)
    return Finding(
        "warning" if abs(apart) > AGREE else "note",
        f"The kernel's eigenvalues lie close together, the second at {second:.0f} % of the first; at "
        "finite width they spread, and the mean of the top ones measured is "
        f"{format_number(1 / (1 + apart), 2)} times the kernel's. Trust the measurement.",
        apart,
        _SAME,
    )


def kernel_beside_measurement(answers: Mapping[str, Answer], asked: Asked) -> Finding | None:
    """Whether the kernel of one batch and the measurement give the same curvature, where they speak of the same."""
    kernel, measured = answers["kernel"], answers["measured"]
    if kernel.largest_eigenvalue is None or measured.largest_eigenvalue is None or asked.matrix == "hessian":
        return None
    if asked.statistics != "batch":
        return None
    if kernel.interval is not None:
        return interval_beside("The kernel", kernel, measured)
    detail = measured.detail
    apart = kernel.largest_eigenvalue / detail.cluster_mean - 1
    if detail.cluster_size < 2:
        return mean_beside_largest("The kernel's", apart, _DOUBTS, _SAME)
    if is_bound(kernel):
        return _crowded(kernel, apart)
    what = f"the mean of the top {detail.cluster_size} eigenvalues"
    if abs(apart) <= AGREE:
        words = f"The kernel of one batch gives {what} within {100 * abs(apart):.1f} % of the measurement."
        return Finding("good", words, apart, _SAME)
    part = f", or the kernel was cut to {kernel.cut}" if kernel.cut else ""
    return Finding(
        "warning",
        f"The kernel's value for {what} is {100 * apart:+.0f} % off the measurement: {_DOUBTS}{part}. Trust the "
        "measurement.",
        apart,
        _SAME,
    )
