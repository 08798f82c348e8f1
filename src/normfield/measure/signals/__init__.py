"""Signals and gradients layer by layer: how large they are, how alike samples become, how the terms of a sum agree."""

from normfield.measure.signals.by_layer import signals
from normfield.measure.signals.layer_result import LayerSignal, LayerSignals

__all__ = ["LayerSignal", "LayerSignals", "signals"]
