"""Signals and gradients layer by layer: how large they are, how alike samples become, how the terms of a sum agree.

[Bjorck] is Bjorck, Gomes, Selman and Weinberger, "Understanding Batch Normalization", NeurIPS 2018; [Yang] is Yang,
Pennington, Rao, Sohl-Dickstein and Schoenholz, "A Mean Field Theory of Batch Normalization", ICLR 2019.
"""

from normfield.measure.signals.by_layer import signals
from normfield.measure.signals.channel_result import ChannelMoments, LayerChannels
from normfield.measure.signals.channels import channel_moments
from normfield.measure.signals.coherence import gradient_coherence
from normfield.measure.signals.coherence_result import GradientCoherence, LayerCoherence
from normfield.measure.signals.layer_result import LayerSignal, LayerSignals
from normfield.measure.signals.output_result import OutputGradients
from normfield.measure.signals.output_rows import output_gradients
from normfield.measure.signals.step_result import FirstSteps
from normfield.measure.signals.stepping import first_steps

__all__ = [
    "ChannelMoments",
    "FirstSteps",
    "GradientCoherence",
    "LayerChannels",
    "LayerCoherence",
    "LayerSignal",
    "LayerSignals",
    "OutputGradients",
    "channel_moments",
    "first_steps",
    "gradient_coherence",
    "output_gradients",
    "signals",
]
