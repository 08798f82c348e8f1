"""Gradient noise: how far gradients of mini-batches scatter around that of the loss [Bjorck].

[Bjorck] is Bjorck, Gomes, Selman and Weinberger, "Understanding batch normalization", NeurIPS 2018; [McCandlish] is
McCandlish, Kaplan and Amodei, "An empirical model of large-batch training", 2018.
"""

from normfield.measure.noise.noise_result import GradientNoise
from normfield.measure.noise.of_gradients import gradient_noise

__all__ = ["GradientNoise", "gradient_noise"]
