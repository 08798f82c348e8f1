"""Kernels of infinitely wide networks on one batch: samples meet in batch norm, so that the batch is the unit."""

from normfield.theory.kernels.batch import batch_kernel
from normfield.theory.kernels.batch_result import BatchKernel, LayerKernel

__all__ = ["BatchKernel", "LayerKernel", "batch_kernel"]
