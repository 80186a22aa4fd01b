"""A small classifier of the data, whose last hidden layer gives features for distances.

Nothing is downloaded: it learns from labeled rows in seconds. Its name contains a hash of its
weights, because distances compare only if they use the same features.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from lowerbound import durable, untrusted
from lowerbound.data.dataset import Dataset
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import DataError
from lowerbound.evaluation.samples.acceptance import FEWEST, real_rows
from lowerbound.networks.processor import AllocationLimit
from lowerbound.untrusted import folders

WIDTH = 32
SIDE = 16  # largest side in pixels after the first convolution, which has a stride
HIDDEN = 128
BATCH = 64
UPDATES = 500
RATE = 3e-3
ROWS_AT_ONCE = 512
LOW_CONTRAST = 0.1  # standard deviation of all values; it is 0.31 for the digits of MNIST
WEIGHTS, DESCRIPTION = "features.safetensors", "features.json"


@dataclass(frozen=True)
class NetworkDescription:
    """Metadata of a feature network.

    Attributes:
        event_shape: shape of a row.
        classes: number of classes.
        rows: number of training rows.
        accuracy: accuracy on unseen rows; None without such rows.
        seed: seed of the first weights and the order of the rows.
        center, scale: the input is (x - center) / scale, of rows x in model units.

    Raises:
        DataError: the shape is neither that of a picture, (channels, height, width), nor of a
            vector, or center or scale are out of range.
    """

    event_shape: tuple[int, ...]
    classes: int
    rows: int
    accuracy: float | None
    seed: int
    center: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if len(self.event_shape) not in (1, 2, 3):
            raise DataError(f"a row has 1 to 3 dimensions, not {len(self.event_shape)}")
        if not (math.isfinite(self.center) and 0 < self.scale < math.inf):
            raise DataError(f"rows less {self.center} cannot be divided by {self.scale}")

    @property
    def kind(self) -> str:
        """lenet for pictures, mlp for vectors."""
        return "lenet" if len(self.event_shape) == 3 else "mlp"


class FeatureNetwork(nn.Module):
    """Rows in model units to features, standardized over the training rows.

    The input of the first layer is (x - center) / scale of the description.

    ::

    picture ─ conv, relu, conv 3x3, relu, mean of 2x2 ─ linear ─> features ─ relu ─ linear ─> class
    vector  ─ linear 128, relu, linear 128, relu ────── linear ─> features ─ relu ─ linear ─> class
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, description: NetworkDescription) -> None:
        super().__init__()
        self.description = description
        shape = description.event_shape
        layers = _picture_layers(shape) if len(shape) == 3 else _vector_layers(shape)
        self.body = nn.Sequential(*layers, nn.LazyLinear(WIDTH))
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(WIDTH, description.classes))
        self.register_buffer("mean", torch.zeros(WIDTH))
        self.register_buffer("deviation", torch.ones(WIDTH))
        with torch.no_grad():
            self.body(torch.zeros(1, *shape))

    def forward(self, x: Tensor) -> Tensor:
        """Class scores, (rows, classes), of rows in model units."""
        scores: Tensor = self.head(self.raw(x))
        return scores

    def raw(self, x: Tensor) -> Tensor:
        """Features that are not standardized, (rows, 32), of rows in model units."""
        made: Tensor = self.body((x - self.description.center) / self.description.scale)
        return made

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """Standardized features, (rows, 32), float64 on the CPU.

        Raises:
            DataError: rows of another shape.
        """
        if tuple(x.shape[1:]) != self.description.event_shape:
            raise DataError(
                f"{self.name} is for rows of shape {self.description.event_shape}, not "
                f"{tuple(x.shape[1:])}"
            )
        parts = x.float().cpu().split(ROWS_AT_ONCE)
        raw = torch.cat([self.raw(part) for part in parts])
        return ((raw - self.mean) / self.deviation).double()

    @property
    def name(self) -> str:
        """Such as lenet-1a2b3c4d: the kind, and the start of the hash of the weights."""
        return f"{self.description.kind}-{self.sha256[:8]}"

    @property
    def sha256(self) -> str:
        """Hash of the weights in order, including names and shapes, and of how rows are scaled."""
        digest = hashlib.sha256()
        if (self.description.center, self.description.scale) != (0.0, 1.0):
            digest.update(f"{self.description.center} {self.description.scale} ".encode())
        for key, value in sorted(self.state_dict().items()):
            digest.update(f"{key} {tuple(value.shape)} ".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def fit_feature_network(
    training: Dataset,
    held_out: Dataset | None = None,
    *,
    seed: int = 0,
    updates: int = UPDATES,
) -> FeatureNetwork:
    """Learn to classify labeled rows; deterministic given rows and seed, on one machine.

    Rows whose values deviate little, as those of pictures of low contrast, are standardized with
    the mean and the standard deviation of all values; the first layer would not learn from them.

    Args:
        training: labeled rows, all of which are used.
        held_out: other labeled rows, for the accuracy.
        seed: seed of the first weights and the order of the rows.
        updates: updates of 64 rows each.

    Raises:
        DataError: no labels, or fewer than two classes of at least 10 rows each.
    """
    rows = labelled_rows(training)
    assert rows.label is not None
    classes = len(training.schema.class_names) or int(rows.label.max()) + 1
    x = real_rows(rows).float().cpu()
    center, scale = _faint(x) or (0.0, 1.0)
    described = NetworkDescription(
        tuple(x.shape[1:]), classes, len(rows), None, seed, center, scale
    )
    with seeded(seed):
        network = FeatureNetwork(described)
        _learn(network, x, rows.label.cpu(), updates)
    _standardize(network, x)
    accuracy = None if held_out is None else _accuracy(network, held_out)
    network.description = replace(described, accuracy=accuracy)
    return network.eval().requires_grad_(False)


def _faint(x: Tensor) -> tuple[float, float] | None:
    """Mean and standard deviation of values of low contrast; None: they have enough, or none."""
    deviation = float(x.std())
    return (float(x.mean()), deviation) if 0 < deviation < LOW_CONTRAST else None


def labelled_rows(dataset: Dataset) -> Dataset:
    """The rows with a known class.

    Raises:
        DataError: no labels, or fewer than two classes of at least 10 rows each.
    """
    if dataset.label is None:
        raise DataError("a feature network learns from labels, and the data has none")
    known = torch.nonzero(dataset.label >= 0).flatten()
    counts = dataset.label[known].bincount()
    if int((counts >= FEWEST).sum()) < 2:
        raise DataError(
            f"a feature network needs at least two classes of {FEWEST} labelled rows each, and "
            f"the classes have {', '.join(map(str, counts.tolist())) or 'none'}"
        )
    return dataset.subset(known)


@folders.closing
def save_feature_network(network: FeatureNetwork, folder: Path) -> None:
    """Write weights and description, for measuring other models by the same features."""
    folders.make(folder)
    durable.write_tensors(folder / WEIGHTS, network.state_dict())
    described = {**asdict(network.description), "name": network.name, "sha256": network.sha256}
    durable.write_text(folder / DESCRIPTION, json.dumps(described, indent=1) + "\n")


@folders.closing
def load_feature_network(folder: Path) -> FeatureNetwork:
    """Read what ``save_feature_network`` wrote.

    Raises:
        DataError: a file is missing or damaged, or the weights are not those described.
    """
    try:
        described = untrusted.read_mapping(folder / DESCRIPTION, DataError)
        weights = untrusted.content(folder / WEIGHTS, DataError)
        with untrusted.guarded(str(folder), DataError):
            sha256, _ = described.pop("sha256"), described.pop("name")
            described["event_shape"] = tuple(described["event_shape"])
            with seeded(0), AllocationLimit(len(weights), str(folder), DataError):
                network = FeatureNetwork(NetworkDescription(**described))
            network.load_state_dict(untrusted.weights(weights, str(folder), DataError))
    except (OSError, DataError) as error:
        raise DataError(f"{folder} holds no feature network that can be read: {error}") from error
    if network.sha256 != sha256:
        raise DataError(
            f"{folder / WEIGHTS} has been altered: its hash is not the one in {DESCRIPTION}"
        )
    return network.eval().requires_grad_(False)


def _picture_layers(shape: tuple[int, ...]) -> list[nn.Module]:
    """A first convolution that reduces sides to at most 16 pixels, then halves them down to 8."""
    channels, *size = shape
    stride = math.ceil(max(size) / SIDE)
    taps = max(3, 2 * stride + 1)
    layers: list[nn.Module] = [nn.Conv2d(channels, 16, taps, stride, padding=taps // 2), nn.ReLU()]
    layers += [nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2, ceil_mode=True)]
    return [*layers, nn.Flatten()]


def _vector_layers(shape: tuple[int, ...]) -> list[nn.Module]:
    first = nn.Linear(math.prod(shape), HIDDEN)
    return [nn.Flatten(), first, nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU()]


def _learn(network: FeatureNetwork, x: Tensor, label: Tensor, updates: int) -> None:
    """Adam on the cross-entropy, the rate falling to zero along half a cosine."""
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    order = torch.randint(len(x), (updates, BATCH))
    for update, rows in enumerate(order):
        for group in optimizer.param_groups:
            group["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * update / updates))
        loss = nn.functional.cross_entropy(network(x[rows]), label[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def _standardize(network: FeatureNetwork, x: Tensor) -> None:
    features = torch.cat([network.raw(part) for part in x.split(ROWS_AT_ONCE)])
    network.mean.copy_(features.mean(0))
    network.deviation.copy_(features.std(0).clamp_min(1e-6))


@torch.no_grad()
def _accuracy(network: FeatureNetwork, held_out: Dataset) -> float | None:
    known = None if held_out.label is None else torch.nonzero(held_out.label >= 0).flatten()
    if known is None or not len(known):
        return None
    rows = held_out.subset(known)
    assert rows.label is not None
    x = real_rows(rows).float().cpu()
    found = torch.cat([network(part).argmax(1) for part in x.split(ROWS_AT_ONCE)])
    return float((found == rows.label.cpu()).double().mean())
