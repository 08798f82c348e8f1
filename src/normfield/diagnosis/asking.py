"""The main job: ask all four, side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from normfield.data import load
from normfield.diagnosis.asked import Asked, Loss
from normfield.diagnosis.clock import Clock
from normfield.diagnosis.findings import find
from normfield.diagnosis.result import Diagnosis
from normfield.diagnosis.stages import Stages
from normfield.diagnosis.subject import Subject
from normfield.train.batch_size import batch_size_for

Progress = Callable[[str], object]


def diagnose(
    model_or_net: Any,
    data: Any,
    loss: Loss = "squared",
    batch_size: int | None = None,
    momentum: float = 0.9,
    budget: float = 60.0,
    seed: int = 0,
    *,
    kind: str | None = None,
    statistics: str = "batch",
    learning_rate: float | None = None,
    weight_decay: float = 0.0,
    progress: Progress | None = None,
) -> Diagnosis:
    """How large a learning rate this network takes on these data, by theory, the kernel of one batch, measurement and
    training.

    The same question is answered up to four times, each answer dearer and nearer to the truth; one that does not
    cover the network says why, and the others stand. What is given is left untouched.

    Parameters
    ----------
    model_or_net
        A Network, a module, or a callable (seed) or () → module. Theory reads a module's description from it, or says
        which part has none.
    data
        All that `nf.load` takes: a name ("digits", "mnist", "cifar10"), tensors, a file, a loader.
    loss
        "squared" (½‖f − y‖² averaged over samples), "cross_entropy", ``nn.MSELoss()``, ``nn.CrossEntropyLoss()`` or
        a callable (outputs, targets) → scalar, which theory does not cover; η is in its units.
    batch_size
        Samples that share batch norm's statistics and make a step; by default 128, or all where there are fewer, and
        64 or 32 where the budget or half of the free memory does not hold a measurement on more, which the answers
        then say. A batch size that is given is kept.
    momentum
        Heavy-ball μ in [0, 1).
    budget
        Seconds for everything, reading the data included. A step is timed first, then what fits is planned: the kernel
        takes a twentieth of what is left at most, measurement half, training the rest. What was shortened is said in
        the answer's ``cut``; where not even a short form fits, its status is "cut".
    seed
        Of initial weights and data order.
    kind
        "fisher", "ggn" or "hessian": the matrix that is measured; by default the Fisher matrix, and Gauss–Newton's for
        a loss that has none.
    statistics
        "batch" (as the network trains), "frozen" or "running", for theory and measurement; training always uses the
        batch's.
    learning_rate, weight_decay
        What you mean to train with, where that is known: findings then say whether the rate is above the limit, and
        what decay does to weights whose length does not matter.
    progress
        Called with a line of text at every stage and after every run.

    Returns
    -------
    Diagnosis
        ``.answers``, ``.findings``, ``.to_html(path)``, ``.to_json()``; it prints as a table. After Ctrl-C too, with
        what was found by then and the rest "stopped".

    Raises
    ------
    InvalidInput
        Anything above that does not fit; nothing is changed.
    DataUnavailable
        A data set's files are missing or damaged.
    """
    return ask(
        Clock.started(budget),
        model_or_net,
        data,
        loss,
        batch_size,
        momentum,
        seed,
        kind,
        statistics,
        progress,
        learning_rate,
        weight_decay,
    )


def ask(
    clock: Clock,
    model_or_net: Any,
    data: Any,
    loss: Loss,
    batch_size: int | None,
    momentum: float,
    seed: int,
    kind: str | None,
    statistics: str,
    progress: Progress | None,
    learning_rate: float | None = None,
    weight_decay: float = 0.0,
) -> Diagnosis:
    """A diagnosis by a clock that may have begun before, as the command line's does."""
    dataset = load(data)
    size = batch_size_for(dataset.samples_used, batch_size)
    asked = Asked(
        loss,
        size,
        momentum,
        clock.budget,
        seed,
        kind,
        statistics,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
    )
    subject = Subject.of(model_or_net, dataset, seed)
    stages = Stages(subject, asked, clock, progress or (lambda line: None), may_shrink=batch_size is None)
    try:
        stages.run()
    except KeyboardInterrupt:
        stages.stop()
    answers = stages.in_order()
    findings = find(subject, stages.asked, answers, stages.signals, stages.profile, stages.health)
    return Diagnosis(
        answers,
        findings,
        stages.asked,
        subject,
        clock.spent,
        stages.signals,
        stages.profile,
        stages.health,
    )
