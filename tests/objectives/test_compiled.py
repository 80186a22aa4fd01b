"""Compiled objectives give the numbers of the eager ones."""

from __future__ import annotations

import shutil

import pytest
import torch

from lowerbound.distributions.reparameterization import seeded
from lowerbound.objectives import ELBO, ImportanceWeighted, Objective
from lowerbound.trace import Batch
from tests.oracles import linear_gaussian as oracle

pytestmark = [
    pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler"),
    # torch looks for .grad itself while it traces a graph that begins with a drawn latent
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "objective", [ELBO(), ImportanceWeighted(samples=3, gradient="dreg")], ids=["elbo", "dreg"]
)
def test_value_and_gradients(objective: Objective) -> None:
    batch = Batch(oracle.data(10))
    answers = []
    for compiled in (False, True):
        torch._dynamo.reset()
        model = oracle.model("mean_field", 1.3)
        call = torch.compile(objective, backend="aot_eager") if compiled else objective
        with seeded(3):
            bound = call(model, batch)
        bound.loss.backward()
        answers.append((bound.value, [p.grad for p in model.parameters() if p.requires_grad]))
    (value, gradients), (compiled_value, compiled_gradients) = answers
    assert torch.allclose(value, compiled_value, rtol=1e-9)
    for gradient, other in zip(gradients, compiled_gradients, strict=True):
        assert torch.allclose(gradient, other, rtol=1e-9, atol=1e-12)
