"""The denoiser of photographs that comes with the package: its training, and the file of weights.

Trained on the photographs of fold 0 of ``photographs.py``, as the codec in the package is: 18 of
Kodak's, four of scikit-image's and scikit-learn's two. ``denoising_photographs.py`` scores it on
Kodak's six others. Settings were chosen by 20 photographs of the training part of BSDS500, which
are not in the weights.

    python benchmarks/ship_denoiser.py              train (or continue), then write the weights
    python benchmarks/ship_denoiser.py --minutes 20 for so many minutes of one core

A crop of a picture x gets noise of a level sigma, uniform in 0 to 75 of 255; half of the noisy
crops are rounded and clipped to 8 bits, as files are. The mean m is trained by its squared error
over sigma, about in proportion to which errors grow, and the deviation s by the Gaussian likelihood
log N(x; m, s^2), with m fixed.
"""

from __future__ import annotations

import io
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _archives import member_names, read_members
from _record import arguments
from photographs import FOLDS, split
from PIL import Image
from torch import Tensor
from torch.distributions import Normal

from lowerbound.applications.restoration.picture_tiles import (
    clean_picture,
    shipped_denoiser,
    write_shipped,
)
from lowerbound.data.catalog import data_folders, first_place
from lowerbound.models.picture_denoiser import STRONGEST, PictureDenoiser

NAME = "ship_denoiser"
RUN = Path("runs") / NAME / "run.pt"
README = """# denoiser

The posterior of a clean photograph, given the noisy one (`lowerbound.models.picture_denoiser`), for
`lowerbound denoise photo.png` and `lowerbound impute photo.png`. Made by
`benchmarks/ship_denoiser.py` in {minutes:g} minutes of one processor core.

Trained on 24 photographs: of the Kodak Lossless True Color Image Suite (released by Kodak for
unrestricted use) numbers {train}; of
scikit-image's `astronaut`, `coffee`, `chelsea` and `rocket` and of scikit-learn's `china.jpg` and
`flower.jpg` (in the public domain or free to use, as their packages state). It has not seen Kodak's
numbers {test}, on which it is scored by `benchmarks/denoising_photographs.py`.
"""
Array = np.ndarray[Any, Any]
GREY = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Settings:
    """Of the training.

    Attributes:
        side: of a crop, pixels.
        crops: in an update.
        minutes: of one core.
        rate: Adam's first learning rate; it falls to zero by a cosine.
        grey: share of the crops that are grey.
        eight_bit: share of the noisy crops that are rounded and clipped to 8 bits.
        smaller: scale of the second copy of each photograph.
    """

    side: int = 80
    crops: int = 4
    minutes: float = 60.0
    rate: float = 1e-3
    warm_up: int = 200
    clip: float = 1.0
    grey: float = 0.15
    eight_bit: float = 0.5
    smaller: float = 0.7
    seed: int = 0


def training_pictures(smaller: float) -> list[Tensor]:
    """Photographs to train on at two scales, (3, height, width) uint8."""
    found = []
    for picture in split(0, held_out=False)[0]:
        image = Image.fromarray(picture)
        size = (round(image.width * smaller), round(image.height * smaller))
        found += [picture, np.asarray(image.resize(size, Image.Resampling.LANCZOS))]
    return [torch.from_numpy(picture.copy()).permute(2, 0, 1).contiguous() for picture in found]


def choosing_pictures(count: int = 20) -> list[Array]:
    """Photographs of BSDS500's training part to choose settings by, (height, width, 3) uint8."""
    place = first_place(data_folders(), ("bsds500_train.tar",))
    if place is None:
        raise SystemExit("bsds500_train.tar is missing in LOWERBOUND_DATA")
    names = [name for name in member_names(place) if name.lower().endswith(".jpg")][-count:]
    return [
        np.asarray(Image.open(io.BytesIO(content))) for _, content in read_members(place, names)
    ]


