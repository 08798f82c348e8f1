"""VGG16 for images of 32 by 32 pixels."""

from __future__ import annotations

from torch import nn

from normfield.data.random_state import seeded_random_state

# Channels of each convolution in multiples of the first's; each tuple ends in a pooling that halves the image.
_STAGES = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))


def vgg16(channels: int, outputs: int, seed: int, *, colours: int = 3) -> nn.Module:
    """Thirteen 3×3 convolutions, batch norm after each, and one dense layer [Simonyan and Zisserman, configuration D].

    The two dense layers of width 4096 in front of the last, made for images of 224 pixels, are left out, as is usual
    on CIFAR-10.

    Parameters
    ----------
    channels
        Of the first convolution, 64 in the paper; the others have up to eight times as many.
    outputs
        Classes.
    seed
        Of the initial weights, torch's default ones.
    colours
        Channels of the images, which are (colours, 32, 32).
    """
    with seeded_random_state(seed):
        layers: list[nn.Module] = []
        before = colours
        for stage in _STAGES:
            for multiple in stage:
                layers += _convolution(before, multiple * channels)
                before = multiple * channels
            layers.append(nn.MaxPool2d(2))
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(before, outputs))


def _convolution(before: int, after: int) -> list[nn.Module]:
    """Batch norm takes any bias off, so that there is none."""
    return [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
