"""What the answers say together, in plain sentences with the number behind each."""

from __future__ import annotations

from collections.abc import Mapping

from normfield.diagnosis.about_asked_rate import decay_of_invariant_weights, rate_above_limit
from normfield.diagnosis.about_best_rate import rate_to_take
from normfield.diagnosis.about_channels import dead_channels, variance_near_epsilon
from normfield.diagnosis.about_depth import gradients_by_layer
from normfield.diagnosis.about_kernel import kernel_beside_measurement
from normfield.diagnosis.about_limits import best_seen, first_steps, trained_edge, usable_rates
from normfield.diagnosis.about_statistics import batch_too_small, running_statistics
from normfield.diagnosis.about_theory import (
    input_scale,
    not_the_top,
    published,
    split_cluster,
    statistics_mode,
    theory_beside_measurement,
)
from normfield.diagnosis.advice import add_batch_norm, batch_size, smaller_gamma
from normfield.diagnosis.answer import Answer
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.health import Health
from normfield.diagnosis.subject import Subject
from normfield.measure.signals import LayerSignals
from normfield.report import Finding
from normfield.theory.kernels import DepthProfile


def find(
    subject: Subject,
    asked: Asked,
    answers: Mapping[str, Answer],
    signals: LayerSignals | None = None,
    profile: DepthProfile | None = None,
    health: Health | None = None,
) -> tuple[Finding, ...]:
    """Every finding that the answers support, the most useful first."""
    found = [
        first_steps(asked, answers),
        rate_above_limit(asked, answers),
        trained_edge(asked, answers),
        best_seen(asked, answers),
        usable_rates(asked, answers),
        rate_to_take(answers),
        running_statistics(health),
        dead_channels(subject, signals, health),
        variance_near_epsilon(health),
        batch_too_small(asked, health),
        decay_of_invariant_weights(asked, health),
        smaller_gamma(subject, asked, answers),
        add_batch_norm(subject, asked, answers),
        gradients_by_layer(subject, asked, signals, profile),
        batch_size(subject, asked, answers),
        kernel_beside_measurement(answers, asked),
        theory_beside_measurement(answers, asked),
        not_the_top(answers),
        input_scale(subject),
        split_cluster(answers),
        published(subject, asked, answers),
        statistics_mode(subject, asked, answers),
    ]
    return tuple(finding for finding in found if finding is not None)
