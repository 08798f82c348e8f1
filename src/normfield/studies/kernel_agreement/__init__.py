"""Kernels of a batch beside the measured curvature of networks on it."""
