"""A recurrent state-space model of frames, actions and rewards: a world model."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import Parameter

from lowerbound.config import option
from lowerbound.data.dataset import Dataset
from lowerbound.data.sequences.episode_kind import EpisodeForm, frame_schema
from lowerbound.distributions.one_hot import UNIFORM
from lowerbound.distributions.point import Point
from lowerbound.errors import OptionError
from lowerbound.likelihoods.base import Likelihood
from lowerbound.likelihoods.over_time import OverTime
from lowerbound.models.base import DRAW, MODELS, Model, starting_rows
from lowerbound.models.sequences.frame_path import (
    CodeLatent,
    FramePath,
    GaussianLatent,
    StateLatent,
)
from lowerbound.models.sequences.states import Behavior, Outcomes, StateTrace, WorldState, stacked
from lowerbound.networks.base import Decoder, Encoder
from lowerbound.networks.frame_maps import GatedRecurrentUnit
from lowerbound.networks.initialization import linear
from lowerbound.networks.inputs import Input
from lowerbound.networks.mlp import Joined, normalized_layers
from lowerbound.trace import Batch, Choose, Emission, Given, Mean, Step, fold

if TYPE_CHECKING:  # names for annotations
    from lowerbound.data.kinds import Default
    from lowerbound.data.schema import Schema
    from lowerbound.models.options import ModelOptions
    from lowerbound.models.parts import ModelParts

LEAST_SCALE = 8 / 255  # of grey values, model units


@dataclass(frozen=True)
class RecurrentOptions:
    """Sizes of a recurrent state-space model."""

    memory: int = option(256, "numbers of the deterministic part of a state")
    latents: Literal["codes", "gaussian"] = option("codes", "the stochastic part of a state")
    groups: int = option(16, "groups of codes")
    classes: int = option(16, "classes of each group of codes")
    width: int = option(256, "numbers of each hidden layer")
    uniform: float = option(UNIFORM, "share of the uniform distribution in that of each code")
    components: int = option(
        64, "principal components of frames that the networks start from; 0: none"
    )
    behavior: bool = option(False, "whether there are an actor and a critic, which control trains")

    def __post_init__(self) -> None:
        if min(self.memory, self.groups, self.width) < 1 or self.classes < 2:
            raise OptionError("memory, groups and width must be at least 1, and classes at least 2")
        if self.components < 0:
            raise OptionError(f"components is 0 or more, not {self.components}")
        if not 0 <= self.uniform < 1:
            raise OptionError(f"uniform is a share, from 0 up to 1, not {self.uniform}")


@MODELS.register("recurrent_state_space")
class RecurrentStateSpace(Model):
    r"""h_t = f(h_{t-1}, z_{t-1}, a_{t-1}), z_t ~ p(z_t | h_t), x_t ~ p(x_t | h_t, z_t).

    The posterior is q(z_t | h_t, x_t), so a state (h_t, z_t) holds what the frames up to t say
    about the future. f is a gated recurrent unit. The bound is

    .. math:: \sum_t E_q[\log p(x_t \mid h_t, z_t)] -
        \mathrm{KL}(q(z_t \mid h_t, x_t) \,\|\, p(z_t \mid h_t))

    A pass has one Step for each time. ``Batch.condition`` holds the action that led to each frame,
    (batch, time, numbers). ``Batch.resets`` is True where an episode starts: h, z and the action
    before are zero there. Without x a pass is imagined from the prior, as long as the actions.
    ``Trace.state`` continues a single sample: pass it as ``Batch.state``. A frame without any
    observed cell has its prior as posterior.

    Where the batch has outcomes, ``Trace.predicted`` is log p of rewards and ends given the states.

    Args:
        frame_shape: of x_t.
        time: number of frames of a training row.
        actions: numbers of an action; 0: there are none.
        encoder: frames to ``options.width`` numbers.
        decoder: states to the parameters of ``likelihood``.
        likelihood: p(x_t | state).
        options: sizes.
        classes: of an action that is a class; 0: it is numbers.
        rewards: whether states predict rewards and ends.
        inputs: makes the encoder's input from a frame.

    Sources: Hafner et al. 2019 (PlaNet), 2021 (DreamerV2) and 2023 (DreamerV3).
    """

    title: ClassVar[str] = "recurrent state space"
    Options: ClassVar[type[Any]] = RecurrentOptions
    uses: ClassVar[tuple[str, ...]] = ("network", "likelihood")

    def __init__(
        self,
        frame_shape: tuple[int, ...],
        time: int,
        actions: int,
        encoder: Encoder,
        decoder: Decoder,
        likelihood: Likelihood,
        options: RecurrentOptions,
        classes: int = 0,
        rewards: bool = False,
        inputs: Input | None = None,
    ) -> None:
        super().__init__(inputs)
        self.frame_shape, self.time, self.actions = tuple(frame_shape), time, actions
        self.latent: StateLatent = (
            CodeLatent(options.groups, options.classes, options.uniform)
            if options.latents == "codes"
            else GaussianLatent(options.groups)
        )
        memory, width, size = options.memory, options.width, self.latent.size
        self.memory = memory
        self.encoder, self.decoder, self.likelihood = encoder, decoder, likelihood
        self.recall = nn.Sequential(linear(size + actions, memory), nn.LayerNorm(memory), nn.SiLU())
        self.cell = GatedRecurrentUnit(memory, memory)
        self.prior_head = normalized_layers(memory, width, 1, self.latent.numbers)
        self.posterior_head = Joined(memory, width, width, self.latent.numbers)
        self.outcomes = Outcomes(memory + size, width) if rewards else None
        self.behavior = (
            Behavior(memory + size, width, actions, classes) if options.behavior else None
        )
        self.latent_dim = time * size
        self.path: FramePath | None = None
        if inputs is None:
            sizes, count = (memory + size, width), options.components
            self.path = FramePath.beside(decoder, likelihood, self.frame_shape, count, sizes)

    @classmethod
    def check(cls, schema: Schema, options: ModelOptions) -> None:
        if not EpisodeForm.fits(schema) or options.conditional:
            raise OptionError(
                "recurrent_state_space is for windows of episodes: give an .npz file with 'frames' "
                "and 'episode', and the number of frames of a window (--window)"
            )

    @classmethod
    def default_network(cls, schema: Schema) -> Default:
        frame = frame_schema(schema)
        return frame.data_kind.default_network(frame, False)

    @classmethod
    def default_likelihood(cls, schema: Schema) -> Default:
        frame = frame_schema(schema)
        return frame.data_kind.default_likelihood(frame)

    @classmethod
    def default_likelihood_options(cls, schema: Schema, likelihood: str) -> Mapping[str, Any]:
        """Scales of grey values that no noise of the background draws below LEAST_SCALE: what
        moves is few pixels, and would count for nothing beside exact backgrounds."""
        if likelihood == "discretized_logistic" and schema.levels is not None:
            return {"floor": LEAST_SCALE * (schema.levels - 1)}
        return super().default_likelihood_options(schema, likelihood)

    @classmethod
    def latent_dim_of(cls, schema: Schema, options: ModelOptions) -> int:
        """The numbers of z at all times, which the model's options decide."""
        own = cls.own_options(options.model_options)
        each = own.groups * own.classes if own.latents == "codes" else own.groups
        return int(schema.event_shape[0] * each)

    @classmethod
    def rival_options(cls, dataset: Dataset, options: ModelOptions) -> ModelOptions | None:
        return options if EpisodeForm.fits(dataset.schema) else None

    @classmethod
    def build(cls, parts: ModelParts) -> RecurrentStateSpace:
        own, form = parts.own(RecurrentOptions), EpisodeForm.of(parts.schema)
        frames = replace(parts, schema=form.frame)
        likelihood = frames.likelihood()
        size = own.groups * (own.classes if own.latents == "codes" else 1)
        return cls(
            form.frame.event_shape,
            parts.schema.event_shape[0],
            form.actions,
            frames.encoder(own.width),
            frames.decoder(likelihood, own.memory + size),
            likelihood,
            own,
            form.classes,
            form.rewards,
            frames.inputs,
        )

    def start(self, dataset: Dataset) -> None:
        batch = starting_rows(dataset)
        observed = None if batch.observed is None else batch.observed.flatten(0, 1)
        self.start_at_frames(Batch(batch.filled.flatten(0, 1), observed))

    def start_at_frames(self, frames: Batch) -> None:
        """Start the output at the marginals of frames, and the path at principal components."""
        self.start_at_marginals(frames)
        if self.path is not None:
            self.path.start(self.decoder, self.likelihood, frames.filled)

    def take_layout(self, names: Collection[str]) -> None:
        if self.path is not None:
            self.path.linear_path.take_layout(names, "path.linear_path.")

    # one pass ------------------------------------------------------------------------------------

    def forward(self, batch: Batch, choose: Choose = DRAW) -> StateTrace:
        if batch.x is None:
            return self.imagine(batch, choose)
        return self._pass(batch, choose, batch.x.shape[1], self.embedded(batch))

    def imagine(self, batch: Batch, choose: Choose = DRAW) -> StateTrace:
        """A pass without frames, as long as the actions or ``resets``, else as a training row."""
        lengths = [v.shape[1] for v in (batch.condition, batch.resets) if v is not None]
        return self._pass(batch, choose, lengths[0] if lengths else self.time, None)

    def embedded(self, batch: Batch) -> Tensor:
        """The encoder's numbers of each frame, mapped for the posterior, (batch, time, width)."""
        assert batch.x is not None
        rows, time = batch.x.shape[:2]
        observed = None if batch.observed is None else batch.observed.flatten(0, 1)
        numbers = self._numbers(Batch(batch.filled.flatten(0, 1), observed))
        mapped: Tensor = self.posterior_head.of_second(numbers).unflatten(0, (rows, time))
        return mapped

    def _numbers(self, frames: Batch) -> Tensor:
        """The encoder's numbers of frames, (rows, width), and those of the path."""
        seen = self.seen(frames)
        numbers: Tensor = self.encoder(seen, None)
        return numbers if self.path is None else self.path.numbers_of(seen, numbers)

    def advance(self, state: WorldState, action: Tensor) -> Tensor:
        """The next memory h, (rows, memory), of states (rows, ...) and actions (rows, numbers)."""
        memory: Tensor = self.cell.step(
            self.recall(torch.cat([state.latent, action], -1)), state.memory
        )
        return memory

    def prior(self, memory: Tensor) -> Distribution:
        """p(z | h), batch shape (samples, batch), of h (samples, batch, memory)."""
        distribution: Distribution = self.latent(fold_numbers(self.prior_head, memory))
        return distribution

    def initial(self, rows: int) -> WorldState:
        """The state before the first frame of episodes: zeros."""
        like = self.cell.of_state.weight
        return WorldState(like.new_zeros(rows, self.memory), like.new_zeros(rows, self.latent.size))

    def observe(self, state: WorldState, action: Tensor, frame: Tensor) -> WorldState:
        """The state after one more frame, with z drawn from the posterior.

        Args:
            state: of the time before, (rows, ...).
            action: that led to the frame, (rows, numbers).
            frame: in model units, (rows, *frame_shape).
        """
        memory = self.advance(state, action)
        mapped = self.posterior_head.of_second(self._numbers(Batch(frame)))
        posterior = self.latent(self.posterior_head(memory, mapped).unsqueeze(0))
        return WorldState(memory, posterior.rsample()[0].flatten(1))

    def step(self, state: WorldState, action: Tensor) -> WorldState:
        """The state one action later, with z drawn from the prior, (rows, ...)."""
        memory = self.advance(state, action)
        return WorldState(memory, self.prior(memory.unsqueeze(0)).rsample()[0].flatten(1))

    def emit(self, features: Tensor) -> Emission:
        """p(x | states) of states (samples, batch, time, features)."""
        emission: Emission = self.likelihood(fold(self._emitted, features.flatten(1, 2)))
        return OverTime(emission, features.shape[2])

    def _emitted(self, features: Tensor, condition: Tensor | None = None) -> Tensor:
        """The likelihood's parameters, of the decoder and the path."""
        numbers: Tensor = self.decoder(features, condition)
        return numbers if self.path is None else self.path.parameters_of(features, numbers)

    def encode(self, batch: Batch) -> Distribution:
        """The means of z at all times as one point."""
        return Point(self.code(self(batch, Mean())))

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Emission:
        """p(x | z) for z of all times side by side, (samples, batch, time * size).

        Args:
            z: latents.
            condition: actions, (batch, time, numbers); None: zeros.
        """
        latents = z.unflatten(-1, (-1, *self.latent.shape)).unbind(2)
        resets = torch.zeros(z.shape[1], len(latents), dtype=torch.bool, device=z.device)
        return self.imagine(Batch(condition=condition, resets=resets), Given(latents)).likelihood

    def parts(self) -> Mapping[str, Sequence[Parameter]]:
        inference = [
            *self.input_parameters(),
            *self.encoder.parameters(),
            *self.posterior_head.parameters(),
            *(self.path.inference_parameters() if self.path is not None else ()),
        ]
        behavior = [] if self.behavior is None else list(self.behavior.parameters())
        chosen = {id(parameter) for parameter in (*inference, *behavior)}
        rest = [value for value in self.parameters() if id(value) not in chosen]
        return {"inference": inference, "generative": rest, "behavior": behavior}

    def _pass(self, batch: Batch, choose: Choose, time: int, embedded: Tensor | None) -> StateTrace:
        rows = len(batch)
        keep, actions = self._kept(batch, time), self._actions(batch, rows, time)
        state, seen = self._before(batch, rows), _seen_frames(batch)
        states, chosen = list[WorldState](), list[Tensor]()
        priors, posteriors = list[Distribution](), list[Distribution | None]()
        for t in range(time):
            memory = self._advance(state, actions[:, t], keep[:, t])
            prior, posterior = None, None
            if embedded is None:
                prior = self.prior(memory)
                priors.append(prior)
            else:
                posterior = self._posterior(memory, embedded[:, t], seen, t)
            z = choose(t, posterior, prior)
            state = WorldState(memory.expand(len(z), -1, -1), z.flatten(2).expand(-1, rows, -1))
            states.append(state)
            posteriors.append(posterior)
            chosen.append(z)
        every = stacked(states)
        if embedded is not None:
            priors = self._priors(every.memory)
        steps = tuple(Step(z, q, p) for z, q, p in zip(chosen, posteriors, priors, strict=True))
        last = torch.cat(state, -1)[0] if len(state.memory) == 1 else None
        predicted = self._predicted(every.features, batch)
        emission = self.emit(every.features)
        return StateTrace(steps, emission, state=last, predicted=predicted, states=every)

    def _priors(self, memories: Tensor) -> list[Distribution]:
        """The priors of all times at once, from h (samples, batch, time, memory)."""
        numbers = fold_numbers(self.prior_head, memories.flatten(1, 2))
        apart = numbers.unflatten(1, memories.shape[1:3]).unbind(2)
        return [self.latent(each) for each in apart]

    def _advance(self, state: WorldState, action: Tensor, keep: Tensor) -> Tensor:
        """h of the next time, (samples, batch, memory); zeros enter where an episode starts."""
        samples, rows = state.memory.shape[:2]
        kept = keep.expand(samples, rows, 1)
        inside = WorldState(*((part * kept).flatten(0, 1) for part in state))
        moved = (action * kept).flatten(0, 1)
        memory: Tensor = self.advance(inside, moved).unflatten(0, (samples, rows))
        return memory

    def _posterior(
        self, memory: Tensor, embedded: Tensor, seen: Tensor | None, time: int
    ) -> Distribution:
        samples, rows = memory.shape[:2]
        mapped = embedded.expand(samples, -1, -1).flatten(0, 1)
        numbers = self.posterior_head(memory.flatten(0, 1), mapped).unflatten(0, (samples, rows))
        if seen is not None:
            unseen = fold_numbers(self.prior_head, memory)
            numbers = torch.where(seen[:, time, None], numbers, unseen)
        distribution: Distribution = self.latent(numbers)
        return distribution

    def _predicted(self, features: Tensor, batch: Batch) -> Tensor | None:
        """log p(outcomes | states), (samples, batch), if the batch has them."""
        if self.outcomes is None or batch.outcomes is None or batch.x is None:
            return None
        terms: Tensor = self.outcomes.log_prob(features, batch.outcomes)
        return terms.sum(2)

    def _kept(self, batch: Batch, time: int) -> Tensor:
        """0 where an episode starts, else 1, (rows | 1, time, 1)."""
        like = self.cell.of_state.weight
        if batch.resets is None:
            return like.new_ones(1, time, 1)
        return (~batch.resets).to(like.dtype).unsqueeze(-1)

    def _actions(self, batch: Batch, rows: int, time: int) -> Tensor:
        if batch.condition is not None:
            return batch.condition
        return self.cell.of_state.weight.new_zeros(rows, time, self.actions)

    def _before(self, batch: Batch, rows: int) -> WorldState:
        """The state before the batch, (1, rows, ...)."""
        if batch.state is None:
            return WorldState(*(part.unsqueeze(0) for part in self.initial(rows)))
        return WorldState(*batch.state.unsqueeze(0).split([self.memory, self.latent.size], -1))


def fold_numbers(network: nn.Module, values: Tensor) -> Tensor:
    """Run a network of one input on (samples, batch, ...), with samples folded into rows."""
    numbers: Tensor = network(values.flatten(0, 1)).unflatten(0, values.shape[:2])
    return numbers


def _seen_frames(batch: Batch) -> Tensor | None:
    """Whether a frame has observed cells, (batch, time); None: all have."""
    return None if batch.observed is None else batch.observed.flatten(2).any(-1)
