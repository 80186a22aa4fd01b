"""What holds for every registered network, whichever it is and whatever the shape of a row."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from lowerbound.config import from_mapping, to_mapping
from lowerbound.errors import DataError, OptionError
from lowerbound.networks import NETWORKS, Decoder, Encoder, Masked, Network

SHAPES = [(3,), (64,), (1, 1, 1), (1, 8, 8), (1, 28, 28), (3, 7, 5), (3, 32, 32), (1, 33, 17)]
NUMBERS, LATENT_DIM, ROWS = 9, 3, 5  # three means and a triangle of three: any posterior's

every_network = pytest.mark.parametrize(
    "name",
    [name for name in NETWORKS if not NETWORKS[name].only_maps],  # those: see test_autoencoder_kl
)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
with_and_without_condition = pytest.mark.parametrize("condition_dim", [0, 4])


def owed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Two numbers per feature, as a likelihood with a scale would ask."""
    return (2 * shape[0], *shape[1:])


def halves(
    name: str, shape: tuple[int, ...], condition_dim: int = 0, dtype: torch.dtype = torch.float64
) -> tuple[Encoder, Decoder]:
    network = NETWORKS[name]()
    features = reading(name, torch.zeros(0, *shape))
    encoder = network.encoder(features.shape[1:], NUMBERS, condition_dim).to(dtype)
    decoder = network.decoder(LATENT_DIM, owed(shape), condition_dim).to(dtype)
    nudge(encoder)
    nudge(decoder)
    return encoder, decoder


def reading(name: str, x: Tensor) -> Tensor:
    """What an encoder of that family is fed of complete rows."""
    return Masked(tuple(x.shape[1:]))(x) if NETWORKS[name].reads_mask else x


def nudge(half: nn.Module) -> None:
    """Move weights that start at zero: they hide what lies in front of them."""
    for layer in half.modules():
        if isinstance(layer, nn.Linear) and not layer.weight.any():
            nn.init.normal_(layer.weight, std=0.3 / layer.in_features**0.5)


def inputs(
    name: str,
    shape: tuple[int, ...],
    condition_dim: int,
    rows: int = ROWS,
    dtype: torch.dtype = torch.float64,
) -> tuple[Tensor, Tensor, Tensor | None]:
    condition = torch.randn(rows, condition_dim, dtype=dtype) if condition_dim else None
    x = reading(name, torch.randn(rows, *shape, dtype=dtype))
    return x, torch.randn(rows, LATENT_DIM, dtype=dtype), condition


@every_network
@every_shape
@with_and_without_condition
def test_shapes_scale_and_dtype(name: str, shape: tuple[int, ...], condition_dim: int) -> None:
    for dtype in (torch.float32, torch.float64):
        encoder, decoder = halves(name, shape, condition_dim, dtype)
        x, z, condition = inputs(name, shape, condition_dim, 64, dtype)
        numbers, parameters = encoder(x, condition), decoder(z, condition)
        assert numbers.shape == (64, NUMBERS)
        assert parameters.shape == (64, *owed(shape))
        for answer in (numbers, parameters):
            assert answer.dtype == dtype
            assert answer.isfinite().all()
            assert 0.03 < answer.std() < 2.0


@every_network
@every_shape
@with_and_without_condition
def test_gradients_reach_every_parameter_and_input(
    name: str, shape: tuple[int, ...], condition_dim: int
) -> None:
    for half, row in zip(
        halves(name, shape, condition_dim), inputs(name, shape, condition_dim), strict=False
    ):
        condition = inputs(name, shape, condition_dim)[2]
        row.requires_grad_()
        half(row, condition).square().sum().backward()
        assert row.grad is not None
        assert (row.grad.flatten(1).abs().sum(1) > 0).all()
        for key, parameter in half.named_parameters():
            assert parameter.grad is not None, key
            assert parameter.grad.isfinite().all(), key
            assert parameter.grad.abs().sum() > 0, key


