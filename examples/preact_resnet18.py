"""PreAct-ResNet18 for CIFAR-10, in plain PyTorch as its users write it [He et al. 2016, arXiv 1603.05027].

normfield diagnose examples/preact_resnet18.py:make --data cifar10 --loss cross_entropy --budget 300
"""

import torch
import torch.nn.functional as F
from torch import nn


class PreActBlock(nn.Module):
    """Batch norm and ReLU in front of each of two convolutions, with a skip connection around them."""

    def __init__(self, in_planes, planes, stride=1):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_planes)
        self.conv1 = nn.Conv2d(in_planes, planes, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, kernel_size=3, stride=1, padding=1, bias=False)
        if stride != 1 or in_planes != planes:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_planes, planes, kernel_size=1, stride=stride, bias=False)
            )

    def forward(self, x):
        out = F.relu(self.bn1(x))
        shortcut = self.shortcut(out) if hasattr(self, "shortcut") else x
        out = self.conv1(out)
        out = self.conv2(F.relu(self.bn2(out)))
        out += shortcut
        return out


class PreActResNet(nn.Module):
    """Four stages of blocks for images of 32 × 32 pixels; each stage after the first halves them."""

    def __init__(self, blocks=(2, 2, 2, 2), width=64, classes=10):
        super().__init__()
        self.in_planes = width
        self.conv1 = nn.Conv2d(3, width, kernel_size=3, stride=1, padding=1, bias=False)
        self.layer1 = self._stage(width, blocks[0], stride=1)
        self.layer2 = self._stage(2 * width, blocks[1], stride=2)
        self.layer3 = self._stage(4 * width, blocks[2], stride=2)
        self.layer4 = self._stage(8 * width, blocks[3], stride=2)
        self.linear = nn.Linear(8 * width, classes)

    def _stage(self, planes, blocks, stride):
        layers = []
        for each in [stride] + [1] * (blocks - 1):
            layers.append(PreActBlock(self.in_planes, planes, each))
            self.in_planes = planes
        return nn.Sequential(*layers)

    def forward(self, x):
        out = self.conv1(x)
        out = self.layer4(self.layer3(self.layer2(self.layer1(out))))
        out = F.avg_pool2d(out, 4)
        out = out.view(out.size(0), -1)
        return self.linear(out)


def make(seed=0):
    """An untrained network; restarts of training ask for it with other seeds."""
    torch.manual_seed(seed)
    return PreActResNet()
