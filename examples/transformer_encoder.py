"""A transformer encoder that classifies digits by rows of pixels: torch's own layers, as its users put them together.

normfield diagnose examples/transformer_encoder.py:make --data digits --loss cross_entropy --budget 60
"""

import torch
from torch import nn


class PatchEncoder(nn.Module):
    """Rows of an image become tokens; a learned class token gathers what the layers find."""

    def __init__(self, rows=8, pixels=8, width=64, heads=4, layers=2, classes=10):
        super().__init__()
        self.embed = nn.Linear(pixels, width)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(0.02 * torch.randn(1, rows + 1, width))
        layer = nn.TransformerEncoderLayer(
            width,
            heads,
            dim_feedforward=4 * width,
            dropout=0.1,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, images):
        tokens = self.embed(images.squeeze(1))
        first = self.class_token.expand(len(tokens), -1, -1)
        tokens = torch.cat([first, tokens], dim=1) + self.positions
        return self.head(self.norm(self.encoder(tokens)[:, 0]))


def make(seed=0):
    """An untrained network; restarts of training ask for it with other seeds."""
    torch.manual_seed(seed)
    return PatchEncoder()
