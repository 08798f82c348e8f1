"""The store of a sweep: one SQLite file, written by one driver, read by anybody."""

from normfield.sweep.store.handle import Store
from normfield.sweep.store.records import Group, Trial
from normfield.sweep.store.totals import SweepStatus

__all__ = ["Group", "Store", "SweepStatus", "Trial"]
