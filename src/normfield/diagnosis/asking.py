"""The main job: ask all four, side by side."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from normfield.data import load
from normfield.diagnosis.answering import kernel_answer, measured_answer, theory_answer, trained_answer
from normfield.diagnosis.asked import Asked, Loss
from normfield.diagnosis.findings import find
from normfield.diagnosis.result import Diagnosis
from normfield.diagnosis.signals import signals_of
from normfield.diagnosis.subject import Subject
from normfield.errors import InvalidInput

_DEFAULT_BATCH = 128


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
    progress: Callable[[str], object] | None = None,
) -> Diagnosis:
    """How large a learning rate this network takes on these data, by theory, measurement and training.

    The same question is answered up to four times, each answer dearer and nearer to the truth; one that does not
    cover the network says why, and the others stand. What is given is left untouched.

    Parameters
    ----------
    model_or_net
        A Network, a module, or a callable seed → module. Theory needs a Network.
    data
        All that `nf.load` takes: a name ("digits", "mnist", "cifar10"), tensors, a file, a loader.
    loss
        "squared" (½‖f − y‖² averaged over samples), "cross_entropy", ``nn.MSELoss()``, ``nn.CrossEntropyLoss()`` or
        a callable (outputs, targets) → scalar; η is in its units.
    batch_size
        Samples that share batch norm's statistics; by default 128, or all where there are fewer.
    momentum
        Heavy-ball μ in [0, 1).
    budget
        Seconds for everything; training takes what the other answers leave.
    seed
        Of initial weights and data order.
    kind
        "fisher", "ggn" or "hessian": the matrix that is measured; by default the Fisher matrix, and Gauss–Newton's for
        a loss that has none.
    statistics
        "batch" (as the network trains), "frozen" or "running", for theory and measurement; training always uses the
        batch's.
    progress
        Called with a line of text now and then.

    Returns
    -------
    Diagnosis
        ``.answers``, ``.findings``, ``.to_html(path)``, ``.to_json()``; it prints as a table.

    Raises
    ------
    InvalidInput
        Anything above that does not fit; nothing is changed.
    DataUnavailable
        A data set's files are missing or damaged.
    """
    began = time.perf_counter()
    say = progress or (lambda line: None)
    dataset = load(data)
    asked = Asked(
        loss, _batch_size(batch_size, dataset.samples_used), momentum, budget, seed, kind, statistics
    )
    subject = Subject.of(model_or_net, dataset, seed)
    say("theory")
    answers = {"theory": theory_answer(subject, asked), "kernel": kernel_answer()}
    say("measuring the curvature")
    answers["measured"] = measured_answer(subject, asked)
    signals = signals_of(subject, asked)
    reference = answers["measured"] if answers["measured"].status == "answered" else answers["theory"]
    say("training")
    left = budget - (time.perf_counter() - began)
    answers["trained"] = trained_answer(subject, asked, reference, left, progress)
    findings = find(subject, asked, answers, signals)
    return Diagnosis(answers, findings, asked, subject, time.perf_counter() - began, signals)


def _batch_size(batch_size: int | None, samples: int) -> int:
    if batch_size is None:
        return min(_DEFAULT_BATCH, samples)
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise InvalidInput(expected="batch_size as a whole number of at least 1", got=repr(batch_size))
    if batch_size > samples:
        raise InvalidInput(
            expected=f"a batch size of at most the {samples} samples",
            got=str(batch_size),
            instead="make it smaller",
        )
    return batch_size
