"""A model that takes its inputs by name, and a loader whose batches are dicts, as tokenisers make them.

normfield diagnose examples/dict_input.py:make --data examples/dict_input.py:loader --loss cross_entropy --budget 30
"""

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

WORDS, LENGTH, NUMBERS, CLASSES = 50, 12, 6, 3


class Texts(Dataset):
    """Made-up texts: whole-number tokens, a mask of those that count, some numbers beside them, and a label."""

    def __init__(self, samples=1200):
        generator = torch.Generator().manual_seed(0)
        self.tokens = torch.randint(WORDS, (samples, LENGTH), generator=generator)
        lengths = torch.randint(3, LENGTH + 1, (samples, 1), generator=generator)
        self.mask = (torch.arange(LENGTH) < lengths).float()
        self.numbers = torch.randn(samples, NUMBERS, generator=generator)
        rare = (self.tokens * self.mask > 40).sum(1)
        self.labels = (rare + (self.numbers[:, 0] > 0)).clamp(max=CLASSES - 1)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return {
            "tokens": self.tokens[i],
            "mask": self.mask[i],
            "numbers": self.numbers[i],
            "labels": self.labels[i],
        }


class TextAndNumbers(nn.Module):
    """The mean of the words' vectors beside the numbers, through a network with batch norm."""

    def __init__(self, width=64):
        super().__init__()
        self.words = nn.Embedding(WORDS, width)
        self.body = nn.Sequential(
            nn.Linear(width + NUMBERS, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, CLASSES)
        )

    def forward(self, tokens, mask, numbers):
        weights = mask / mask.sum(1, keepdim=True)
        text = (self.words(tokens) * weights.unsqueeze(2)).sum(1)
        return self.body(torch.cat([text, numbers], dim=1))


def make(seed=0):
    """An untrained network; restarts of training ask for it with other seeds."""
    torch.manual_seed(seed)
    return TextAndNumbers()


def loader():
    """Dict batches: `labels` are the targets, and all other entries go to the model by their names."""
    return DataLoader(Texts(), batch_size=64)
