"""scikit-learn's own checks on every estimator: none failed, none expected to fail."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    parametrize_with_checks,
)

from lowerbound import (
    VAE,
    VQVAE,
    Autoencoder,
    ConditionalVAE,
    HierarchicalVAE,
    LadderVAE,
    ProbabilisticPCA,
    PyODDetector,
    SemiSupervisedRegressor,
    SemiSupervisedVAE,
    TableSynthesizer,
    VAEDetector,
)
from lowerbound.fitting import FitOptions
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions
from tests.applications.conftest import MORE_CHECKS

# a few epochs: what is checked here is manners, some 250 fits of them
ESTIMATORS = [
    VAE(epochs=5),
    ConditionalVAE(epochs=5),
    Autoencoder(epochs=5),
    ProbabilisticPCA(),
    ProbabilisticPCA(components=2),
    SemiSupervisedVAE(epochs=60, learning_rate=0.01, folds=0),
    SemiSupervisedRegressor(epochs=60, learning_rate=0.01, folds=0),
    HierarchicalVAE(epochs=5),
    LadderVAE(epochs=5),
    VQVAE(epochs=5),
]
SLOW = [e for e in ESTIMATORS if isinstance(e, (SemiSupervisedVAE, SemiSupervisedRegressor))]
DEFAULTS = [type(estimator)() for estimator in ESTIMATORS]
for labeled in DEFAULTS[5:7]:
    labeled.set_params(folds=0)  # whose further fits are like the first

DETECTORS = [VAEDetector(epochs=5), PyODDetector(detector=VAEDetector(epochs=5))]
SYNTHESIZER = TableSynthesizer(minutes=0.01, least_people=1)  # for the few rows of the checks

few = pytest.mark.filterwarnings("ignore:a false-alarm rate of .* too few")  # rows of a detector
names = pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)


@parametrize_with_checks([e for e in ESTIMATORS if e not in SLOW])
def test_scikit_learns_checks(estimator: BaseEstimator, check: Callable[..., None]) -> None:
    check(estimator)


@pytest.mark.slow
@few
@parametrize_with_checks([*SLOW, *DETECTORS, SYNTHESIZER])
def test_scikit_learns_checks_of_slow_estimators(
    estimator: BaseEstimator, check: Callable[..., None]
) -> None:
    check(estimator)


@pytest.mark.long
@few
@parametrize_with_checks([*DEFAULTS, VAEDetector(), PyODDetector()])
def test_scikit_learns_checks_with_defaults(
    estimator: BaseEstimator, check: Callable[..., None]
) -> None:
    check(estimator)


@pytest.mark.slow
@pytest.mark.parametrize("check", MORE_CHECKS, ids=lambda c: c.__name__)
@names
@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names")
def test_more_of_scikit_learns_checks(
    estimator: BaseEstimator, check: Callable[[str, BaseEstimator], None]
) -> None:
    check(type(estimator).__name__, clone(estimator))


@pytest.mark.slow
@pytest.mark.parametrize("estimator", DETECTORS, ids=lambda e: type(e).__name__)
def test_detectors_know_their_columns(estimator: BaseEstimator) -> None:
    check_dataframe_column_names_consistency(type(estimator).__name__, clone(estimator))


@names
def test_tags_hide_nothing_from_the_checks(estimator: BaseEstimator) -> None:
    tags = get_tags(estimator)
    assert tags.input_tags.two_d_array
    assert tags.requires_fit
    skipped = [tags.no_validation, tags.non_deterministic, tags._skip_test]
    narrowed = [tags.input_tags.positive_only, tags.input_tags.allow_nan]
    assert not any(skipped + narrowed)


@names
def test_parameters_and_options_of_one_name_have_one_default(estimator: BaseEstimator) -> None:
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(type(estimator)).parameters.items()
    }
    for options in (ModelOptions(), FitOptions(), TrainingOptions()):
        for name, value in vars(options).items():
            if name in defaults:
                assert (defaults[name] or None) == (value or None), name


@names
def test_every_parameter_is_documented(estimator: BaseEstimator) -> None:
    text = inspect.getdoc(type(estimator)) or ""
    if "as for ``VAE``" in text:
        text += inspect.getdoc(VAE) or ""
    for name in estimator.get_params():
        assert f"\n    {name}: " in text, name


@names
def test_fitting_and_using_leaves_global_random_state(
    estimator: BaseEstimator, untouched_random_state: None
) -> None:
    X = np.random.default_rng(0).normal(size=(20, 4))
    fitted: Any = clone(estimator).fit(X, np.arange(20) % 2)
    fitted.transform(X)
    fitted.reconstruct(X, return_std=True)
    fitted.score(X, np.arange(20) % 2)
    if not isinstance(estimator, Autoencoder):
        fitted.sample(3)
