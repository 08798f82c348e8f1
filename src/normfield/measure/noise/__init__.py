"""Gradient noise: how far gradients of mini-batches scatter around that of the loss."""
