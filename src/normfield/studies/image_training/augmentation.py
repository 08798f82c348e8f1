"""Images shifted and mirrored at random, as is usual on CIFAR-10."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

#: Pixels by which an image is shifted at most.
SHIFT = 4


def augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image shifted by up to four pixels either way, zeros coming in, and mirrored left to right or not.

    Parameters
    ----------
    images
        (samples, colours, side, side).
    generator
        Of the draws, on the CPU.
    """
    return mirrored(shifted(images, generator), generator)


def shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image cut at a random place out of itself with a border of four zeros."""
    count, side = len(images), images.shape[-1]
    padded = F.pad(images, (SHIFT,) * 4)
    places = torch.randint(2 * SHIFT + 1, (2, count), generator=generator).to(images.device)
    windows = padded.unfold(2, side, 1).unfold(3, side, 1)
    return windows[torch.arange(count, device=images.device), :, places[0], places[1]]


def mirrored(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image left to right or as it is, with equal chances."""
    chosen = torch.randint(2, (len(images), 1, 1, 1), generator=generator).to(images.device)
    return torch.where(chosen.bool(), images.flip(-1), images)
