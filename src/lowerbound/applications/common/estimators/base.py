"""The common base of all estimators: rows to latents and back, by scikit-learn's conventions.

A model folder keeps names of columns that are whole numbers in a JSON file.
"""

from __future__ import annotations

import dataclasses
import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from lowerbound.applications.common.conditions import prompt_of
from lowerbound.applications.common.estimators import inputs
from lowerbound.applications.common.estimators.inputs import new_seed
from lowerbound.data.arrays import Array
from lowerbound.data.dataset import Dataset
from lowerbound.data.incomplete import noisy_rows
from lowerbound.errors import DataError, ModelFolderError, OptionError
from lowerbound.fitting import folder as model_folder
from lowerbound.fitting.fitted import Fitted
from lowerbound.fitting.manifest import NAMES, read_beside, write_beside
from lowerbound.fitting.model import fit
from lowerbound.fitting.options import FitOptions
from lowerbound.inference.codes import encode_rows
from lowerbound.inference.decoding import decode_codes
from lowerbound.inference.denoising import denoise, found_noise, without_noise
from lowerbound.inference.prior_draws import prior_settings, sample_prior
from lowerbound.inference.reconstruction import reconstruct, reconstruct_refined
from lowerbound.inference.tables import draws_with_columns, gives_columns
from lowerbound.models.base import Model
from lowerbound.models.given_parts import by_names
from lowerbound.models.options import ModelOptions
from lowerbound.models.powers import Encodes, require
from lowerbound.networks.processor import in_precision
from lowerbound.parts import AUTO, CHAINS
from lowerbound.training.options import TrainingOptions
from lowerbound.training.reporter import History, TrainingReporter
from lowerbound.untrusted import folders

DRAWS = 32  # of each row's latent, for its uncertainty


def write_names(folder: Path, columns: Any) -> None:
    """Write the file into a model folder atomically, if all names of an index are whole numbers.

    A schema has text names. Names of other types are not kept.
    """
    if columns is None or not all(isinstance(name, Integral) for name in columns):
        folders.remove(folder / NAMES)
        return
    write_beside(folder / NAMES, {"names": [int(name) for name in columns]})


def read_names(folder: Path) -> Any:
    """The index of the names in the file; None: there is no such file.

    Raises:
        ModelFolderError: the file is damaged, or belongs to another model.
    """
    return read_beside(folder / NAMES, _index)


def _index(said: Mapping[str, Any]) -> Any:
    import pandas as pd

    return pd.Index([int(name) for name in said["names"]])


