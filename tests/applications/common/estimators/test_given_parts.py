"""Objects in place of names: modules, a likelihood and a prior of one's own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import Tensor, nn

from lowerbound import VAE, Autoencoder, ConditionalVAE
from lowerbound.errors import ModelFolderError, OptionError
from lowerbound.likelihoods import Gaussian, location_scale
from lowerbound.models.given_parts import GIVEN
from lowerbound.networks import MLP
from lowerbound.priors import PRIORS, Prior

SHAPE, LATENT = (3, 8, 8), 2
X = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
TABLE = np.random.default_rng(1).normal(size=(60, 3)) @ np.ones((3, 4)) + 5.0


class Conv(nn.Module):
    """Pictures to feature maps."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Wide(nn.Module):
    """A hidden layer."""

    def __init__(self, inputs: int, width: int = 16) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs, width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.layer(x.flatten(1)))


class Both(nn.Module):
    """One object with both halves."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = Wide(4), Wide(LATENT)


class Loose(Gaussian):
    """A likelihood of one's own."""


class Shifted(Prior):
    """p(z) = N(1, I)."""

    def forward(self, encode: Any = None) -> Any:
        return torch.distributions.Independent(
            torch.distributions.Normal(torch.ones(1, 1, self.latent_dim), 1.0), 1
        )


