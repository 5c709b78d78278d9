# SPDX-License-Identifier: Apache-2.0
"""The covariance of the Gaussian processes. It imports scikit-learn, so it is imported only where one is fitted."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.spatial.distance import cdist
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Kernel

from edgenas.latency import Array

_BOUNDS = (-18.0, 6.0)  # of a log variance
_LENGTH_BOUNDS = (-2.0, 6.0)  # of a log length
_JITTER = 1e-8
_STEPS = 30


class PartsKernel(Kernel):  # type: ignore[misc]
    """Sum over groups of columns of variance x (X_g X_g^T), noise, and if `tail` > 0 a Matern 3/2 on the last columns.

    A linear kernel per group is Bayesian linear regression with one prior variance per group (Rasmussen and Williams,
    Gaussian Processes for Machine Learning, 2006, section 2.1): the variances that maximise the marginal
    likelihood say how much each group may contribute. Column 0 is each row's noise variance, relative to the others'.

    widths: columns of each group, from column 1 on. tail: columns of the Matern kernel, behind the groups. theta: log
    variances of the groups and of the noise, then the Matern kernel's log variance and log length.
    """

    def __init__(self, widths: tuple[int, ...], tail: int = 0, start: tuple[float, ...] = ()) -> None:
        self.widths, self.tail, self.start = widths, tail, start
        self._theta = np.array(start or (*(-6.0,) * (len(widths) + 1), *((-5.0, 1.0) if tail else ())))
        edges = np.cumsum((1, *widths))
        self._groups = [slice(int(a), int(b)) for a, b in pairwise(edges)]

    @property
    def theta(self) -> Array:
        """The hyperparameters, logarithms."""
        return self._theta

    @theta.setter
    def theta(self, theta: Array) -> None:
        self._theta = np.array(theta, dtype=np.float64)

    @property
    def n_dims(self) -> int:
        """How many hyperparameters there are."""
        return len(self._theta)

    @property
    def bounds(self) -> Array:
        """Of theta, shape (theta, 2)."""
        lengths = [_LENGTH_BOUNDS] if self.tail else []
        return np.array([_BOUNDS] * (len(self.theta) - len(lengths)) + lengths)

    def groups(self) -> list[slice]:
        """The columns of each group."""
        return self._groups

    def __call__(self, X: Array, Y: Array | None = None, eval_gradient: bool = False) -> Any:  # noqa: N803
        """Covariance of X's rows with Y's, or their own with noise; and its gradient by theta."""
        other, variance = X if Y is None else Y, np.exp(self.theta)
        terms = [v * (X[:, g] @ other[:, g].T) for v, g in zip(variance, self._groups, strict=False)]
        noise = variance[len(terms)] * np.diag(X[:, 0]) if Y is None else np.zeros((len(X), len(other)))
        terms.append(noise)
        covariance = np.sum(terms, axis=0)
        if self.tail:
            scaled = np.sqrt(3) / variance[-1] * cdist(X[:, -self.tail :], other[:, -self.tail :])
            matern = variance[-2] * (1 + scaled) * np.exp(-scaled)
            covariance += matern
            terms += [matern, variance[-2] * scaled**2 * np.exp(-scaled)]
        return (covariance, np.stack(terms, axis=-1)) if eval_gradient else covariance

    def diag(self, X: Array) -> Array:  # noqa: N803
        """The variance of each row, its noise included."""
        variance = np.exp(self.theta)
        found: Array = variance[len(self._groups)] * X[:, 0]
        for v, g in zip(variance, self._groups, strict=False):
            found = found + v * np.sum(X[:, g] ** 2, axis=1)
        return found + variance[-2] if self.tail else found

    def is_stationary(self) -> bool:
        """Whether only differences of rows matter."""
        return False

    def clone_with_theta(self, theta: Array) -> PartsKernel:
        """The same kernel at other hyperparameters."""
        return PartsKernel(self.widths, self.tail, tuple(map(float, theta)))


def regressor(kernel: PartsKernel, x: Array, y: Array) -> GaussianProcessRegressor:
    """The process given its data, at the kernel's hyperparameters."""
    return GaussianProcessRegressor(kernel, alpha=_JITTER, optimizer=None).fit(x, y)


def learnt(kernel: PartsKernel, x: Array, y: Array) -> PartsKernel:
    """The kernel at hyperparameters that maximise the marginal likelihood, by L-BFGS from its own."""
    process = regressor(kernel, x, y)

    def loss(theta: Array) -> tuple[float, Array]:
        value, gradient = process.log_marginal_likelihood(theta, eval_gradient=True, clone_kernel=False)
        return -value, -gradient

    found = minimize(
        loss, kernel.theta.copy(), jac=True, bounds=kernel.bounds, method="L-BFGS-B", options={"maxiter": _STEPS}
    )
    return kernel.clone_with_theta(found.x)