class FittedEstimator(BaseEstimator):
    """Methods and attributes of every estimator that sets ``fitted_``."""

    fitted_: Fitted
    _given_columns: Any = None  # names of the columns of a fitted frame

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a model folder: weights, schema and options, as safetensors and JSON."""
        check_is_fitted(self)
        model_folder.write(Path(path), self.fitted_, self._write_beside)

    def _write_beside(self, folder: Path) -> None:
        """Write what the estimator knows besides the model into the model folder."""
        write_names(folder, self._given_columns)

    @property
    def model_(self) -> Model:
        """The fitted module, in evaluation mode."""
        check_is_fitted(self)
        return self.fitted_.model

    @property
    def history_(self) -> History:
        """The training history; empty for a model solved in closed form."""
        check_is_fitted(self)
        return self.fitted_.history

    @property
    def _seed(self) -> int:
        return self.fitted_.options.training.seed


@dataclass(eq=False, repr=False)
class LatentVariableEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, FittedEstimator):
    """Estimator that maps rows to latents and latents to rows.

    The parameters are the fields of the dataclass. Its ``__init__`` therefore has the explicit
    signature that scikit-learn reads, and only stores them.

    ``X`` is always a matrix (rows, columns), pictures (rows, H, W), (rows, H, W, C) or
    (rows, C, H, W), a pandas frame, a torch tensor, the path of a folder of pictures or of a csv,
    parquet, npz or npy file, or the name of a data set such as "digits". Results have the form of
    the training data: frames for frames and tables, arrays for the rest, in the same units and
    layout.
    """

    latent_dim: int | None = None
    _: KW_ONLY
    binarize: str = "none"
    data_options: Mapping[str, Any] | None = None
    random_state: Any = None
    device: str = TrainingOptions.device

    kind: ClassVar[str]
    conditional: ClassVar[bool] = False
    needs_labels: ClassVar[bool] = False

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the model to X; y is ignored."""
        return self._fit(self._learn(X))

    def transform(self, X: Any, y: Any = None) -> Array:
        """The mean of q(z | x) for each row, (rows, latent_dim).

        float64 rows are encoded in float64.
        """
        dataset = self._read(X, y)
        dtype = inputs.precision(dataset)
        codes: Array = encode_rows(in_precision(self.model_, dtype), dataset).mean.to(dtype).numpy()
        return codes

    def inverse_transform(self, Z: Any, y: Any = None) -> Any:
        """The mean of p(x | z) for each latent, (rows, latent_dim), in the units of X.

        Raises:
            DataError: the latents have no rows, or another size.
        """
        check_is_fitted(self)
        x = self._expected(self._latents(Z), y)
        rows = inputs.as_given(self.fitted_.schema, x, exact=False)
        return inputs.with_names(rows, self._given_columns)

    def reconstruct(
        self, X: Any, y: Any = None, *, return_std: bool = False, mean: bool = False
    ) -> Any:
        """The mean of p(x | z) at the mean code of each row; a refined draw after ``fit_refiner``.

        Args:
            X: rows.
            y: their classes, for a conditional model.
            return_std: also return the standard deviation of a new x' with the same latent, from
                the noise of p(x | z) and the uncertainty of q(z | x); without the refiner.
            mean: the mean of p(x | z) also where there is a refiner.

        Returns:
            Rows like X, or (rows, standard deviations).
        """
        dataset = self._read(X, y)
        schema = self.fitted_.schema
        dtype = inputs.precision(dataset)
        model = in_precision(self.model_, dtype)
        codes = encode_rows(model, dataset).mean.to(dtype)
        x = means(model, codes, self._condition(dataset))
        if model.refiner is not None and not mean:
            x = reconstruct_refined(model, dataset, seed=self._seed).drawn
        rows = inputs.as_given(schema, x, exact=False, like=X)
        if not return_std:
            return rows
        deviation = reconstruct(model, dataset, samples=DRAWS, seed=self._seed).deviation
        return rows, inputs.deviation_as_given(schema, x, deviation, X)

    def sample(
        self,
        n_samples: int = 1,
        *,
        mean: bool = False,
        random_state: Any = None,
        given: Mapping[str, Any] | str | None = None,
        guidance: float | None = None,
        steps: int | None = None,
        complete: bool = False,
    ) -> Any:
        """New rows: z ~ p(z), then x ~ p(x | z); or z ~ p(z | prompt) of a conditional prior.

        Args:
            n_samples: how many.
            mean: the mean of p(x | z) instead of a draw from it: smooth, and less varied than data.
            random_state: None uses the estimator's. If that is None too, each call draws anew;
                otherwise each call repeats its draws.
            given: of a table, values that columns have in all rows, by name: {"age": 40}; the other
                columns are drawn given these. Else attributes that the rows should have:
                {"mouth": "smile"}, or a caption, for a prior that was trained on them.
            guidance: strength of the prompt: 1 draws from p(z | prompt), more exaggerates it.
            steps: of a draw from a diffusion prior, or of a refiner.
            complete: draw no missing cells of a table; otherwise they are as frequent as in X.

        Raises:
            UnsupportedError: the model has no prior to sample from, or a prior without a prompt,
                guidance or steps.
            OptionError: an unknown attribute, value or word; the message suggests the nearest.
        """
        check_is_fitted(self)
        return self._sample(n_samples, None, mean, random_state, given, guidance, steps, complete)

    def denoise(
        self,
        X: Any,
        noise: float | None = None,
        *,
        outliers: float = 0.0,
        n_draws: int = 0,
        chains: int = CHAINS,
        random_state: Any = None,
    ) -> Array:
        r"""Rows without their noise: E[x | y] for y = x + noise, by a model of clean rows.

        Missing cells (NaN) are filled, if the fit had ``data_options={"missing": "model"}``. Chains
        of latents are annealed from the encoder's posterior to p(z | y), which takes longer than
        encoding; a linear model has a closed form instead. If the noise is zero and
        there are no outliers, observed cells are returned unchanged.

        Args:
            X: noisy rows: a matrix, a frame or pictures; values may lie outside of the clean range.
            noise: standard deviation in the units of X; None: ``noise_level(X)``.
            outliers: share of the pixels that are uniform between black and white; pictures only.
            n_draws: number of draws of x given y to return instead of the mean; 0: the mean.
            chains: number of chains per row; more are more exact and take longer.
            random_state: None uses the estimator's.

        Returns:
            An array like X, or (n_draws, ...) of such arrays.

        Raises:
            UnsupportedError: the likelihood is not gaussian, bernoulli or discretized_logistic, or
                the model has no prior.
        """
        check_is_fitted(self)
        seed = self._seed if random_state is None else new_seed(random_state)
        schema, dataset = self.fitted_.schema, noisy_rows(X, self.fitted_.schema)
        level, known = found_noise(self.fitted_, dataset, noise, outliers, seed=seed)
        found = denoise(self.model_, dataset, known, chains=chains, draws=n_draws, seed=seed)
        x = found.mean if found.draws is None else found.draws
        return without_noise(schema, x, np.asarray(X, np.float64), level, outliers)

    def noise_level(self, X: Any, *, outliers: float = 0.0) -> float:
        """The maximum-likelihood standard deviation of the noise on X, in the units of X.

        Args:
            X: noisy rows.
            outliers: as in ``denoise``.
        """
        check_is_fitted(self)
        dataset = noisy_rows(X, self.fitted_.schema)
        return found_noise(self.fitted_, dataset, None, outliers, seed=self._seed)[0]

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], device: str = TrainingOptions.device, **parts: Any
    ) -> Self:
        """Read a model folder; the estimator's parameters are those of the fit.

        Parameters that a folder does not store have their defaults: ``n_importance``, ``verbose``
        and ``data_options``.

        Args:
            path: the folder, written on any device.
            device: where the model computes: "auto", "cpu", "cuda", "cuda:N" or "mps".
            parts: ``network``, ``likelihood`` or ``prior``, if the fit was given an object: the
                same object again, as it was before the fit. A folder never imports a class.

        Raises:
            OptionError: this machine has no such device.
            ModelFolderError: the folder is missing, altered, or holds another kind of model.
            OptionError: a part is given by another name or is no such object.
        """
        fitted = model_folder.read(Path(path), device, parts)
        options = fitted.options.model
        if (options.model, options.conditional) != (cls.kind, cls.conditional):
            prefix = "conditional " if options.conditional else ""
            raise ModelFolderError(
                f"{path} holds a {prefix}{options.model}, which {cls.__name__} cannot load; "
                f"use {_estimator_of(options.model, options.conditional)}.load"
            )
        estimator = cls(**{**cls._parameters_of(fitted), "device": device, **parts})
        inputs.describe(estimator, fitted.schema)
        estimator._given_columns = read_names(Path(path))
        return estimator._adopt(fitted)

    @property
    def latent_dim_(self) -> int:
        """Numbers in the code of a row; of a map or of several latents, all together."""
        return require(self.model_, Encodes, "encode").latent_dim

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.target_tags.required = tags.target_tags.required or self.needs_labels
        return tags

    def _training(self) -> dict[str, Any]:
        """Options of a further training of the fitted model."""
        return {"seed": self._seed, "device": self.device}

    # hooks of the concrete estimators -----------------------------------------------------------

    @abstractmethod
    def _options(self, seed: int) -> FitOptions:
        """The options of the fit."""

    def _reporter(self) -> TrainingReporter | None:
        """The progress reporter, or None."""
        return None

    @classmethod
    def _parameters_of(cls, fitted: Fitted) -> dict[str, Any]:
        """The parameters of an estimator that would give ``fitted``."""
        return {
            "latent_dim": fitted.options.model.latent_dim,
            "binarize": fitted.schema.binarize,
            "random_state": fitted.options.training.seed,
        }

    def _learn(self, X: Any) -> Dataset:
        """The training rows."""
        return inputs.learn(self, X, options=self._data_options())

    def _read(self, X: Any, y: Any = None) -> Dataset:
        """The rows, with their class if the model is conditional."""
        check_is_fitted(self)
        return inputs.read(self, X, self.fitted_.schema, options=self._reading_options())

    def _expected(self, z: torch.Tensor, y: Any) -> torch.Tensor:
        """E[x | z] in model units."""
        return means(in_precision(self.model_, z.dtype), z)

    def _condition(self, dataset: Dataset) -> torch.Tensor | None:
        """The condition of each row of data, for a conditional model."""
        return None

    # shared implementation ----------------------------------------------------------------------

    def _fit(self, dataset: Dataset) -> Self:
        options = self._options(new_seed(self.random_state))
        return self._adopt(fit(dataset, options, reporter=self._reporter()))

    def _adopt(self, fitted: Fitted) -> Self:
        self.fitted_ = fitted
        return self

    def _latents(self, Z: Any) -> torch.Tensor:
        z = np.asarray(Z)
        if z.ndim != 2 or z.shape[1] != self.latent_dim_:
            raise DataError(f"latents have shape (rows, {self.latent_dim_}), not {z.shape}")
        if not len(z):
            raise DataError("the latents have 0 rows, and at least one is needed")
        return torch.from_numpy(z.astype(np.float32 if z.dtype == np.float32 else np.float64))

    def _sample(
        self,
        count: int,
        condition: torch.Tensor | None,
        mean: bool,
        random_state: Any,
        given: Mapping[str, Any] | str | None,
        guidance: float | None,
        steps: int | None,
        complete: bool = False,
    ) -> Any:
        seed = new_seed(self.random_state if random_state is None else random_state)
        caption, values = _asked(given)
        if values and gives_columns(self.fitted_):
            if mean or guidance is not None or steps is not None:
                raise OptionError("columns are given without mean, guidance and steps")
            import pandas as pd

            draws = draws_with_columns(self.fitted_, values, seed, complete=complete)
            if condition is not None:  # of a latent label; a conditional model has been refused
                raise OptionError("columns are given without y: leave one of them out")
            rows = pd.concat(list(draws.frames(count)), ignore_index=True)
            return inputs.with_names(rows, self._given_columns)
        schema = self.fitted_.schema
        named = schema.data_kind.named_columns or not schema.columns
        if values and not named and not self.fitted_.options.model.prompts:
            raise OptionError(
                "the columns of an array have no names to give, and this model's prior takes no "
                "attributes: train it again with lowerbound prior --label or --attributes, or fit "
                "a frame"
            )
        prompt = prompt_of(self.fitted_, values, caption, count)
        with prior_settings(self.model_, guidance=guidance, steps=steps):
            made = sample_prior(
                self.model_,
                count,
                seed=seed,
                condition=condition,
                prompt=prompt,
                refined=not mean,
                complete=complete,
            )
        rows = inputs.as_given(schema, made.mean if mean else made.x, exact=not mean)
        return inputs.with_names(rows, self._given_columns)

    def _data_options(self) -> dict[str, Any]:
        named = by_names({"likelihood": getattr(self, "likelihood", AUTO)})
        options = ModelOptions(model=self.kind, likelihood=named["likelihood"])
        kinds = "real" if options.numbers_only else "infer"
        return {"binarize": self.binarize, "kinds": kinds, **(self.data_options or {})}

    def _reading_options(self) -> dict[str, Any]:
        """The data options that still apply after the fit."""
        options = self.data_options or {}
        return {name: options[name] for name in ("on_error", "resize") if name in options}

    @property
    def _n_features_out(self) -> int:
        return self.latent_dim_


