"""Search methods by name."""

from lowerbound.inference.design.methods import (
    bayesian as bayesian,
    cross_entropy as cross_entropy,
    gradient as gradient,
    known as known,
    mutation as mutation,
    random as random,
)
from lowerbound.inference.design.methods.base import METHODS as METHODS
