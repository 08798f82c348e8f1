"""What ``normfield inspect`` can ask of a module: each instrument by its name in Python, with what it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

import normfield as nf


@dataclass(frozen=True, eq=False)
class Subject:
    """A module and what it is inspected on.

    Attributes
    ----------
    batches
        Pairs (inputs, targets), of which most instruments take the first.
    learning_rate : float
        Of the steps that some of them try.
    """

    module: nn.Module
    batches: Sequence[Any]
    loss: Any
    statistics: str
    learning_rate: float
    seed: int

    @property
    def first(self) -> tuple[nn.Module, Any]:
        """Module and first batch."""
        return self.module, self.batches[0]

    @property
    def how(self) -> dict[str, Any]:
        """Statistics and seed, which nearly all take."""
        return {"statistics": self.statistics, "seed": self.seed}


@dataclass(frozen=True)
class Instrument:
    """What it shows, in words, and how it is asked."""

    words: str
    ask: Callable[[Subject], Any]


INSTRUMENTS: Mapping[str, Instrument] = {
    "signals": Instrument("Signal and gradient by layer", lambda s: nf.signals(*s.first, s.loss, **s.how)),
    "channel_moments": Instrument(
        "Channel means and variances by depth", lambda s: nf.channel_moments(*s.first, **s.how)
    ),
    "output_gradients": Instrument(
        "Gradients at the outputs, samples by classes",
        lambda s: nf.output_gradients(*s.first, s.loss, **s.how),
    ),
    "gradient_coherence": Instrument(
        "Whether samples' gradients add up or cancel",
        lambda s: nf.gradient_coherence(*s.first, s.loss, **s.how),
    ),
    "landscape": Instrument(
        "The loss along its gradient",
        lambda s: nf.landscape(*s.first, s.loss, learning_rate=s.learning_rate, **s.how),
    ),
    "gradient_inequality": Instrument(
        "What batch norm takes off the gradient",
        lambda s: nf.gradient_inequality(*s.first, s.loss, seed=s.seed),
    ),
    "gradient_noise": Instrument(
        "Gradient noise", lambda s: nf.gradient_noise(s.module, s.batches, s.loss, **s.how)
    ),
    "input_percentiles": Instrument(
        "Percentiles of what layers are given", lambda s: nf.input_percentiles(*s.first, **s.how)
    ),
    "gradient_shift": Instrument(
        "Gradient shift: what the layers before do to a layer's gradient",
        lambda s: nf.gradient_shift(*s.first, s.loss, learning_rate=s.learning_rate, **s.how),
    ),
    "scale_invariance": Instrument(
        "Weights whose scale changes nothing", lambda s: nf.scale_invariance(*s.first, s.loss, **s.how)
    ),
    "statistics_drift": Instrument(
        "Running statistics beside exact ones",
        lambda s: nf.statistics_drift(s.module, s.batches, s.loss, seed=s.seed),
    ),
}