def pair() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    return Conv(), Wide(LATENT)


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test knows only the objects that it gives."""
    forget(monkeypatch)


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    for registry in GIVEN.values():
        monkeypatch.setattr(registry, "_given", {})


def fitted(**parts: Any) -> VAE:
    return VAE(latent_dim=LATENT, epochs=2, random_state=0, **parts).fit(X)


def test_a_pair_of_modules_is_a_network() -> None:
    given = pair()
    vae = fitted(network=given)
    assert vae.transform(X).shape == (40, LATENT)
    assert vae.sample(3).shape == (3, 8, 8, 3)
    assert np.isfinite(vae.score(X))
    kinds = [type(part) for part in vae.model_.modules()]
    assert Conv in kinds
    assert Wide in kinds
    before = pair()[0].state_dict()
    for name, value in given[0].state_dict().items():  # the fit trained a copy
        assert torch.equal(value, before[name])


def test_the_weights_of_the_modules_are_where_training_starts() -> None:
    given = pair()
    vae = VAE(latent_dim=LATENT, epochs=1, learning_rate=1e-12, network=given).fit(X)
    found = next(part for part in vae.model_.modules() if isinstance(part, Conv))
    torch.testing.assert_close(found.layers[0].weight, given[0].layers[0].weight, rtol=0, atol=1e-6)


def test_a_decoder_that_returns_the_parameters_gets_no_layer() -> None:
    class Exact(Wide):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).unflatten(1, (4,))

    vae = VAE(latent_dim=LATENT, epochs=1, network=(Wide(4), Exact(LATENT, 4))).fit(TABLE)
    assert vae.model_.decoder.head is None
    other = VAE(latent_dim=LATENT, epochs=1, network=(Wide(4), Wide(LATENT, 5))).fit(TABLE)
    assert other.model_.decoder.head is not None


def test_one_object_and_other_estimators() -> None:
    assert VAE(latent_dim=LATENT, epochs=1, network=Both()).fit(TABLE).score(TABLE) < 0
    assert (
        Autoencoder(latent_dim=LATENT, epochs=1, network=Both()).fit(TABLE).transform(TABLE).any()
    )
    labels = np.arange(60) % 3
    network = (Wide(4), Wide(LATENT + 3))  # z with the class beside it
    model = ConditionalVAE(latent_dim=LATENT, epochs=1, network=network).fit(TABLE, labels)
    assert np.isfinite(model.score(TABLE, labels))


def test_options_of_a_network_are_its_fields() -> None:
    vae = fitted(network=MLP(hidden=(7,)))
    assert vae.fitted_.options.model.network == "mlp"
    assert vae.fitted_.options.model.network_options["hidden"] == [7]


def test_a_likelihood_and_a_prior() -> None:
    vae = VAE(latent_dim=LATENT, epochs=1, likelihood=Loose, prior=Shifted).fit(TABLE)
    assert type(vae.model_.likelihood) is Loose
    assert float(vae.model_.prior_distribution().mean.mean()) == 1.0
    instance = VAE(latent_dim=LATENT, epochs=1, prior=Shifted(LATENT)).fit(TABLE)
    assert float(instance.model_.prior_distribution().mean.mean()) == 1.0
    assert "Shifted" not in str(list(PRIORS))


def test_clones_and_parameters_are_those_of_scikit_learn() -> None:
    given = pair()
    vae = VAE(network=given, prior=Shifted)
    assert vae.get_params()["network"] is given
    copied = clone(vae)
    assert copied.prior is Shifted
    assert copied.network[0] is not given[0]
    one, two = fitted(network=given), clone(fitted(network=given)).fit(X)
    np.testing.assert_array_equal(one.transform(X), two.transform(X))


def test_a_saved_model_is_read_with_the_same_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vae = fitted(network=pair(), prior=Shifted)
    vae.save(tmp_path / "m.lb")
    expected = vae.transform(X)
    forget(monkeypatch)
    with pytest.raises(ModelFolderError, match="test_given_parts:Conv"):
        VAE.load(tmp_path / "m.lb")
    with pytest.raises(ModelFolderError, match="network"):
        VAE.load(tmp_path / "m.lb", network=(Conv(width=7), Wide(LATENT)), prior=Shifted)
    given = (Conv(), Wide(LATENT))  # other weights, which the folder's replace
    back = VAE.load(tmp_path / "m.lb", network=given, prior=Shifted)
    np.testing.assert_array_equal(back.transform(X), expected)
    assert back.network is given
    assert clone(back).fit(X).transform(X).shape == (40, LATENT)


def test_a_class_of_the_package_that_has_moved_since_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vae = VAE(latent_dim=LATENT, epochs=1, likelihood=Gaussian((4,)), random_state=0).fit(TABLE)
    expected = vae.transform(TABLE)
    with monkeypatch.context() as before:  # where the class was when the folder was written
        before.setattr(Gaussian, "__module__", "lowerbound.likelihoods.gaussian")
        before.setitem(sys.modules, "lowerbound.likelihoods.gaussian", location_scale)
        forget(before)
        VAE(latent_dim=LATENT, epochs=1, likelihood=Gaussian((4,)), random_state=0).fit(TABLE).save(
            tmp_path / "m.lb"
        )
    forget(monkeypatch)
    assert "likelihoods.gaussian:Gaussian#" in (tmp_path / "m.lb" / "config.json").read_text()
    back = VAE.load(tmp_path / "m.lb", likelihood=Gaussian((4,)))
    np.testing.assert_array_equal(back.transform(TABLE), expected)


def test_a_class_in_a_function_is_not_written(tmp_path: Path) -> None:
    class Local(Wide):
        pass

    vae = VAE(latent_dim=LATENT, epochs=1, network=(Local(4), Wide(LATENT))).fit(TABLE)
    with pytest.raises(ModelFolderError, match="top of a module"):
        vae.save(tmp_path / "m.lb")
    assert not (tmp_path / "m.lb").exists()


@pytest.mark.parametrize("network", [3, nn.Linear(2, 2), (nn.Linear(4, 2), "mlp"), [nn.ReLU()]])
def test_other_objects_are_refused(network: Any) -> None:
    with pytest.raises(OptionError, match="pair of torch modules"):
        VAE(network=network).fit(TABLE)


def test_a_module_of_another_size_is_named() -> None:
    with pytest.raises(OptionError, match=r"the encoder cannot take rows of shape \(4,\)"):
        VAE(latent_dim=2, network=(Wide(5), Wide(2))).fit(TABLE)
    with pytest.raises(OptionError, match="prior takes a name"):
        VAE(latent_dim=2, prior=Wide(5)).fit(TABLE)
    with pytest.raises(OptionError, match="decoder must return one tensor"):
        VAE(latent_dim=2, network=(Wide(4), nn.Flatten(0))).fit(TABLE)
