"""Weights and gradients by layer over the first steps of training."""
