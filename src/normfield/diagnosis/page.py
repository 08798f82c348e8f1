"""The report of a diagnosis: what was asked, the answers, and the figures behind them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from normfield import __version__
from normfield.diagnosis.answer import NAMES, Answer
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.curves import plain_rate, rates_over_gamma
from normfield.diagnosis.shares import by_layer, measured_shares, theory_shares
from normfield.diagnosis.subject import TEST_SAMPLES, Subject
from normfield.report import (
    Card,
    Cards,
    Facts,
    Figure,
    Finding,
    Findings,
    Mark,
    Page,
    Section,
    Series,
    Table,
    bars,
    format_number,
    lines,
)
from normfield.train import Run

_HEADINGS = {
    "theory": "Theory",
    "kernel": "Kernel",
    "measured": "Measured curvature",
    "trained": "Training",
}
_STATISTICS = {
    "batch": "batch: each batch's own, with gradient through them, as in training",
    "frozen": "frozen: each batch's own, as constants",
    "running": "running: the module's buffers",
}
_KINDS = {"weight": "weights", "bias": "biases", "gamma": "γ of norms", "beta": "β of norms"}


def page_of(
    answers: Mapping[str, Answer],
    findings: tuple[Finding, ...],
    asked: Asked,
    subject: Subject,
    data: dict[str, Any],
    table: Table,
) -> Page:
    """The whole report; sections whose answer is missing are left out."""
    sections = [
        Section("", [Cards([_card(answers[name], asked) for name in NAMES])]),
        Section("What was found", [Findings(findings)]),
        Section("The answers side by side", [table]),
        _shares_section(answers, subject),
        _gamma_section(answers, asked, subject),
        _runs_section(answers, asked),
        Section("What was asked", [_facts(asked, subject)]),
    ]
    return Page(
        title="How large a learning rate can this network take?",
        subtitle=f"{subject.name}, on {subject.data}",
        sections=[section for section in sections if section is not None],
        data=data,
        footer=f"Normfield {__version__}, torch {torch.__version__}, seed {asked.seed}",
    )


def _card(answer: Answer, asked: Asked) -> Card:
    if answer.max_learning_rate is None:
        return Card(
            _HEADINGS[answer.name],
            None,
            unit=answer.status,
            note=answer.reason[:1].upper() + answer.reason[1:],
            tone="absent",
        )
    detail = f"{answer.seconds:.2g} s"
    if answer.largest_eigenvalue is not None:
        detail = f"λ_max {format_number(answer.largest_eigenvalue, 4)}, {detail}"
    if answer.interval is not None:
        low, high = answer.interval
        detail = f"{format_number(low)} to {format_number(high)}, {detail}"
    return Card(
        _HEADINGS[answer.name],
        answer.max_learning_rate,
        unit=_unit(answer),
        detail=detail,
        note=answer.assumes,
    )


def _unit(answer: Answer) -> str:
    """What a card's number is."""
    if answer.name == "trained":
        return "runs diverge above this learning rate"
    if not getattr(answer.detail, "is_top", True):
        return "upper bound only: not the top eigenvalue"
    return "largest stable learning rate"


def _shares_section(answers: Mapping[str, Answer], subject: Subject) -> Section | None:
    figures: list[Figure] = []
    theory, measured = answers["theory"].detail, answers["measured"].detail
    if theory is not None:
        scale = (answers["theory"].largest_eigenvalue or 0.0) / theory.largest_eigenvalue
        figures.append(_share_figure("By theory, per output", theory_shares(theory, scale)))
    if measured is not None:
        figures.append(
            _share_figure("As measured, in the top eigenvectors", measured_shares(measured, subject.module))
        )
    if not figures:
        return None
    lead = (
        "Which parameters make the loss steep: what each layer adds to the largest eigenvalue. By theory the backward "
        "pass of a batch norm removes what samples have in common, so that layers below it add little; the measured "
        "shares show whether that holds here."
        if subject.has_batch_norm
        else "Which parameters make the loss steep: what each layer adds to the largest eigenvalue."
    )
    return Section("Where λ_max comes from", figures, lead=lead)


def _share_figure(title: str, shares: dict[str, dict[int, float]]) -> Figure:
    labels, values = by_layer(shares)
    named = {_KINDS.get(kind, kind): value for kind, value in values.items()}
    return bars(labels, named, value_title="part of λ_max", title=title)