@every_network
@every_shape
@with_and_without_condition
def test_a_row_does_not_depend_on_its_neighbors(
    name: str, shape: tuple[int, ...], condition_dim: int
) -> None:
    x, z, condition = inputs(name, shape, condition_dim)
    order = torch.tensor([3, 1])
    chosen = None if condition is None else condition[order]
    for half, row in zip(halves(name, shape, condition_dim), (x, z), strict=True):
        torch.testing.assert_close(
            half(row[order], chosen), half(row, condition)[order], rtol=1e-9, atol=1e-10
        )


@every_network
@every_shape
def test_the_output_bias_is_added_last(name: str, shape: tuple[int, ...]) -> None:
    _, decoder = halves(name, shape)
    z = torch.randn(2, LATENT_DIM, dtype=torch.float64)
    before = decoder(z)
    bias = torch.randn(owed(shape), dtype=torch.float64)
    decoder.set_output_bias(bias)
    torch.testing.assert_close(decoder(z) - before, bias.expand_as(before))
    assert all(parameter.requires_grad for parameter in decoder.parameters())


@every_network
def test_an_output_bias_of_another_shape_is_refused(name: str) -> None:
    _, decoder = halves(name, (1, 8, 8))
    with pytest.raises(ValueError, match=r"shape \(2, 8, 8\), not \(128,\)"):
        decoder.set_output_bias(torch.zeros(128))


@every_network
@every_shape
def test_the_condition_matters_to_both_halves(name: str, shape: tuple[int, ...]) -> None:
    x, z, condition = inputs(name, shape, 4)
    assert condition is not None
    for half, row in zip(halves(name, shape, 4), (x, z), strict=True):
        changed = half(row, condition) - half(row, condition + 1)
        assert (changed.flatten(1).abs().sum(1) > 0).all()
        one_hot = torch.eye(4, dtype=torch.long)[torch.arange(ROWS) % 4]
        torch.testing.assert_close(half(row, one_hot), half(row, one_hot.to(row.dtype)))


@every_network
def test_a_condition_out_of_place_is_refused(name: str) -> None:
    for built, given in ((0, 4), (4, 0), (4, 3)):
        for half, row in zip(halves(name, (3,), built), inputs(name, (3,), 0), strict=False):
            _, _, condition = inputs(name, (3,), given)
            with pytest.raises(
                DataError, match=f"of {built} numbers per row, and was given {given}"
            ):
                half(row, condition)


@every_network
@every_shape
def test_weights_load_into_another_instance(name: str, shape: tuple[int, ...]) -> None:
    x, z, _ = inputs(name, shape, 0)
    for first, second, row in zip(halves(name, shape), halves(name, shape), (x, z), strict=True):
        assert not torch.equal(first(row), second(row))
        second.load_state_dict(first.state_dict())
        assert torch.equal(first(row), second(row))
        # the model folder writes them as they lie in memory
        assert all(value.is_contiguous() for value in first.state_dict().values())


