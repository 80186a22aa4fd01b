"""One call fits any model: its objective, a model of one's own, calibration that resumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lowerbound.data import Dataset, load
from lowerbound.errors import DataError, ModelFolderError, OptionError
from lowerbound.fitting import FitOptions, Fitted, fit, folder as model_folder
from lowerbound.inference.likelihood import score
from lowerbound.models import SemiSupervisedVariationalAutoencoder, VariationalAutoencoder
from lowerbound.models.options import ModelOptions
from lowerbound.objectives import ELBO, SemiSupervised
from lowerbound.training import History, Interrupted, TrainingOptions, train

TRAINING = TrainingOptions(updates=20, batch_size=20, validation=0.0, compile="off", threads=1)
CLASSES = FitOptions(ModelOptions("semi_supervised", 2), training=TRAINING, folds=3)


@pytest.fixture
def labeled() -> Dataset:
    """Sixty rows of two classes, a third of them with a label."""
    noise = np.random.default_rng(0).normal(size=(60, 3))
    rows = load(noise + 2.0 * (np.arange(60) % 2)[:, None])
    return rows.with_labels([("a", "b")[row % 2] if row < 20 else None for row in range(60)])


def weights(fitted: Fitted) -> dict[str, torch.Tensor]:
    return dict(fitted.model.state_dict())


@pytest.mark.parametrize(
    ("named", "taken"),
    [("auto", SemiSupervised), ("elbo", ELBO), ("semi_supervised", SemiSupervised)],
)
def test_an_objective_that_is_named_is_taken(
    labeled: Dataset, named: str, taken: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []

    def watched(model: object, objective: object, *rest: object, **keywords: object) -> History:
        seen.append(objective)
        return History()

    monkeypatch.setattr("lowerbound.fitting.model.train", watched)
    chosen = FitOptions(CLASSES.model, named, training=TRAINING, folds=0)
    fitted = fit(labeled, chosen)
    assert type(seen[0]) is taken
    assert fitted.options.objective == ("semi_supervised" if taken is SemiSupervised else "elbo")


@pytest.mark.parametrize("name", ["vae", "pca"])
def test_folds_of_a_model_without_classes_are_refused(labeled: Dataset, name: str) -> None:
    options = FitOptions(ModelOptions(name, 1), training=TRAINING, folds=3)
    with pytest.raises(
        OptionError, match=f"{name} has no probabilities of classes to calibrate: leave folds out"
    ):
        fit(labeled, options)


@pytest.mark.parametrize("folds", [1, -2])
def test_a_single_fold_is_refused(labeled: Dataset, folds: int) -> None:
    chosen = FitOptions(CLASSES.model, training=TRAINING, folds=folds)
    with pytest.raises(OptionError, match=rf"folds must be at least 2, or 0 for none, not {folds}"):
        fit(labeled, chosen)


def test_options_that_a_model_does_not_have_are_refused(labeled: Dataset) -> None:
    options = FitOptions(ModelOptions(model_options={"levels": 3}), training=TRAINING)
    with pytest.raises(OptionError, match="levels"):
        fit(labeled, options)


class Trainings:
    """Counts the trainings that begin, and interrupts the one of number ``stop``."""

    def __init__(self) -> None:
        self.labels: list[int] = []  # of each training, how many
        self.stop = 0

    def __call__(
        self, model: Any, objective: Any, rows: Dataset, *rest: Any, **keywords: Any
    ) -> Any:
        assert rows.label is not None
        self.labels.append(int((rows.label >= 0).sum()))
        if len(self.labels) == self.stop:
            raise Interrupted("stopped", History())
        return train(model, objective, rows, *rest, **keywords)

    def begin_anew(self, stop: int = 0) -> None:
        self.labels, self.stop = [], stop


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> Trainings:
    counted = Trainings()
    monkeypatch.setattr("lowerbound.fitting.model.train", counted)
    return counted


@pytest.mark.slow
def test_calibration_that_was_interrupted_goes_on(
    labeled: Dataset, trainings: Trainings, tmp_path: Path
) -> None:
    straight = fit(labeled, CLASSES)
    assert sorted(trainings.labels) == [13, 13, 14, 20, 20]  # three parts, q(y | x), the model
    trainings.begin_anew(stop=3)
    with pytest.raises(Interrupted, match="2 of 3 fits finished and saved in"):
        fit(labeled, CLASSES, folder=tmp_path)
    trainings.begin_anew()
    resumed = fit(labeled, CLASSES, folder=tmp_path, resume=True)
    assert len(trainings.labels) == 3  # the third part, q(y | x), and the model itself
    for name, weight in weights(straight).items():
        assert torch.equal(weight, weights(resumed)[name]), name
    assert float(weights(resumed)["temperature"]) != 1.0


@pytest.mark.slow
def test_answers_of_other_fits_do_not_count(
    labeled: Dataset, trainings: Trainings, tmp_path: Path
) -> None:
    fit(labeled, CLASSES, folder=tmp_path)
    trainings.begin_anew()
    fit(labeled, CLASSES, folder=tmp_path / "other", resume=True)
    assert len(trainings.labels) == 5
    trainings.begin_anew()
    fit(labeled, CLASSES, folder=tmp_path, resume=True)
    assert len(trainings.labels) == 2
    trainings.begin_anew()
    fit(labeled, CLASSES, folder=tmp_path)
    assert len(trainings.labels) == 5  # begun anew


def test_an_interrupted_fit_of_the_classifier_keeps_the_answers(
    labeled: Dataset, trainings: Trainings, tmp_path: Path
) -> None:
    trainings.begin_anew(stop=4)
    with pytest.raises(Interrupted, match="3 of 3 fits finished and saved in"):
        fit(labeled, CLASSES, folder=tmp_path)


def test_a_model_of_ones_own_is_fitted(tmp_path: Path) -> None:
    class Own(VariationalAutoencoder):
        """One that is not registered."""

    data = load(np.random.default_rng(0).normal(size=(40, 4)))
    options = FitOptions(ModelOptions(latent_dim=2, network="mlp"), training=TRAINING)
    plain = fit(data, options)
    by_class = fit(data, options, model=Own)
    assert isinstance(by_class.model, Own)
    assert by_class.options.model.model == "Own"
    for name, weight in weights(plain).items():
        assert torch.equal(weight, weights(by_class)[name])
    by_object = fit(data, options, model=by_class.model)
    assert by_object.model is by_class.model
    assert torch.isfinite(score(by_object.model, data).elbo).all()
    with pytest.raises(ModelFolderError, match="Own is not registered"):
        model_folder.write(tmp_path / "own.lb", by_class)


def test_a_registered_class_goes_by_its_name(labeled: Dataset) -> None:
    kind = SemiSupervisedVariationalAutoencoder
    options = FitOptions(ModelOptions(latent_dim=2), training=TRAINING, folds=0)
    assert fit(labeled, options, model=kind).options.model.model == "semi_supervised"


@pytest.mark.parametrize(
    ("pictures", "words"),
    [
        (np.full((1, 8, 8), 7, dtype=np.uint8), "there is one picture"),
        (np.full((9, 8, 8), 7, dtype=np.uint8), "all 9 pictures are the same"),
        (np.arange(9, dtype=np.uint8).reshape(9, 1, 1), "pictures of 1x1 pixels"),
    ],
)
def test_pictures_without_parts_or_differences_are_refused(pictures: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        fit(load(pictures))