def chosen(options: type[Any], estimator: BaseEstimator) -> dict[str, Any]:
    """The estimator's parameters that are fields of ``options``, in plain Python types."""
    names = [field.name for field in dataclasses.fields(options) if hasattr(estimator, field.name)]
    values = {name: getattr(estimator, name) for name in names}
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in values.items()
        if not (value is None and name.endswith("_options"))
    }


def means(model: Model, z: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
    """E[x | z] in model units, for a model in the precision of z."""
    condition = None if condition is None else condition.to(z.dtype)
    return decode_codes(model, z, condition=condition).mean


def _asked(given: Mapping[str, Any] | str | None) -> tuple[str, Mapping[str, Any]]:
    """(a caption, values by name) of ``given``.

    Raises:
        OptionError: it is something else.
    """
    if isinstance(given, str):
        return given, {}
    if given is not None and not isinstance(given, Mapping):
        raise OptionError(
            "given takes values by name, such as {'age': 40}, or a caption, not "
            f"{type(given).__name__}"
        )
    return "", given or {}


def _estimator_of(kind: str, conditional: bool) -> str:
    """The name of the estimator for a kind of model."""
    for estimator in _descendants():
        if (getattr(estimator, "kind", None), estimator.conditional) == (kind, conditional):
            return estimator.__name__
    return "the command line"


def _descendants() -> Iterator[type[LatentVariableEstimator]]:
    found = LatentVariableEstimator.__subclasses__()
    while found:
        estimator = found.pop(0)
        found += estimator.__subclasses__()
        yield estimator
