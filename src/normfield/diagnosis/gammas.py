"""η* against γ, with this network on it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from normfield.diagnosis.answer import Answer
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.curves import plain_rate, rates_over_gamma
from normfield.diagnosis.subject import Subject
from normfield.diagnosis.trust import has_rate
from normfield.report import Mark, Section, Series, lines

_POINTS = 160
_NAMES = {"kernel": "kernel of one batch", "measured": "measured curvature", "trained": "edge of training"}


def gamma_section(answers: Mapping[str, Answer], asked: Asked, subject: Subject) -> Section | None:
    """For squared loss and one γ in the whole network; None for any other."""
    here = subject.gamma
    if subject.network is None or not here or here < 0 or asked.is_cross_entropy:
        return None
    gamma = np.geomspace(min(0.05, here / 4), max(5.0, here * 4), _POINTS)
    rates = rates_over_gamma(subject.network, asked, gamma)
    if not rates:
        return None
    styles = ("line", "dashed", "dashed")
    series = [
        Series(name, gamma.tolist(), rate.tolist(), style=style)  # type: ignore[arg-type]
        for (name, rate), style in zip(rates.items(), styles, strict=False)
    ]
    plain = plain_rate(subject.network, asked)
    if plain is not None:
        ends = [float(gamma[0]), float(gamma[-1])]
        series.append(Series("the same network without batch norm", ends, [plain, plain], "dashed"))
    series += [_point(answers[name], here) for name in _points(asked) if has_rate(answers[name])]
    figure = lines(
        series,
        "batch norm's initial scale γ",
        "largest stable learning rate",
        log_x=True,
        log_y=True,
        marks=[Mark(here, f"this network, γ = {here:g}")],
        title="The learning rate that γ allows",
        caption=f"Momentum {asked.momentum:g}. Curves are theory at infinite width; points are this network.",
    )
    return Section(
        "What γ would change",
        figure,
        lead="Batch norm's scale sets the curvature: a smaller γ allows a larger learning rate.",
    )


def _points(asked: Asked) -> tuple[str, ...]:
    """The answers that belong beside the curves: what was measured in another mode than training's does not."""
    return ("kernel", "measured", "trained") if asked.statistics == "batch" else ("trained",)


def _point(answer: Answer, gamma: float) -> Series:
    rate = answer.max_learning_rate
    assert rate is not None
    low, high = answer.interval or (rate, rate)
    return Series(_NAMES[answer.name], [gamma], [rate], style="markers", low=[low], high=[high])
