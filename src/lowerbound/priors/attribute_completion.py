"""The joint distribution of attributes: what a prompt leaves open is drawn before z."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lowerbound.data.labels import UNKNOWN
from lowerbound.data.prompts.vocabulary import PromptVocabulary
from lowerbound.networks.columns.known_columns import KnownColumns

WIDTH, LAYERS, VECTORS = 128, 2, 8


class AttributeCompletion(nn.Module):
    r"""p(y_f | any other fields of y), for prompts of which some fields are unknown.

    .. math:: p(z \mid y_{known}) = \sum_{y_{rest}} p(y_{rest} \mid y_{known}) \, p(z \mid y)

    A prior of z given all fields has to learn much less than one given any subset of them, and the
    fields that a prompt leaves open keep the frequencies of the training rows.

    Args:
        sizes: number of values of each field.

    Source: Hoogeboom et al. 2022 (one step of a random order).
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.network = KnownColumns(
            self.sizes, 0, sum(self.sizes), width=WIDTH, layers=LAYERS, vectors=VECTORS
        )

    def loss(self, prompt: Tensor) -> Tensor:
        """An unbiased estimate of -log p of the known fields in a random order, (rows,).

        Args:
            prompt: (rows, fields) long, -1 where a field is unknown.
        """
        present = prompt != UNKNOWN
        order = torch.rand(prompt.shape, device=prompt.device).where(present, 2.0)
        rank, count = order.argsort(1).argsort(1), present.sum(1, keepdim=True)
        some = (torch.rand_like(order[:, :1]) * count).long()
        known = present & (rank < some)
        logits = self._logits(prompt, known)
        open_values = prompt.masked_fill(known, UNKNOWN)
        each = [
            cross_entropy(scores, values, reduction="none", ignore_index=UNKNOWN)
            for scores, values in zip(logits, open_values.unbind(1), strict=True)
        ]
        return torch.stack(each, 1).sum(1) * (count / (count - some).clamp_min(1))[:, 0]

    @torch.no_grad()
    def complete(self, prompt: Tensor) -> Tensor:
        """The prompts with their unknown fields drawn, one after another."""
        prompt = prompt.clone()
        for field in range(len(self.sizes)):
            rows = torch.nonzero(prompt[:, field] == UNKNOWN).flatten()
            if len(rows):
                logits = self._logits(prompt[rows], prompt[rows] != UNKNOWN)[field]
                prompt[rows, field] = torch.multinomial(logits.softmax(1), 1)[:, 0]
        return prompt

    def _logits(self, prompt: Tensor, known: Tensor) -> tuple[Tensor, ...]:
        """Of every value of each field, (rows, values)."""
        like = self.network.first.weight
        numbers, none = like.new_zeros(prompt.shape), like.new_zeros(len(prompt), 0)
        found: Tensor = self.network(prompt.clamp_min(0), numbers, known, none)
        return torch.split(found.float(), list(self.sizes), 1)


def attribute_completion(
    vocabulary: PromptVocabulary, completes: bool
) -> AttributeCompletion | None:
    """The completion of prompts of that vocabulary; None if they have no fields."""
    return AttributeCompletion(vocabulary.sizes) if completes and vocabulary.fields else None
