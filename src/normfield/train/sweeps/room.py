"""How much memory one member of a task's ensembles takes while others are stepped."""

from __future__ import annotations

import torch

from normfield.train.sweeps.makers import Maker

# Of a member's parameters and buffers: two modules, two stacks of them as members leave, gradients, three of an
# optimizer. What a step takes besides, an ensemble bounds by itself.
_COPIES = 8


def bytes_of_member(maker: Maker, seed: int) -> int:
    """Bytes of the member that is made without any axis; 1 where none can be made so."""
    try:
        module = maker.make({}, seed).module
    except torch.OutOfMemoryError:
        raise
    except (Exception, SystemExit):
        return 1
    return max(1, _COPIES * sum(tensor.nbytes for tensor in [*module.parameters(), *module.buffers()]))
