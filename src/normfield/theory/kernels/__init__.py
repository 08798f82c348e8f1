"""Kernels of infinitely wide networks on one batch: samples meet in batch norm, so that the batch is the unit."""

from normfield.theory.kernels.batch import batch_kernel
from normfield.theory.kernels.batch_result import BatchKernel, LayerKernel
from normfield.theory.kernels.inference import kernel_regression
from normfield.theory.kernels.inference_result import KernelRegression
from normfield.theory.kernels.joint import cross_batch_kernel
from normfield.theory.kernels.joint_result import CrossBatchKernel
from normfield.theory.kernels.profile import depth_profile
from normfield.theory.kernels.profile_result import DepthProfile, LayerProfile

__all__ = [
    "BatchKernel",
    "CrossBatchKernel",
    "DepthProfile",
    "KernelRegression",
    "LayerKernel",
    "LayerProfile",
    "batch_kernel",
    "cross_batch_kernel",
    "depth_profile",
    "kernel_regression",
]
