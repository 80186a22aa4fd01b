"""Paths in latent space, against their geometry and against decoders whose geodesics are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lowerbound.applications.generation.paths import (
    PATHS,
    Lerp,
    NormCorrected,
    PathContext,
    Polyline,
    Slerp,
    compare_paths,
    decoded_length,
    decoder_means,
    geodesic,
    path_context,
)
from lowerbound.errors import DataError, OptionError, UnsupportedError
from lowerbound.evaluation.samples.acceptance import RealismClassifier
from lowerbound.inference.estimate import Skipped
from lowerbound.models import Model
from lowerbound.priors.mixture import MixturePrior
from tests.evaluation.small_models import binary_vae, coder, linear_autoencoder

DIM = 5
T = torch.linspace(0, 1, 11, dtype=torch.float64)


def codes(count: int, dim: int = DIM, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dim, generator=generator, dtype=torch.float64)


def plane(z: Tensor) -> Tensor:
    """A linear decoder, far from isotropic."""
    return z @ torch.diag(torch.tensor([3.0, 1.0, 0.2, 0.05, 0.0], dtype=z.dtype))


def angle(u: Tensor, v: Tensor) -> Tensor:
    """Between directions, by the formula that the code does not use."""
    cosine = (u * v).sum(-1) / (u.norm(dim=-1) * v.norm(dim=-1))
    return torch.arccos(cosine.clamp(-1, 1))


@pytest.mark.parametrize("kind", PATHS)
def test_ends_are_exact_and_every_kind_gives_codes(kind: str) -> None:
    a, b = codes(2)
    around = PathContext(plane, 0.3 * torch.ones(DIM))
    z = PATHS[kind](a, b, around).points(7)
    assert z.shape == (7, DIM)
    assert torch.equal(z[0], a)
    assert torch.equal(z[-1], b)
    assert z.isfinite().all()


def test_the_line_is_straight_and_even() -> None:
    a, b = codes(2)
    torch.testing.assert_close(Lerp(a, b).at(T), a + T[:, None] * (b - a))


def test_slerp_keeps_the_radius_of_a_sphere_and_turns_evenly() -> None:
    center = codes(1, seed=3)[0]
    u, v = torch.nn.functional.normalize(codes(2), dim=1)
    path = Slerp(center + 2.5 * u, center + 2.5 * v, center)
    out = path.at(T) - center
    torch.testing.assert_close(out.norm(dim=1), torch.full_like(T, 2.5))
    torch.testing.assert_close(angle(out, u), T * angle(u, v))
    torch.testing.assert_close(angle(out, v), (1 - T) * angle(u, v))


def test_slerp_between_spheres_changes_the_radius_evenly() -> None:
    a, b = codes(2)
    out = Slerp(a, 4 * b, torch.zeros(DIM)).at(T)
    torch.testing.assert_close(out.norm(dim=1), (1 - T) * a.norm() + T * 4 * b.norm())
    torch.testing.assert_close(angle(out[1:], a), T[1:] * angle(a, b))


def test_slerp_of_nearly_the_same_direction_is_the_line() -> None:
    a = codes(1)[0]
    b = a + 1e-9 * codes(1, seed=1)[0]
    torch.testing.assert_close(Slerp(a, b, torch.zeros(DIM)).at(T), Lerp(a, b).at(T))
    torch.testing.assert_close(Slerp(a, 3 * a, torch.zeros(DIM)).at(T), Lerp(a, 3 * a).at(T))


def test_norm_corrected_points_lie_on_the_rays_of_the_line() -> None:
    a, b = codes(2)
    path, line = NormCorrected(a, 2 * b, torch.zeros(DIM)).at(T), Lerp(a, 2 * b).at(T)
    torch.testing.assert_close(angle(path, line), torch.zeros_like(T), atol=1e-7, rtol=0)
    torch.testing.assert_close(path.norm(dim=1), (1 - T) * a.norm() + T * 2 * b.norm())


def test_the_middle_of_prior_draws_lies_inside_the_shell_and_slerp_keeps_to_it() -> None:
    dim = 400
    a, b = codes(2, dim)
    half, origin = torch.tensor([0.5]), torch.zeros(dim)
    assert float(Lerp(a, b).at(half).norm()) == pytest.approx(math.sqrt(dim / 2), rel=0.1)
    for path in (Slerp(a, b, origin), NormCorrected(a, b, origin)):
        assert float(path.at(half).norm()) == pytest.approx(math.sqrt(dim), rel=0.1)


@pytest.mark.parametrize("kind", [Slerp, NormCorrected])
def test_opposite_ends_are_refused_and_the_center_itself_is_not(kind: type) -> None:
    a = codes(1)[0]
    with pytest.raises(OptionError, match="use the path lerp or geodesic"):
        kind(a, -2 * a, torch.zeros(DIM))
    outward = kind(torch.zeros(DIM), a, torch.zeros(DIM)).at(T)
    torch.testing.assert_close(outward, T[:, None] * a)
    still = kind(torch.zeros(DIM), torch.zeros(DIM), torch.zeros(DIM)).at(T)
    assert torch.equal(still, torch.zeros(11, DIM, dtype=torch.float64))


def test_what_is_no_path() -> None:
    a, b = codes(2)
    with pytest.raises(OptionError, match="one length"):
        Lerp(a, b[:2])
    with pytest.raises(OptionError, match="at least 2 points"):
        Lerp(a, b).points(1)
    with pytest.raises(OptionError, match="at least 3 nodes"):
        geodesic(plane, a, b, nodes=2)
    with pytest.raises(OptionError, match="did you mean 'slerp'"):
        PATHS["slrp"]


def test_a_polyline_passes_its_nodes_at_equal_shares_of_t() -> None:
    nodes = codes(5)
    torch.testing.assert_close(Polyline(nodes).points(5), nodes)
    middle = Polyline(nodes).at(torch.tensor([0.375]))
    torch.testing.assert_close(middle[0], (nodes[1] + nodes[2]) / 2)


def test_the_geodesic_of_a_linear_decoder_is_the_line() -> None:
    a, b = codes(2)
    path = geodesic(plane, a, b)
    torch.testing.assert_close(path.nodes, Lerp(a, b).points(16))
    ratio = decoded_length(plane, Lerp(a, b)) / decoded_length(plane, path)
    assert ratio == pytest.approx(1.0, abs=1e-9)
    assert decoded_length(plane, Lerp(a, b)) == pytest.approx(float((plane(a) - plane(b)).norm()))


@pytest.mark.usefixtures("untouched_random_state")
def test_the_geodesic_finds_the_line_from_a_curved_chart() -> None:
    """g(z) = (z1, z2 + z1^2) is flat: its geodesics are straight in (z1, z2 + z1^2)."""

    def chart(z: Tensor) -> Tensor:
        return torch.stack([z[:, 0], z[:, 1] + z[:, 0].square()], 1)

    a, b = torch.tensor([-1.0, 0.0]), torch.tensor([2.0, 1.0])
    path = geodesic(chart, a, b, nodes=32)
    u = chart(path.points(32))
    expected = Lerp(chart(a[None].double())[0], chart(b[None].double())[0]).points(32)
    torch.testing.assert_close(u, expected, atol=2e-3, rtol=0)
    assert decoded_length(chart, Lerp(a, b)) > 1.1 * decoded_length(chart, path)
    assert torch.equal(path.nodes, geodesic(chart, a, b, nodes=32).nodes)


def test_the_geodesic_on_a_sphere_is_the_arc() -> None:
    """Decoded by z / |z|, the way from (1, 0) to (0, 2) is a quarter of a circle."""

    def ball(z: Tensor) -> Tensor:
        return z / z.norm(dim=1, keepdim=True)

    path = geodesic(ball, torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0]))
    steps = ball(path.nodes).diff(dim=0).norm(dim=1)
    assert float(steps.sum()) == pytest.approx(math.pi / 2, rel=2e-3)
    torch.testing.assert_close(steps, steps.mean().expand(15), rtol=5e-3, atol=0)


def test_a_decoder_that_tells_nothing_leaves_the_line() -> None:
    a, b = codes(2)
    path = geodesic(lambda z: 0.0 * z, a, b)
    torch.testing.assert_close(path.nodes, Lerp(a, b).points(16))


def test_on_a_network_the_geodesic_is_shorter_and_leaves_no_gradient() -> None:
    model = binary_vae(latent=3).eval()
    decode = decoder_means(model)
    a, b = codes(2, 3).float() * 2
    path = geodesic(decode, a, b)
    assert decoded_length(decode, path) < 0.999 * decoded_length(decode, Lerp(a, b))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_model_without_a_decoder_is_told_which_have_one() -> None:
    class Mute(Model):
        def forward(self, *arguments: object) -> None:  # type: ignore[override]
            raise NotImplementedError

        def parts(self) -> dict:  # type: ignore[override]
            return {}

    with pytest.raises(UnsupportedError, match=r"cannot decode.*vae"):
        decoder_means(Mute())


def test_the_center_is_the_priors_mean_or_that_of_the_codes() -> None:
    vae = coder(2, 0.1)
    assert path_context(vae).center.tolist() == [0.0, 0.0]
    mixture = MixturePrior(2, components=3).double()
    mixture.loc.data = torch.tensor([[3.0, 0.0], [0.0, 3.0], [0.0, 0.0]]).double()
    vae.prior = mixture
    torch.testing.assert_close(path_context(vae).center, torch.ones(2).double())
    rows = codes(9, 2)
    autoencoder = linear_autoencoder(4, 2)
    torch.testing.assert_close(path_context(autoencoder, rows).center, rows.mean(0))


class Odd:
    """A classifier that is sure where the first value is above zero."""

    classes_ = (0, 1)

    def predict_proba(self, x: object) -> object:
        first = torch.as_tensor(x)[:, 0] > 0
        return torch.stack([torch.where(first, 1.0, 0.5), torch.where(first, 0.0, 0.5)], 1).numpy()


def test_figures_over_pairs_of_a_linear_model() -> None:
    vae = coder(2, 0.1)
    first = torch.tensor([[3.0, 0.0], [-3.0, 0.0]]).double()
    last = torch.tensor([[0.0, 4.0], [0.0, 4.0]]).double()
    found = compare_paths(
        vae, first, last, path_context(vae), judge=RealismClassifier(Odd(), 0.9, 1.0)
    )
    assert set(found) == set(PATHS)
    assert found["lerp"].straightness.mean == pytest.approx(1.0)
    assert found["geodesic"].straightness.mean == pytest.approx(1.0, abs=1e-6)
    arc = decoded_length(decoder_means(vae), Slerp(first[0], last[0], torch.zeros(2)))
    assert found["slerp"].straightness.mean == pytest.approx(5 / arc, rel=2e-2)
    for figures in found.values():
        assert not isinstance(figures.middles, Skipped)
        assert figures.middles.rate.mean == 0.5
    unjudged = compare_paths(vae, first, last, path_context(vae), kinds=["lerp"])
    assert isinstance(unjudged["lerp"].middles, Skipped)
    with pytest.raises(DataError, match="do not pair"):
        compare_paths(vae, first, last[:1], path_context(vae))
