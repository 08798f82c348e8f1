"""VGG11 for images of 32 by 32 pixels, with batch norm or without, at the same initial weights."""

from __future__ import annotations

from torch import nn

from normfield.data.random_state import seeded_random_state

# Channels of each convolution in multiples of the first's; each tuple ends in a pooling that halves the image.
_STAGES = ((1,), (2,), (4, 4), (8, 8), (8, 8))


def vgg11(channels: int, outputs: int, seed: int, *, batch_norm: bool, colours: int = 3) -> nn.Module:
    """Eight 3×3 convolutions, each followed by batch norm or nothing, and a dense layer [Simonyan and Zisserman, A].

    The two dense layers of width 4096 in front of the last, made for images of 224 pixels, are left out, as is usual
    on CIFAR-10.

    Parameters
    ----------
    channels
        Of the first convolution, 64 in VGG11; the others have up to eight times as many.
    outputs
        Classes.
    seed
        Of the initial weights: normal, of variance 2 over the inputs of a unit [He et al. 2015], so that signals keep
        their size without batch norm, too; the dense layer's 1 over its inputs.
    batch_norm
        Whether each convolution is followed by a batch norm; weights are the same.
    colours
        Channels of the images, which are (colours, 32, 32).
    """
    layers: list[nn.Module] = []
    before = colours
    with seeded_random_state(seed):
        for stage in _STAGES:
            for multiple in stage:
                layers += _convolution(before, multiple * channels, batch_norm)
                before = multiple * channels
            layers.append(nn.MaxPool2d(2))
        return nn.Sequential(*layers, nn.Flatten(), _dense(before, outputs))


def _convolution(before: int, after: int, batch_norm: bool) -> list[nn.Module]:
    made = nn.Conv2d(before, after, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(made.weight, nonlinearity="relu")
    return [made, nn.BatchNorm2d(after), nn.ReLU()] if batch_norm else [made, nn.ReLU()]


def _dense(before: int, after: int) -> nn.Linear:
    made = nn.Linear(before, after)
    nn.init.normal_(made.weight, std=before**-0.5)
    nn.init.zeros_(made.bias)
    return made
