"""Watching a training run: what instruments saw, when, and at what cost."""

from normfield.train.monitoring.lightning_adapter import lightning_callback
from normfield.train.monitoring.moment import Moment
from normfield.train.monitoring.readings import Reading
from normfield.train.monitoring.record import MonitorRecord
from normfield.train.monitoring.watched import Watched
from normfield.train.monitoring.watching import Monitor

__all__ = ["Moment", "Monitor", "MonitorRecord", "Reading", "Watched", "lightning_callback"]
