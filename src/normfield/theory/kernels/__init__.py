"""Kernels of infinitely wide networks on one batch: samples meet in batch norm, so that the batch is the unit."""
