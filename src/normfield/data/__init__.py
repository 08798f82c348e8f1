"""Named data sets, safe readers, and the user's own data."""

from __future__ import annotations

from normfield.data.batching import Batches
from normfield.data.dataset import DataSet
from normfield.data.loading import load
from normfield.data.named import Availability, available, fetch
from normfield.data.target import load_target
from normfield.data.verification import Checked, verify

__all__ = [
    "Availability",
    "Batches",
    "Checked",
    "DataSet",
    "available",
    "fetch",
    "load",
    "load_target",
    "verify",
]