def _gamma_section(answers: Mapping[str, Answer], asked: Asked, subject: Subject) -> Section | None:
    """η* against γ with this network marked; for squared loss and one γ in the whole network."""
    here = subject.gamma
    if subject.network is None or not here or here < 0 or asked.is_cross_entropy:
        return None
    gamma = np.geomspace(min(0.05, here / 4), max(5.0, here * 4), 160)
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
        series.append(
            Series("the same network without batch norm", [gamma[0], gamma[-1]], [plain, plain], "dashed")
        )
    series += [_point(answers[name], here) for name in _points(asked) if _has_rate(answers[name])]
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
    """The answers that belong beside the curves: measured in another mode than training's, it does not."""
    return ("measured", "trained") if asked.statistics == "batch" else ("trained",)


def _has_rate(answer: Answer) -> bool:
    return answer.max_learning_rate is not None and bool(np.isfinite(answer.max_learning_rate))


def _point(answer: Answer, gamma: float) -> Series:
    rate = answer.max_learning_rate
    assert rate is not None
    low, high = answer.interval or (rate, rate)
    name = "measured curvature" if answer.name == "measured" else "edge of training"
    return Series(name, [gamma], [rate], style="markers", low=[low], high=[high])


def _runs_section(answers: Mapping[str, Answer], asked: Asked) -> Section | None:
    detail = answers["trained"].detail
    if detail is None or not detail.runs:
        return None
    chosen = _runs_on_either_side(detail.runs, detail.best)
    if not chosen:
        return None
    series = [_curve(name, run) for name, run in chosen]
    ceiling = detail.divergence_factor * max(run.losses[0] for _, run in chosen)
    figure = lines(
        series,
        "step",
        "loss of the step's batch",
        log_y=True,
        title="Training on either side of the edge",
        caption=f"Fixed learning rates, heavy ball with momentum {asked.momentum:g}; a run counts as diverged beyond "
        f"{detail.divergence_factor:g} times its first loss ({format_number(ceiling)}).",
    )
    return Section("Where training really diverges", [figure, _runs_table(detail.runs)])


def _runs_on_either_side(runs: tuple[Run, ...], best: Run | None) -> list[tuple[str, Run]]:
    """The best run, the last below the edge and the first two beyond it, of the best run's restart."""
    seed = best.seed if best is not None else runs[0].seed
    ours = sorted((run for run in runs if run.seed == seed and run.losses), key=lambda run: run.learning_rate)
    stable = [run for run in ours if run.status == "finished"]
    diverged = [run for run in ours if run.status == "diverged"]
    stable = [run for run in stable if not diverged or run.learning_rate < diverged[0].learning_rate]
    chosen: list[tuple[str, Run]] = []
    if best is not None and best in stable:
        chosen.append((f"best seen, η = {best.learning_rate:.3g}", best))
    if stable and stable[-1] is not best:
        chosen.append((f"last stable, η = {stable[-1].learning_rate:.3g}", stable[-1]))
    chosen += [(f"diverged, η = {run.learning_rate:.3g}", run) for run in diverged[:2]]
    return chosen


def _curve(name: str, run: Run) -> Series:
    return Series(name, list(range(len(run.losses))), list(run.losses))


def _runs_table(runs: tuple[Run, ...]) -> Table:
    rows = [
        (
            f"{run.learning_rate:.4g}",
            run.seed,
            run.status,
            run.first_loss,
            run.final_loss,
            run.test_loss,
            run.test_accuracy,
        )
        for run in sorted(runs, key=lambda run: (run.seed, run.learning_rate))
    ]
    columns = ["learning rate", "seed", "ended", "first loss", "final loss", "test loss", "test accuracy"]
    notes = [f"Test figures are of at most {TEST_SAMPLES:,} samples, with each batch's own statistics."]
    return Table("Every run", columns, rows, notes)


def _facts(asked: Asked, subject: Subject) -> Facts:
    facts: list[tuple[str, float | str | None]] = [
        ("data", str(subject.data)),
        ("loss", asked.loss_name),
        ("batch size", asked.batch_size),
        ("momentum", asked.momentum),
        ("matrix", asked.matrix),
        ("statistics", _STATISTICS[asked.statistics]),
        ("budget", f"{asked.budget:g} s"),
        ("seed", asked.seed),
    ]
    if subject.network is not None:
        net = subject.network
        facts.insert(
            0, ("network", f"{net.path}; σ_w² = {net.weight_variance:g}, σ_b² = {net.bias_variance:g}")
        )
    else:
        facts.insert(0, ("module", type(subject.module).__name__))
    return Facts(facts)
