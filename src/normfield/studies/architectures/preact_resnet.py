"""Residual networks that normalise in front of each convolution."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from normfield.data.random_state import seeded_random_state

_BLOCKS = 2  # in each of four stages: 18 layers


class PreActivationBlock(nn.Module):
    """x + conv(φ(BN(conv(φ(BN(x)))))) with φ = ReLU [He et al. 2016, Identity mappings].

    Where channels or resolution change, the shortcut is a 1×1 convolution of φ(BN(x)).
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(before), nn.BatchNorm2d(after)
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        changes = stride != 1 or before != after
        self.shortcut = nn.Conv2d(before, after, 1, stride, bias=False) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        normed = F.relu(self.norm1(x))
        kept = x if self.shortcut is None else self.shortcut(normed)
        return kept + self.conv2(F.relu(self.norm2(self.conv1(normed))))


def preact_resnet18(channels: int, outputs: int, seed: int, *, colours: int = 3) -> nn.Module:
    """Four stages of two pre-activation blocks on images of 32 by 32 pixels, a last batch norm, a mean, a dense layer.

    Parameters
    ----------
    channels
        Of the first stage, 64 in the paper; each later stage has twice as many at half the resolution.
    outputs
        Classes.
    seed
        Of the initial weights, torch's default ones.
    colours
        Channels of the images.
    """
    with seeded_random_state(seed):
        blocks: list[nn.Module] = []
        before = channels
        for stage in range(4):
            after = channels * 2**stage
            for block in range(_BLOCKS):
                blocks.append(PreActivationBlock(before, after, 2 if stage and not block else 1))
                before = after
        stem = nn.Conv2d(colours, channels, 3, padding=1, bias=False)
        head = (nn.BatchNorm2d(before), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return nn.Sequential(stem, *blocks, *head, nn.Linear(before, outputs))
