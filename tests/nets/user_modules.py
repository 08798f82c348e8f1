"""Networks as users write them, in plain PyTorch."""

from __future__ import annotations

import torch
from torch import nn


class VGG(nn.Module):
    def __init__(self, plan=(64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M")):
        super().__init__()
        layers, channels = [], 3
        for x in plan:
            if x == "M":
                layers += [nn.MaxPool2d(kernel_size=2, stride=2)]
            else:
                layers += [
                    nn.Conv2d(channels, x, kernel_size=3, padding=1),
                    nn.BatchNorm2d(x),
                    nn.ReLU(inplace=True),
                ]
                channels = x
        self.features = nn.Sequential(*layers, nn.AvgPool2d(kernel_size=1, stride=1))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.classifier = nn.Linear(channels, 10)

    def forward(self, x):
        out = self.avgpool(self.features(x))
        out = torch.flatten(out, 1)
        return self.classifier(out)


class Perceptron(nn.Module):
    """Fully connected, with functional activations and a skip in the middle."""

    def __init__(self, features=64, width=200, classes=10, phi=torch.relu):
        super().__init__()
        self.fc1 = nn.Linear(features, width)
        self.bn1 = nn.BatchNorm1d(width)
        self.fc2 = nn.Linear(width, width)
        self.bn2 = nn.BatchNorm1d(width)
        self.drop = nn.Dropout(0.0)
        self.head = nn.Linear(width, classes)
        self.phi = phi

    def forward(self, x):
        x = x.view(x.shape[0], -1)
        x = self.phi(self.bn1(self.fc1(x)))
        x = torch.add(self.drop(self.phi(self.bn2(self.fc2(x)))), x)
        return self.head(x)


class Written(nn.Module):
    """A module whose forward method is the function given, over the parts given."""

    def __init__(self, forward, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self._written = forward

    def forward(self, x):
        return self._written(self, x)
