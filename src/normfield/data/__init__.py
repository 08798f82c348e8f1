"""Named data sets, safe readers, and the user's own data."""

from __future__ import annotations

from normfield.data.batching import Batches
from normfield.data.dataset import DataSet
from normfield.data.loading import load
from normfield.data.named import available
from normfield.data.target import load_target

__all__ = ["Batches", "DataSet", "available", "load", "load_target"]
