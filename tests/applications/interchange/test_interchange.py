"""Folders of diffusers: the same numbers on both sides, there and back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lowerbound.applications import load
from lowerbound.applications.interchange.config_file import current_name
from lowerbound.data import load as load_data
from lowerbound.errors import (
    DataError,
    MissingExtraError,
    ModelFolderError,
    OptionError,
    UnsupportedError,
)
from lowerbound.fitting import FitOptions, Fitted, fit, folder as model_folder
from lowerbound.inference.codes import draw_latents
from lowerbound.inference.prior_draws import sample_prior
from lowerbound.models.options import ModelOptions
from lowerbound.networks.pictures import autoencoder_kl
from lowerbound.trace import Batch
from lowerbound.training import TrainingOptions

diffusers = pytest.importorskip("diffusers")
safetensors = pytest.importorskip("safetensors.torch")

WEIGHTS = "diffusion_pytorch_model.safetensors"
SIZES = {
    "down_block_types": ("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
    "up_block_types": ("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
    "block_out_channels": (8, 16),
    "layers_per_block": 2,
    "norm_num_groups": 4,
    "sample_size": 16,
}
NETWORK = {"block_out_channels": [8, 16], "norm_num_groups": 4}
FORMS: dict[str, dict[str, Any]] = {
    "kl": {"latent_channels": 3},
    "kl without convolutions": {
        "latent_channels": 3,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
        "mid_block_add_attention": False,
    },
    "vq": {"latent_channels": 3, "vq_embed_dim": 5, "num_vq_embeddings": 20},
}


def theirs(form: str, **sizes: Any) -> Any:
    """A model of diffusers with random weights; every weight is far from where it starts."""
    torch.manual_seed(0)
    kind = diffusers.VQModel if form == "vq" else diffusers.AutoencoderKL
    model = kind(**{**SIZES, **FORMS[form], **sizes}).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        if form == "vq":
            model.quantize.embedding.weight.copy_(0.5 * torch.randn(20, 5))
    return model


def run(command: str, **values: Any) -> Any:
    application = load(command)
    return application(application.request(**values))


def imported(folder: Path, name: str = "imported.lb", **values: Any) -> Fitted:
    run("import", folder=str(folder), output=str(folder.parent / name), **values)
    return model_folder.read(folder.parent / name)


@torch.no_grad()
def assert_same_numbers(ours: Fitted, other: Any, tolerance: float = 1e-5) -> None:
    x = torch.rand(3, *ours.schema.event_shape)
    posterior = ours.model.encode(Batch(x))
    picture = 2 * ours.model.decode(posterior.mean).loc[0] - 1
    if isinstance(other, diffusers.VQModel):
        expected = other(2 * x - 1).sample
        codes = ours.model.quantize(Batch(x))[0]
        assert len(codes.unique()) > 3  # else the codebook is not tested
        assert torch.equal(codes.flatten(), other.quantize(other.encode(2 * x - 1).latents)[2][2])
    else:
        found = other.encode(2 * x - 1).latent_dist
        mean, logvar = posterior.mean[0], posterior.variance.log()[0]
        torch.testing.assert_close(mean, found.mean.flatten(1), rtol=0, atol=tolerance)
        torch.testing.assert_close(logvar, found.logvar.flatten(1), rtol=0, atol=tolerance)
        expected = other.decode(found.mean).sample
    torch.testing.assert_close(picture, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("form", FORMS)
def test_an_imported_model_gives_the_same_numbers(form: str, tmp_path: Path) -> None:
    other = theirs(form)
    other.save_pretrained(tmp_path / "theirs")
    assert_same_numbers(imported(tmp_path / "theirs"), other)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_there_and_back_gives_the_same_weights(form: str, tmp_path: Path) -> None:
    other = theirs(form)
    other.save_pretrained(tmp_path / "theirs")
    imported(tmp_path / "theirs")
    report = run("export", model=str(tmp_path / "imported.lb"), output=str(tmp_path / "back"))
    assert report.difference < 1e-5
    again = type(other).from_pretrained(tmp_path / "back", low_cpu_mem_usage=False)
    for name, value in other.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=1e-6, atol=0)
    read = type(other).from_pretrained(tmp_path / "theirs", low_cpu_mem_usage=False)
    for key, value in read.config.items():
        if key == "scaling_factor":  # a codebook has none of its own
            assert form == "vq" or again.config[key] == pytest.approx(value, rel=1e-5)
        elif key[0] != "_" and key != "force_upcast":
            assert again.config[key] == value, key


@pytest.mark.slow
@pytest.mark.parametrize("model", ["vae", "vq_vae"])
@pytest.mark.parametrize("likelihood", ["discretized_logistic", "gaussian"])
def test_a_model_fitted_here_gives_the_same_numbers_there(
    model: str, likelihood: str, tmp_path: Path
) -> None:
    x = np.random.default_rng(0).integers(0, 256, (60, 3, 16, 16)).astype(np.uint8)
    options = ModelOptions(
        model, 5, "autoencoder_kl", likelihood, network_options=NETWORK, model_options={"stride": 2}
    )
    fitted = fit(load_data(x), FitOptions(options, training=TrainingOptions(epochs=1)))
    model_folder.write(tmp_path / "m.lb", fitted)
    report = run("export", model=str(tmp_path / "m.lb"), output=str(tmp_path / "folder"))
    assert report.difference < 1e-5
    kind = diffusers.VQModel if model == "vq_vae" else diffusers.AutoencoderKL
    other = kind.from_pretrained(tmp_path / "folder", low_cpu_mem_usage=False).eval()
    assert_same_numbers(fitted, other)
    other.save_pretrained(tmp_path / "saved")
    assert_same_numbers(imported(tmp_path / "saved"), other)


def test_the_prior_has_the_scale_of_the_latents(tmp_path: Path) -> None:
    theirs("kl", scaling_factor=0.25, shift_factor=0.5).save_pretrained(tmp_path / "theirs")
    ours = imported(tmp_path / "theirs", image_size=32)
    assert ours.schema.event_shape == (3, 32, 32)
    z = ours.model.prior_distribution().expand((1, 50)).sample()
    assert float(z.mean()) == pytest.approx(0.5, abs=0.1)
    assert float(z.std()) == pytest.approx(4.0, rel=0.02)
    report = run("export", model=str(tmp_path / "imported.lb"), output=str(tmp_path / "back"))
    assert report.scaling_factor == pytest.approx(0.25, rel=1e-4)


def test_an_imported_model_samples_and_trains_a_prior(tmp_path: Path) -> None:
    theirs("kl").save_pretrained(tmp_path / "theirs")
    ours = imported(tmp_path / "theirs")
    assert sample_prior(ours.model, 3, seed=0).x.shape == (3, 3, 16, 16)
    x = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3)).astype(np.uint8)
    rows = load_data(x, schema=ours.schema)
    assert draw_latents(ours.model, rows, seed=0).z.shape[-1] == 3 * 8 * 8


def test_the_folder_of_a_pipeline_and_half_precision(tmp_path: Path) -> None:
    other = theirs("kl").half()
    other.save_pretrained(tmp_path / "pipeline" / "vae", variant="fp16")
    (tmp_path / "pipeline" / "model_index.json").write_text("{}")
    assert_same_numbers(imported(tmp_path / "pipeline"), other.float())


def test_old_names_of_attention_layers(tmp_path: Path) -> None:
    other = theirs("kl")
    other.save_pretrained(tmp_path / "theirs")
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = {}
    for name, value in other.state_dict().items():
        for new, former in old.items():
            name = name.replace(f".{new}.", f".{former}.") if "attentions" in name else name
        tensors[name] = value
    assert any(".proj_attn." in name for name in tensors)
    safetensors.save_file(tensors, tmp_path / "theirs" / WEIGHTS)
    assert_same_numbers(imported(tmp_path / "theirs"), other)
    assert current_name("encoder.conv_in.key") == "encoder.conv_in.key"


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("diffusers") / "theirs"
    theirs("kl").save_pretrained(folder)
    return folder


@pytest.fixture
def folder(intact: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(intact, tmp_path / "theirs"))


def changed(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "another architecture": ({"_class_name": "UNet2DModel"}, "a UNet2DModel, and only Auto"),
    "no architecture": ({"_class_name": None}, "describes no model"),
    "an unknown option": ({"norm_groups": 4}, "did you mean 'norm_num_groups'"),
    "a wrong type": ({"layers_per_block": "two"}, "takes a whole number"),
    "another size": ({"latent_channels": 7}, r"shape \(16, 3, 3, 3\) instead of \(16, 7, 3, 3\)"),
    "a larger model": ({"layers_per_block": 10**9}, "a larger model"),
    "wider layers": ({"block_out_channels": [8, 2**40]}, "a larger model"),
    "no convolutions": ({"use_quant_conv": False}, "quant_conv.bias is not part of"),
    "more of them": ({"mid_block_add_attention": False}, "is not part of an AutoencoderKL"),
    "groups": ({"norm_num_groups": 3}, "norm_num_groups=3 must divide"),
    "channels": ({"in_channels": 4}, "maps 4 channels to 3"),
    "levels": ({"down_block_types": ["DownEncoderBlock2D"]}, "the kinds of levels"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_config_that_does_not_fit_is_refused(case: str, folder: Path) -> None:
    values, message = BAD[case]
    changed(folder, **values)
    with pytest.raises(ModelFolderError, match=message):
        imported(folder)
    assert not (folder.parent / "imported.lb").exists()


def test_missing_and_damaged_files_are_refused(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-8])
    with pytest.raises(ModelFolderError, match="is damaged"):
        imported(folder)
    (folder / WEIGHTS).unlink()
    with pytest.raises(ModelFolderError, match=f"has no {WEIGHTS}"):
        imported(folder)
    (folder / "diffusion_pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ModelFolderError, match=r"as a pickle .* is not read"):
        imported(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelFolderError, match=r"config\.json is damaged"):
        imported(folder)
    (folder / "config.json").unlink()
    with pytest.raises(ModelFolderError, match=r"has no config\.json"):
        imported(folder)
    with pytest.raises(ModelFolderError, match="there is no folder"):
        imported(folder / "nowhere")


def test_a_missing_tensor_is_named(folder: Path) -> None:
    tensors = safetensors.load_file(folder / WEIGHTS)
    del tensors["decoder.conv_in.bias"]
    safetensors.save_file(tensors, folder / WEIGHTS)
    with pytest.raises(ModelFolderError, match=r"decoder\.conv_in\.bias is missing"):
        imported(folder)


def test_a_codebook_of_spatial_norms_is_refused(tmp_path: Path) -> None:
    theirs("vq").save_pretrained(tmp_path / "theirs")
    changed(tmp_path / "theirs", norm_type="spatial")
    with pytest.raises(ModelFolderError, match="only 'group' can be imported"):
        imported(tmp_path / "theirs")


def test_sizes_and_scales_that_make_no_sense_are_refused(folder: Path) -> None:
    with pytest.raises(OptionError, match="--image-size is a multiple of 2"):
        imported(folder, image_size=17)
    with pytest.raises(OptionError, match="--scale is a positive share"):
        imported(folder, scale=0.0)


def test_a_missing_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise MissingExtraError("diffusers", "diffusion")

    monkeypatch.setattr(autoencoder_kl, "_library", missing)
    with pytest.raises(MissingExtraError, match=r"pip install 'lowerbound\[diffusion\]'"):
        imported(folder)


def fitted_folder(path: Path, **model: Any) -> str:
    x = np.random.default_rng(0).integers(0, 256, (40, 1, 16, 16)).astype(np.uint8)
    options = FitOptions(ModelOptions(latent_dim=2, **model), training=TrainingOptions(epochs=1))
    model_folder.write(path, fit(load_data(x), options))
    return str(path)


KL = {"network": "autoencoder_kl", "network_options": NETWORK}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "network": ({"network": "convolutional"}, "fit one with --network autoencoder_kl"),
    "posterior": ({**KL, "posterior": "gaussian"}, "needs the posterior clamped_gaussian"),
    "likelihood": ({**KL, "likelihood": "discretized_logistic_mixture"}, "around a location"),
    "codebooks": (
        {
            **KL,
            "model": "vq_vae",
            "model_options": {"stride": 2, "quantizer": "residual", "codes": 4},
        },
        "one learned codebook",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_models_that_diffusers_cannot_hold_are_refused(case: str, tmp_path: Path) -> None:
    model, message = REFUSED[case]
    source = fitted_folder(tmp_path / "m.lb", **model)
    with pytest.raises(UnsupportedError, match=message):
        run("export", model=source, output=str(tmp_path / "folder"))
    assert not (tmp_path / "folder").exists()


def test_a_model_is_replaced_only_if_that_is_said(folder: Path, tmp_path: Path) -> None:
    output = Path(fitted_folder(tmp_path / "m.lb"))
    (output / "request.json").write_text("{}")
    (output / "prior").mkdir()
    before = model_folder.read(output).options
    words = {"folder": str(folder), "output": str(output)}
    with pytest.raises(ModelFolderError, match="holds a model already: --overwrite replaces it"):
        run("import", **words)
    assert model_folder.read(output).options == before
    run("import", **words, overwrite=True)
    assert model_folder.read(output).options != before
    assert not (output / "request.json").exists()
    assert not (output / "prior").exists()


def test_a_folder_of_other_files_is_left_alone(folder: Path) -> None:
    imported(folder)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="holds other files"):
        run("export", model=str(folder.parent / "imported.lb"), output=str(folder))


def test_info_says_that_the_latent_is_a_map(folder: Path) -> None:
    imported(folder)
    text = run("info", model=str(folder.parent / "imported.lb")).text()
    assert "vae, 3 latent numbers at each place of a map of 8 x 8" in text
