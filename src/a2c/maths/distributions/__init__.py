"""Action distributions: pure functions of (parameters, noise).

Sampling takes its noise as an argument, so that it draws the same actions in any grouping of environments, after a
resume and on any device. A distribution holds no state. It defines the shape and dtype of its actions: code that
stores actions asks it.
"""

from a2c.maths.distributions.bernoullis import Bernoullis
from a2c.maths.distributions.betas import Betas
from a2c.maths.distributions.categorical import Categorical
from a2c.maths.distributions.categoricals import Categoricals
from a2c.maths.distributions.diagonal_gaussian import DiagonalGaussian
from a2c.maths.distributions.distribution import Distribution
from a2c.maths.distributions.gsde import GSDE
from a2c.maths.distributions.joint import Joint
from a2c.maths.distributions.pullback import LogProbEntropyPullback, Pullback, pullback_of
from a2c.maths.distributions.squashed_gaussian import SquashedGaussian

__all__ = [
    "GSDE",
    "Bernoullis",
    "Betas",
    "Categorical",
    "Categoricals",
    "DiagonalGaussian",
    "Distribution",
    "Joint",
    "LogProbEntropyPullback",
    "Pullback",
    "SquashedGaussian",
    "pullback_of",
]
