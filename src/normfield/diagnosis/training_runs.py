"""The training runs: losses on either side of the edge, and where each run ended."""

from __future__ import annotations

from collections.abc import Mapping

from normfield.diagnosis.answer import Answer
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.subject import TEST_SAMPLES
from normfield.report import Figure, Fold, Section, Series, format_number, lines
from normfield.train import CriticalLearningRate, Run
from normfield.train.shown import final_loss_figure, runs_table


def runs_section(answers: Mapping[str, Answer], asked: Asked) -> Section | None:
    """None where there was no run."""
    found = answers["trained"].detail
    if found is None or not found.runs:
        return None
    figures = [
        figure for figure in (_losses_figure(found, asked), final_loss_figure(found)) if figure is not None
    ]
    note = f"Test figures are of at most {TEST_SAMPLES:,} samples, with each batch's own statistics."
    table = Fold(f"Every run ({len(found.runs)})", [runs_table(found.runs, note)])
    steps = max(len(run.losses) for run in found.runs)
    lead = (
        f"{len(found.runs)} runs of up to {steps} steps from fresh weights, each at one learning rate: what happened, "
        "with no theory in it."
    )
    return Section("The training runs", [*figures, table], lead=lead)


def _losses_figure(found: CriticalLearningRate, asked: Asked) -> Figure | None:
    chosen = _runs_on_either_side(found.runs, found.best)
    if not chosen:
        return None
    ceiling = found.divergence_factor * max(run.losses[0] for _, run in chosen)
    return lines(
        [Series(name, list(range(len(run.losses))), list(run.losses)) for name, run in chosen],
        "step",
        "loss of the step's batch",
        log_y=True,
        title="Training on either side of the edge",
        caption=f"Fixed learning rates, heavy ball with momentum {asked.momentum:g}; a run counts as diverged beyond "
        f"{found.divergence_factor:g} times its first loss ({format_number(ceiling)}).",
    )


def _runs_on_either_side(runs: tuple[Run, ...], best: Run | None) -> list[tuple[str, Run]]:
    """Of the best run's restart: the slowest run, the best, the last below the edge and the first two beyond it."""
    seed = best.seed if best is not None else runs[0].seed
    ours = sorted((run for run in runs if run.seed == seed and run.losses), key=lambda run: run.learning_rate)
    stable = [run for run in ours if run.status == "finished"]
    diverged = [run for run in ours if run.status == "diverged"]
    below = [run for run in stable if not diverged or run.learning_rate < diverged[0].learning_rate]
    named = [("slowest", run) for run in below[:1]]
    named += [("best seen", best)] if best is not None and best in stable else []
    named += [("last stable", run) for run in below[-1:]]
    named += [("diverged", run) for run in diverged[:2]]
    first_name: dict[int, tuple[str, Run]] = {}
    for name, run in sorted(named, key=lambda pair: pair[0] != "best seen"):
        first_name.setdefault(id(run), (f"{name}, η = {format_number(run.learning_rate)}", run))
    return sorted(first_name.values(), key=lambda pair: pair[1].learning_rate)