@every_network
def test_the_seed_decides_the_weights(name: str) -> None:
    def weights(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return torch.cat(
            [p.flatten() for half in halves(name, (1, 8, 8)) for p in half.parameters()]
        )

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


@every_network
@pytest.mark.parametrize("shape", [(3,), (1, 7, 5)], ids=str)
def test_per_row_gradients_sum_to_the_gradient_of_the_sum(
    name: str, shape: tuple[int, ...]
) -> None:
    """Private training clips the gradient of each row, taken through vmap."""
    x, z, _ = inputs(name, shape, 0)
    for half, rows in zip(halves(name, shape), (x, z), strict=True):
        parameters = dict(half.named_parameters())

        def loss(weights: dict[str, Tensor], row: Tensor, half: nn.Module = half) -> Tensor:
            return functional_call(half, weights, (row.unsqueeze(0),)).square().sum()

        each = vmap(grad(loss), (None, 0))(parameters, rows)
        half(rows).square().sum().backward()
        for key, parameter in half.named_parameters():
            assert parameter.grad is not None
            torch.testing.assert_close(each[key].sum(0), parameter.grad)


@every_network
def test_bf16_stays_near_fp32(name: str) -> None:
    shape = (1, 28, 28)
    x, z, _ = inputs(name, shape, 0, 16, torch.float32)
    for half, row in zip(halves(name, shape, 0, torch.float32), (x, z), strict=True):
        exact = half(row)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = half(row)
        assert (rounded.float() - exact).std() < 0.03 * exact.std()
        rounded.float().square().sum().backward()
        assert all(parameter.grad is not None for parameter in half.parameters())


@every_network
def test_no_rows_give_no_rows(name: str) -> None:
    for shape in ((3,), (1, 8, 8)):
        encoder, decoder = halves(name, shape)
        nothing = reading(name, torch.zeros(0, *shape, dtype=torch.float64))
        assert encoder(nothing).shape == (0, NUMBERS)
        assert decoder(torch.zeros(0, LATENT_DIM, dtype=torch.float64)).shape == (0, *owed(shape))


@every_network
def test_options_survive_json(name: str) -> None:
    network = NETWORKS[name]()
    assert from_mapping(NETWORKS[name], json.loads(json.dumps(to_mapping(network)))) == network
    with pytest.raises(OptionError, match="unknown option"):
        from_mapping(NETWORKS[name], {"wibble": 1})


GIVEN: list[tuple[str, dict[str, object]]] = [
    ("mlp", {"hidden": [7, 5], "activation": "tanh"}),
    ("mlp", {"hidden": []}),
    ("convolutional", {"width": 3, "depth": 2, "bottleneck": False, "activation": "relu"}),
    ("convolutional", {"depth": 0}),
    ("transformer", {"patch": 5, "width": 12, "depth": 1, "heads": 3, "mlp_ratio": 1.5}),
    ("transformer", {"heads": 5}),
    ("frames", {"hop": 4, "overlap": 2, "width": 6, "depth": 1, "activation": "relu"}),
    ("frames", {"hop": 7, "overlap": 5, "depth": 0}),
    ("tabular", {"hidden": [7, 5], "activation": "tanh"}),
    ("tabular", {"hidden": []}),
]


@pytest.mark.parametrize(("name", "options"), GIVEN, ids=str)
def test_given_sizes_build_for_pictures_and_vectors(name: str, options: dict[str, object]) -> None:
    network: Network = from_mapping(NETWORKS[name], options)
    assert from_mapping(NETWORKS[name], json.loads(json.dumps(to_mapping(network)))) == network
    for shape in ((5,), (9, 4), (2, 9, 12)):
        features = reading(name, torch.randn(2, *shape))
        encoder = network.encoder(features.shape[1:], NUMBERS)
        decoder = network.decoder(LATENT_DIM, shape)
        assert encoder(features).shape == (2, NUMBERS)
        assert decoder(torch.randn(2, LATENT_DIM)).shape == (2, *shape)


BAD: list[tuple[str, dict[str, object], str]] = [
    ("mlp", {"hidden": [7, 0]}, "at least one unit"),
    ("mlp", {"activation": "tan"}, "did you mean 'tanh'"),
    ("tabular", {"hidden": [0]}, "at least one unit"),
    ("convolutional", {"width": 0}, "positive number of channels"),
    ("convolutional", {"depth": -1}, "number of blocks"),
    ("convolutional", {"activation": "rely"}, "did you mean 'relu'"),
    ("frames", {"hop": 0}, "a hop and a width of at least 1"),
    ("frames", {"overlap": 1}, "an overlap of 2"),
    ("transformer", {"patch": 0}, "patch of a transformer"),
    ("transformer", {"mlp_ratio": 0.0}, "mlp_ratio"),
    ("transformer", {"width": 10, "heads": 3}, "3 heads do not divide a width of 10"),
]


@pytest.mark.parametrize(("name", "options", "message"), BAD, ids=str)
def test_options_that_make_no_sense_are_refused(
    name: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        from_mapping(NETWORKS[name], options)