class Crops:
    """Random crops of photographs with noise."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.pictures = training_pictures(settings.smaller)
        sizes = torch.tensor([float(picture[0].numel()) for picture in self.pictures])
        self.shares = sizes / sizes.sum()

    def draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """(clean, noisy, level): pictures (crops, 3, side, side) in [0, 1], levels (crops,)."""
        own = self.settings
        chosen = torch.multinomial(self.shares, own.crops, replacement=True, generator=generator)
        clean = torch.stack([self._crop(int(i), generator) for i in chosen]).float() / 255

        def marked(share: float) -> Tensor:
            return (torch.rand(own.crops, generator=generator) < share).view(-1, 1, 1, 1)

        noise = torch.randn(clean.shape, generator=generator)
        grey = marked(own.grey)
        lightness = (clean * torch.tensor(GREY).view(1, 3, 1, 1)).sum(1, keepdim=True)
        clean = torch.where(grey, lightness.expand_as(clean), clean)
        noise = torch.where(grey, noise[:, :1].expand_as(noise), noise)
        level = STRONGEST / 255 * torch.rand(own.crops, generator=generator)
        noisy = clean + level.view(-1, 1, 1, 1) * noise
        stored = ((noisy * 255).round() / 255).clamp(0, 1)
        return clean, torch.where(marked(own.eight_bit), stored, noisy), level

    def _crop(self, index: int, generator: torch.Generator) -> Tensor:
        """One crop of a picture, turned or mirrored at random."""
        picture, side = self.pictures[index], self.settings.side

        def below(limit: int) -> int:
            return int(torch.randint(limit, (1,), generator=generator))

        top, left = below(picture.shape[1] - side + 1), below(picture.shape[2] - side + 1)
        crop = picture[:, top : top + side, left : left + side]
        turned = torch.rot90(crop, below(4), (1, 2))
        return turned.flip(2) if below(2) else turned


def loss_of(
    model: PictureDenoiser, clean: Tensor, noisy: Tensor, level: Tensor
) -> tuple[Tensor, Tensor]:
    """(squared error of the mean over sigma, negative log-likelihood at that mean in nats)."""
    with torch.autocast("cpu", torch.bfloat16):
        found = model(noisy, level)
    squared = (found.mean - clean) ** 2 / (level + model.network.weak).view(-1, 1, 1, 1)
    surprise = -Normal(found.mean.detach(), found.stddev).log_prob(clean)
    return squared.mean(), surprise.mean()


class Run:
    """A training that continues where an earlier one of the same place stopped."""

    def __init__(self, settings: Settings, place: Path) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.place = settings, place
        model: Any = PictureDenoiser()  # torch declares no memory_format
        self.model: PictureDenoiser = model.to(memory_format=torch.channels_last)
        self.adam = torch.optim.Adam(self.model.parameters(), settings.rate)
        self.crops = Crops(settings)
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.spent, self.updates = 0.0, 0  # seconds of the processor
        if place.exists():
            self._restore(torch.load(place))

    def train(self) -> PictureDenoiser:
        """Train for so many minutes."""
        began, shown = time.process_time() - self.spent, self.spent
        means = np.zeros(2)
        while self.spent < 60 * self.settings.minutes:
            means += (np.array(self.update()) - means) / min(self.updates, 1000)
            self.spent = time.process_time() - began
            if self.spent - shown > 60:
                shown = self.spent
                self._keep()
                print(f"{self.spent / 60:.1f} min, {self.updates} updates: {means}", flush=True)
        self._keep()
        return self.model

    def update(self) -> tuple[float, float]:
        """One update, and the two losses before it."""
        own = self.settings
        falling = (1 + math.cos(math.pi * min(self.spent / 60 / own.minutes, 1.0))) / 2
        for group in self.adam.param_groups:
            group["lr"] = own.rate * falling * min(1.0, (self.updates + 1) / own.warm_up)
        squared, surprise = loss_of(self.model, *self.crops.draw(self.generator))
        self.adam.zero_grad()
        (squared + surprise).backward()
        spread = list(self.model.network.deviation.parameters())
        others = [one for one in self.model.parameters() if all(one is not of for of in spread)]
        for parameters in (spread, others):  # the losses share no gradient
            torch.nn.utils.clip_grad_norm_(parameters, own.clip)
        self.adam.step()
        self.updates += 1
        return squared.item(), surprise.item()

    def _keep(self) -> None:
        self.place.parent.mkdir(parents=True, exist_ok=True)
        states = {"network": self.model.network.state_dict(), "adam": self.adam.state_dict()}
        counts = {"spent": self.spent, "updates": self.updates}
        torch.save({**states, **counts, "generator": self.generator.get_state()}, self.place)

    def _restore(self, kept: dict[str, Any]) -> None:
        self.model.network.load_state_dict(kept["network"])
        self.adam.load_state_dict(kept["adam"])
        self.generator.set_state(kept["generator"])
        self.spent, self.updates = kept["spent"], kept["updates"]


def chosen_psnr(model: PictureDenoiser, level: float) -> float:
    """Mean PSNR of the middles of the photographs to choose by, in dB; noise is not clipped."""
    found = []
    for index, picture in enumerate(choosing_pictures()):
        top, left = (picture.shape[0] - 192) // 2, (picture.shape[1] - 192) // 2
        clean = picture[top : top + 192, left : left + 192] / 255
        noise = np.random.default_rng(index).normal(size=clean.shape)
        mean = clean_picture(model, clean + level / 255 * noise, level / 255).mean
        found.append(-10 * math.log10(np.square(mean.clip(0, 1) - clean).mean()))
    return float(np.mean(found))


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--minutes", type=float, default=Settings.minutes)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.quick:
        run = Run(Settings(seed=chosen.seed, crops=2, side=32), RUN.with_name("quick.pt"))
        print("quick, not quoted:", [run.update() for _ in range(3)])
        return
    model = Run(Settings(minutes=chosen.minutes, seed=chosen.seed), RUN).train().eval()
    path = write_shipped(model)
    numbers = range(1, 25)
    (path.parent / "README.md").write_text(
        README.format(
            train=", ".join(str(n) for n in numbers if n % FOLDS != 1),
            test=", ".join(str(n) for n in numbers if n % FOLDS == 1),
            minutes=chosen.minutes,
        ),
        encoding="utf-8",
    )
    print(f"{path}: {path.stat().st_size:,} bytes")
    for level in (15, 25, 50):
        print(f"sigma {level}: {chosen_psnr(shipped_denoiser(), level):.2f} dB", flush=True)


if __name__ == "__main__":
    main()
