# pyright: reportMissingImports=false
"""The recurrent attention model in PyTorch, written as such code commonly is, but without a Python loop over the batch.

What the benchmarks compare foveax with: its standard network with a simple RNN, ``combine="add"``, no Fourier bands,
neither the fixation nor the number of the glimpse for the saccader; a Gaussian policy of learned scale, by REINFORCE
with a learned baseline, paid for the decision at the end (Mnih et al. 2014, arXiv 1406.6247).
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

FEATURES, HIDDEN, SACCADER, CLASSES = 128, 256, 128, 10
CROP, GLIMPSES, DEVIATION = 9, 6, 0.7


def crop(images: torch.Tensor, fixations: torch.Tensor) -> torch.Tensor:
    """Bilinear crops ``[B, 1, G, G]`` of images ``[B, 1, H, W]`` at fixations ``[B, 2]`` in [0, 1]; zero outside."""
    height, width = images.shape[-2:]
    reach = torch.arange(CROP, device=images.device) - (CROP - 1) / 2
    x = 2 * fixations[:, 0, None] - 1 + 2 * reach / (width - 1)
    y = 2 * fixations[:, 1, None] - 1 + 2 * reach / (height - 1)
    grid = torch.stack([x[:, None, :].expand(-1, CROP, -1), y[:, :, None].expand(-1, -1, CROP)], dim=-1)
    return functional.grid_sample(images, grid, padding_mode="zeros", align_corners=True)


class Classifier(nn.Module):
    """Glimpse encoder, simple RNN, read-out."""

    def __init__(self) -> None:
        super().__init__()
        self.what = nn.Linear(CROP * CROP, FEATURES)
        self.where = nn.Linear(2, FEATURES)
        self.both = nn.Linear(2 * FEATURES, FEATURES)
        self.entering = nn.Linear(FEATURES, HIDDEN)
        self.recurrent = nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.readout = nn.Linear(HIDDEN, CLASSES)

    def forward(self, hidden: torch.Tensor, glimpse: torch.Tensor, fixation: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """``[B, 256]``, ``[B, 1, G, G]`` and ``[B, 2]``: the new hidden state and the logits ``[B, 10]``."""
        what = torch.relu(self.what(glimpse.flatten(1)))
        where = torch.relu(self.where(2 * fixation - 1))
        features = torch.relu(self.both(torch.cat([what, where], dim=1)))
        hidden = torch.relu(self.entering(features) + self.recurrent(hidden))
        return hidden, self.readout(hidden)


class RAM(nn.Module):
    """Classifier and saccader; its loss over a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = Classifier()
        self.layer = nn.Linear(HIDDEN, SACCADER)
        self.location = nn.Linear(SACCADER, 2)
        self.value = nn.Linear(SACCADER, 1)
        self.log_deviation = nn.Parameter(torch.full((2,), math.log(DEVIATION)))

    def loss(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Cross-entropy at the last glimpse, REINFORCE, and the baseline's squared error."""
        hidden = images.new_zeros(len(images), HIDDEN)
        fixation = images.new_full((len(images), 2), 0.5)
        logits = images.new_zeros(len(images), CLASSES)
        log_probs, values = [], []
        for glimpse in range(GLIMPSES):
            hidden, logits = self.classifier(hidden, crop(images, fixation), fixation)
            if glimpse == GLIMPSES - 1:
                break
            layer = torch.relu(self.layer(hidden.detach()))
            policy = torch.distributions.Normal(self.location(layer), self.log_deviation.exp(), validate_args=False)
            action = policy.sample()
            log_probs.append(policy.log_prob(action).sum(1))
            values.append(self.value(layer).squeeze(1))
            fixation = torch.sigmoid(action)
        reward = (logits.argmax(1) == labels).float()[:, None]
        value = torch.stack(values, dim=1)
        advantage = (reward - value).detach()
        reinforce = -(torch.stack(log_probs, dim=1) * advantage).mean()
        return (
            functional.cross_entropy(logits, labels)
            + reinforce
            + 0.5 * functional.mse_loss(value, reward.expand_as(value))
        )


def make_training(
    images: Any, labels: Any, *, steps: int, device: str = "", mode: str | None = None
) -> Callable[[], None]:
    """A function that trains by some steps, each on the same batch of images ``[B, H, W, 1]``, and waits for them.

    Args:
      images: uint8.
      labels: ``[B]``.
      steps: of a call.
      device: of PyTorch; by default a GPU where one is.
      mode: of ``torch.compile``; None trains eagerly.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    shown = torch.as_tensor(images, device=device).movedim(-1, 1).float() / 255
    answers = torch.as_tensor(labels, device=device).long()
    model = RAM().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    loss = model.loss if mode is None else torch.compile(model.loss, mode=mode)

    def run() -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            loss(shown, answers).backward()
            optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    return run
