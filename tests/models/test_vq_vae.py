"""The VQ-VAE: codes, an honest bound, gradients past the quantization, what is kept."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from lowerbound.data import Dataset, load
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.fitting import FitOptions, fit, folder as model_folder
from lowerbound.fitting.assembly import assemble
from lowerbound.inference.annealing import anneal
from lowerbound.inference.likelihood import score
from lowerbound.models import VectorQuantizedVariationalAutoencoder
from lowerbound.models.options import ModelOptions
from lowerbound.objectives import ELBO, OBJECTIVES, Factor, ImportanceWeighted, TargetRate
from lowerbound.posteriors import Codebook
from lowerbound.trace import Batch, Draw, Given, Mean
from lowerbound.training import TrainingOptions, train
from tests.training.cases import assert_same_weights, options, weights
from tests.training.test_resume import interrupted_at, without_time

CODES = 16


def small(
    network: str = "mlp", dtype: torch.dtype = torch.float64, **chosen: Any
) -> tuple[VectorQuantizedVariationalAutoencoder, Dataset]:
    """An untrained model of digits, started from them, and some of them."""
    data = load("digits").thinned(64)
    torch.manual_seed(0)
    books = {} if chosen.get("quantizer") == "fsq" else {"codes": CODES}
    model_options = {**books, **chosen}
    model = assemble(
        data.schema,
        ModelOptions(model="vq_vae", network=network, latent_dim=3, model_options=model_options),
    )
    model.start(data)
    assert isinstance(model, VectorQuantizedVariationalAutoencoder)
    return model.to(dtype), data


def batch_of(data: Dataset, rows: int = 6) -> Batch:
    return data.batch(torch.arange(rows), None).to(torch.float64)


@pytest.mark.parametrize(
    ("network", "shape"), [("mlp", (4,)), ("convolutional", (2, 2)), ("transformer", (4,))]
)
def test_shapes(network: str, shape: tuple[int, ...]) -> None:
    model, data = small(network)
    batch = batch_of(data)
    trace = model(batch, Draw(3))
    (step,) = trace.steps
    assert step.z.shape == (3, 6, *shape)
    assert step.z.dtype == torch.long
    assert model.code_shapes == (shape,)
    assert model.latent_dim == math.prod(shape) * 3
    assert trace.likelihood.mean.shape[-3:] == (1, 8, 8)
    assert model.encode(batch).mean.shape == (1, 6, model.latent_dim)
    for count in (1, 2):
        imagined = model.imagine(Batch(count=5), Draw(count))
        assert imagined.steps[0].z.shape == (count, 5, *shape)
        assert imagined.likelihood.mean.shape == (count, 5, 1, 8, 8)


@pytest.mark.parametrize(
    ("size", "stride", "shape"), [(17, 4, (5, 5)), (16, 2, (8, 8)), (9, 1, (9, 9))]
)
def test_the_map_of_a_picture_is_as_many_times_smaller(
    size: int, stride: int, shape: tuple[int, int]
) -> None:
    data = load(torch.randint(0, 256, (12, 3, size, size), dtype=torch.uint8).numpy())
    chosen = {"codes": 4, "stride": stride}
    model = assemble(
        data.schema, ModelOptions(model="vq_vae", network="convolutional", model_options=chosen)
    )
    trace = model(data.batch(torch.arange(2), None))
    assert trace.steps[0].z.shape == (1, 2, *shape)
    assert trace.likelihood.mean.shape == (1, 2, 3, size, size)


@pytest.mark.parametrize("network", ["mlp", "convolutional"])
def test_the_bound_is_log_p_of_x_less_log_k_for_each_code(network: str) -> None:
    model, data = small(network)
    batch = batch_of(data)
    bound = ELBO()(model, batch)
    vectors = model.quantizers[0].vectors(model(batch).steps[0].z)
    likelihood = model.decode(vectors.flatten(2)).log_prob(batch.x)[0]
    cost = math.prod(model.code_shapes[0]) * math.log(CODES)
    torch.testing.assert_close(bound.value, likelihood.detach() - cost)
    torch.testing.assert_close(bound.rates, torch.full((1, 6), cost, dtype=torch.float64))
    penalty = model(batch).penalties["quantizer 0"].mean()
    torch.testing.assert_close(bound.loss, penalty - bound.value.mean())
    assert float(penalty.detach()) > 0


def test_more_draws_of_a_quantized_latent_change_nothing() -> None:
    model, data = small()
    one, many = (score(model, data.subset(range(9)), samples=k) for k in (1, 30))
    torch.testing.assert_close(one.elbo, many.bound)
    torch.testing.assert_close(one.elbo, many.elbo)


def test_the_encoder_gets_the_gradient_of_the_vectors() -> None:
    """d/de of the loss is that at the quantized vectors, plus 2 beta (e - c) of the commitment."""
    model, data = small(commitment=0.7)
    batch = batch_of(data)
    encoded: list[torch.Tensor] = []

    def keep(module: Any, inputs: Any, output: torch.Tensor) -> None:
        output.retain_grad()
        encoded.append(output)

    model.encoder.register_forward_hook(keep)
    ELBO()(model, batch).loss.backward()
    (numbers,) = encoded
    z = model(batch).steps[0].z
    vectors = model.quantizers[0].vectors(z).flatten(2).detach().requires_grad_()
    (-model.decode(vectors).log_prob(batch.x).mean()).backward()
    assert vectors.grad is not None
    commitment = 2 * 0.7 * (numbers - vectors[0]) / len(batch)
    torch.testing.assert_close(numbers.grad, (vectors.grad[0] + commitment).detach())


def test_one_pass_and_the_powers_agree() -> None:
    model, data = small("convolutional")
    batch = batch_of(data)
    trace = model(batch, Mean())
    z = trace.steps[0].z
    code = model.encode(batch).mean
    torch.testing.assert_close(code, model.code(trace))
    torch.testing.assert_close(model.decode(code).mean, trace.likelihood.mean)
    replayed = model(batch, Given([z]))
    torch.testing.assert_close(replayed.likelihood.mean, trace.likelihood.mean)
    imagined = model.imagine(Batch(count=6), Given([z]))
    torch.testing.assert_close(imagined.likelihood.mean, trace.likelihood.mean)


def test_parts_are_a_partition() -> None:
    model, _ = small("convolutional")
    parts = model.parts()
    listed = [id(value) for part in parts.values() for value in part]
    assert len(listed) == len(set(listed))
    assert set(listed) == {id(value) for value in model.parameters()}


def test_after_an_update_the_codebook_has_moved_and_knows_its_use() -> None:
    model, data = small(revival=0.0)
    batch = batch_of(data)
    book = model.quantizers[0]
    assert isinstance(book, Codebook)
    before = book.book
    with torch.no_grad():
        model.eval()(batch)
        model.after_update(batch)  # nothing was quantized in training
        assert torch.equal(book.book, before)
        z = model.train()(batch).steps[0].z
    model.after_update(batch)
    assert book.use.sum() == z.numel()
    assert not torch.equal(book.book, before)
    again = book.book
    model.after_update(batch)  # what was quantized is learned from once
    assert torch.equal(book.book, again)


def test_weighted_bounds_and_shuffled_units_are_refused() -> None:
    model, data = small()
    batch = batch_of(data)
    for gradient in ("plain", "stl", "dreg"):
        with pytest.raises(UnsupportedError):
            ImportanceWeighted(gradient=gradient)(model, batch)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match="ELBO"):
        ImportanceWeighted(gradient="plain")(model, batch)
    with pytest.raises(UnsupportedError, match="codes"):
        Factor()(model, batch)
    with pytest.raises(UnsupportedError):
        OBJECTIVES["beta_tc"]()(model, batch)
    with pytest.raises(UnsupportedError, match="discrete"):
        anneal(model, data.subset(range(3)))
    assert TargetRate()(model, batch).loss.isfinite()


def test_what_describes_gaussian_latents_is_refused() -> None:
    schema = load("digits").schema
    with pytest.raises(OptionError, match="uniform or marginal"):
        assemble(schema, ModelOptions(model="vq_vae", prior="vamp"))
    with pytest.raises(OptionError, match="tabular"):
        assemble(schema, ModelOptions(model="vq_vae", network="tabular"))
    for wrong, message in (
        ({"stride": 3}, "stride"),
        ({"slots": 0}, "slots"),
        ({"quantizer": "qv"}, "did you mean 'vq'"),
        ({"code": 5}, "did you mean 'codes'"),
        ({"prior": "even"}, "uniform"),
    ):
        network = "convolutional" if "stride" in wrong else "mlp"
        with pytest.raises(OptionError, match=message):
            assemble(schema, ModelOptions(model="vq_vae", network=network, model_options=wrong))


def test_a_model_can_be_told_the_class() -> None:
    data = load("digits").thinned(50).conditioned_on_label()
    for network in ("mlp", "convolutional"):
        chosen = ModelOptions(model="vq_vae", network=network, conditional=True)
        model = assemble(data.schema, chosen)
        batch = data.batch(torch.arange(4), None)
        other = Batch(batch.x, condition=batch.condition.flip(1))  # type: ignore[union-attr]
        assert not torch.equal(model(batch).likelihood.mean, model(other).likelihood.mean)


def test_hidden_cells_reach_nothing() -> None:
    x = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)).double()
    x[::3, 2] = math.nan
    data = load(x.numpy(), missing="model")
    model = assemble(data.schema, ModelOptions(model="vq_vae", model_options={"codes": 4}))
    model.start(data)
    bound = ELBO()(model, data.batch(torch.arange(9), None).to(torch.float32))
    bound.loss.backward()
    assert bound.value.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_a_folder_gives_the_same_model_back(tmp_path: Path) -> None:
    data = load("digits").thinned(60)
    chosen = ModelOptions(model="vq_vae", model_options={"codes": 8, "prior": "marginal"})
    fitted = fit(data, FitOptions(model=chosen, training=TrainingOptions(updates=20)))
    model_folder.write(tmp_path / "model", fitted)
    again = model_folder.read(tmp_path / "model")
    assert_same_weights(weights(again.model), weights(fitted.model))
    assert torch.equal(score(again.model, data).elbo, score(fitted.model, data).elbo)


@pytest.mark.slow
@pytest.mark.parametrize("quantizer", ["vq", "residual"])
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path: Path, quantizer: str) -> None:
    """Averages of the codebook, counts of use, draws of revived codes and of dropout included."""
    data = load("digits").thinned(90)
    chosen = options(updates=130, threads=1, weight_average=0.9, checkpoint_seconds=3600.0)

    def fresh(seed: int) -> VectorQuantizedVariationalAutoencoder:
        torch.manual_seed(seed)
        model = assemble(
            data.schema,
            ModelOptions(
                model="vq_vae",
                network_options={"hidden": [16]},
                model_options={
                    "quantizer": quantizer,
                    "dropout": 0.5 if quantizer == "residual" else 0.0,
                    "codes": 24,
                    "prior": "marginal",
                    "revival": 0.9,
                    "decay": 0.8,
                },
            ),
        )
        model.start(data)
        assert isinstance(model, VectorQuantizedVariationalAutoencoder)
        return model

    straight, resumed = fresh(0), fresh(99)
    where: dict[str, Any] = {"validation": data.subset(range(20))}
    expected = train(straight, ELBO(), data, chosen, **where)
    where |= {"folder": tmp_path, "resume": True}
    interrupted_at(37, fresh(0), ELBO(), data, chosen, **where)
    torch.manual_seed(5)
    history = train(resumed, ELBO(), data, chosen, **where)
    assert_same_weights(weights(resumed), weights(straight))
    assert without_time(history) == without_time(expected)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["mlp", "convolutional"])
def test_compiles_into_one_graph(network: str) -> None:
    model, data = small(network, torch.float32)
    batch = data.batch(torch.arange(6), None)
    model.train()
    torch.compiler.reset()
    compiled = torch.compile(lambda b: ELBO()(model, b), backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(batch).loss, ELBO()(model, batch).loss)
    before = model.quantizers[0].vectors(torch.arange(CODES))
    compiled(batch)
    model.after_update(batch)
    assert not torch.equal(model.quantizers[0].vectors(torch.arange(CODES)), before)


def test_half_precision_networks_quantize_in_full() -> None:
    model, data = small("convolutional", torch.float32)
    batch = data.batch(torch.arange(6), None)
    with torch.autocast("cpu", torch.bfloat16):
        bound = ELBO()(model, batch)
    assert bound.value.dtype == torch.float32
    torch.testing.assert_close(bound.value, ELBO()(model, batch).value, rtol=0.02, atol=0)


@pytest.mark.slow
def test_a_short_fit_uses_its_codes() -> None:
    data = load("digits")
    training, held_out = data.split(0.2, 0)
    chosen = ModelOptions(model="vq_vae", model_options={"codes": 32, "prior": "marginal"})
    fitted = fit(training, FitOptions(model=chosen, training=TrainingOptions(updates=800, seed=0)))
    model = fitted.model
    with torch.no_grad():
        z = model(held_out.all().to(torch.float32), Mean()).steps[0].z
    assert len(z.unique()) >= 0.9 * 32
    scores = score(model, held_out)
    untrained, _ = small(dtype=torch.float32)
    assert float(scores.elbo.mean()) > float(score(untrained, held_out).elbo.mean()) + 20
    assert float(scores.rates.sum(0).mean()) < 4 * math.log(32)  # the codes are not used alike


def photograph_like(rows: int = 60) -> Dataset:
    """Smooth pictures in color of 16 x 16."""
    torch.manual_seed(0)
    rough = torch.rand(rows, 3, 16, 16)
    smooth = torch.nn.functional.avg_pool2d(rough, 5, 1, 2)
    return load((255 * smooth).byte().movedim(1, -1).numpy())


@torch.no_grad()
@pytest.mark.parametrize("likelihood", ["gaussian", "discretized_logistic"])
def test_linear_paths_start_where_clusters_of_patches_end(likelihood: str) -> None:
    data = photograph_like()
    chosen = {"stride": 4, "codes": 32, "linear": True}
    model = assemble(
        data.schema,
        ModelOptions(
            model="vq_vae",
            network="convolutional",
            likelihood=likelihood,
            latent_dim=48,
            model_options=chosen,
        ),
    )
    model.start(data)
    assert isinstance(model, VectorQuantizedVariationalAutoencoder)
    batch = data.all()
    x = batch.x
    assert x is not None
    codes = model.quantize(batch)
    numbers = model.decoder(model.vectors([z[None] for z in codes])[0])
    patches = x.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5).flatten(3)
    rebuilt = numbers[:, :3].unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5).flatten(3)
    z = codes[0]
    for code in z.unique():
        center = patches[z == code].mean(0)
        torch.testing.assert_close(rebuilt[z == code][0], center, atol=2e-4, rtol=0)


@pytest.mark.parametrize(
    "wrong", [{"network": "mlp"}, {"likelihood": "bernoulli"}, {"model_options": {"stride": 8}}]
)
def test_linear_paths_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    x = photograph_like().all().x
    assert x is not None
    x = x[:, :, :12] if "model_options" in wrong else x
    data = load((x > 0.5).byte().mul(255).movedim(1, -1).numpy())
    given = {"network": "convolutional", **wrong}
    given["model_options"] = {"linear": True, **wrong.get("model_options", {})}
    if wrong.get("likelihood") == "bernoulli":
        data = load((x > 0.5).byte().mul(255).movedim(1, -1).numpy(), binarize="threshold")
    with pytest.raises(OptionError, match="linear"):
        assemble(data.schema, ModelOptions(model="vq_vae", **given))


def test_an_encoder_of_patches_stays_while_the_decoder_learns() -> None:
    data = photograph_like()
    chosen = {"stride": 4, "codes": 16, "linear": True, "quantizer": "residual", "quantizers": 2}
    made = ModelOptions(
        model="vq_vae",
        network="convolutional",
        network_options={"width": 8},
        likelihood="gaussian",
        latent_dim=12,
        model_options={**chosen, "breadth": 4},
    )
    model = assemble(data.schema, made)
    torch.manual_seed(0)
    model.start(data)
    before = weights(model.encoder)
    start = score(model.eval(), data).distortion.mean()
    train(model.train(), ELBO(), data, options(updates=30, learning_rate=1e-3))
    assert score(model.eval(), data).distortion.mean() < start
    assert_same_weights(weights(model.encoder), before)


def test_free_updates_quantize_nothing_and_then_start_the_codes() -> None:
    model, data = small(free=2, quantizer="residual", quantizers=2)
    batch = batch_of(data, 40)
    start = [book.book.clone() for book in model.quantizers]  # type: ignore[operator]
    model.train()
    for update in range(2):
        mean = model(batch, Mean()).likelihood.mean
        encoded = model.encoder(batch.x)
        torch.testing.assert_close(mean, model.decode(encoded.unsqueeze(0)).mean)
        assert update or torch.equal(model.quantizers[0].book, start[0])  # type: ignore[union-attr]
        model.after_update(batch)
    assert not torch.equal(model.quantizers[0].book, start[0])  # type: ignore[union-attr]
    vectors = encoded.detach().unflatten(1, (-1, 3)).flatten(0, 1).repeat(2, 1)
    alike = Codebook(3, CODES).double()
    alike.initialize(vectors)
    torch.testing.assert_close(model.quantizers[0].book, alike.book)  # type: ignore[union-attr]
    codes = model.code(model(batch, Mean()))
    torch.testing.assert_close(
        model(batch, Mean()).likelihood.mean, model.decode(codes).mean, rtol=1e-5, atol=1e-6
    )
    assert int(model.state_dict()["freed"]) == 2
    with pytest.raises(OptionError, match="a number of updates"):
        small(free=-1)


def test_free_updates_end_with_two_fifths_of_a_short_run() -> None:
    model, data = small(free=100)
    batch = batch_of(data, 40)
    start = model.quantizers[0].book.clone()  # type: ignore[operator,union-attr]
    model.train()
    for progress, done in ((0.0, 1), (0.39, 2), (0.41, 100)):
        model(batch, Mean())
        model.after_update(batch, progress)
        assert int(model.state_dict()["freed"]) == done
        assert torch.equal(model.quantizers[0].book, start) == (done < 100)  # type: ignore[union-attr]


def test_free_updates_leave_a_grid_as_the_untrained_encoder_started_it() -> None:
    model, data = small(free=1, quantizer="fsq", levels=(4, 4, 4))
    batch = batch_of(data, 40)
    (grid,) = model.quantizers
    scale = grid.scale.clone()  # type: ignore[operator]
    assert not torch.equal(scale, torch.ones(3).to(scale))
    model.train()
    model(batch, Mean())
    model.after_update(batch)
    assert int(model.state_dict()["freed"]) == 1
    assert torch.equal(grid.scale, scale)
