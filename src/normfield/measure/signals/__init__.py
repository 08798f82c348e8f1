"""Signals and gradients layer by layer: how large they are, how alike samples become, how the terms of a sum agree."""

from normfield.measure.signals.by_layer import signals
from normfield.measure.signals.channel_result import ChannelMoments, LayerChannels
from normfield.measure.signals.channels import channel_moments
from normfield.measure.signals.layer_result import LayerSignal, LayerSignals
from normfield.measure.signals.step_result import FirstSteps
from normfield.measure.signals.stepping import first_steps

__all__ = [
    "ChannelMoments",
    "FirstSteps",
    "LayerChannels",
    "LayerSignal",
    "LayerSignals",
    "channel_moments",
    "first_steps",
    "signals",
]
