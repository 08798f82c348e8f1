"""The residual networks of CIFAR-10, with batch norm or without."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from normfield.data.random_state import seeded_random_state


class ResidualBlock(nn.Module):
    """φ(x + N(conv(φ(N(conv(x)))))) with φ = ReLU, N a batch norm or nothing [He et al. 2016, Deep residual learning].

    Where the resolution halves, the shortcut takes every second pixel and fills the new channels with zeros.
    """

    def __init__(self, before: int, after: int, batch_norm: bool) -> None:
        super().__init__()
        self.stride, self.new = 1 if before == after else 2, after - before
        self.conv1, self.norm1 = _convolution(before, after, self.stride), _norm(after, batch_norm)
        self.conv2, self.norm2 = _convolution(after, after, 1), _norm(after, batch_norm)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        kept = x[..., :: self.stride, :: self.stride]
        return F.relu(F.pad(kept, (0, 0, 0, 0, 0, self.new)) + branch)


def residual_network(
    channels: int, blocks: int, outputs: int, seed: int, *, batch_norm: bool, colours: int = 3
) -> nn.Module:
    """Three stages of residual blocks, a mean and a dense layer: 6 ``blocks`` + 2 layers.

    Parameters
    ----------
    channels
        Of the first stage, 16 in ResNet-110; the later two have two and four times as many.
    blocks
        In each stage, 18 in ResNet-110.
    outputs
        Classes.
    seed
        Of the initial weights, normal of variance 2 over the inputs of a unit [He et al.], the dense layer's torch's
        default ones.
    batch_norm
        Whether each convolution is followed by a batch norm, or by nothing; the weights are the same.
    colours
        Channels of the images.
    """
    with seeded_random_state(seed):
        stem = [_convolution(colours, channels, 1), _norm(channels, batch_norm), nn.ReLU()]
        stages: list[nn.Module] = []
        before = channels
        for stage in range(3):
            for _ in range(blocks):
                stages.append(ResidualBlock(before, channels * 2**stage, batch_norm))
                before = channels * 2**stage
        head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, outputs))
        return nn.Sequential(*stem, *stages, *head)


def _convolution(before: int, after: int, stride: int) -> nn.Conv2d:
    made = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
    nn.init.xavier_normal_(made.weight)
    return made


def _norm(channels: int, batch_norm: bool) -> nn.Module:
    return nn.BatchNorm2d(channels) if batch_norm else nn.Identity()
