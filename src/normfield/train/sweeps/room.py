"""How much memory one member of a task's ensembles takes."""

from __future__ import annotations

import torch

from normfield.errors import NormfieldError
from normfield.train.ensemble.room import bytes_each
from normfield.train.losses import as_training_loss
from normfield.train.prepared import prepare
from normfield.train.sweeps.loaded_data import LoadedData
from normfield.train.sweeps.makers import Maker
from normfield.train.sweeps.task_settings import TaskSettings

_UNKNOWN = 1.0


def bytes_of_member(maker: Maker, data: LoadedData, settings: TaskSettings) -> float:
    """Bytes of the member that is made without any axis; next to nothing where none can be made so."""
    try:
        made = maker.make({}, settings.seed)
        dataset = data.in_shape(made.input_shape)
        prepared = prepare(made.module, dataset, as_training_loss(settings.loss), settings.batch_size)
        return float(max(bytes_each(made.module, prepared.loss.function, prepared.evaluation[0]), 1))
    except torch.OutOfMemoryError:
        raise
    except (NormfieldError, Exception, SystemExit):
        return _UNKNOWN
