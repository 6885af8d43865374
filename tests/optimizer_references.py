"""The update rules in numpy, written from the papers' equations and sharing nothing with losslab.

Each takes the gradient function of one tensor (point, step -> gradient), its weights, lr and weight_decay, and yields
what the parameters hold after each step.
"""

from collections.abc import Callable, Iterator

import numpy as np

Array = np.ndarray
Gradient = Callable[[Array, int], Array]


def adagrad(
    grad: Gradient, w: Array, lr: float, wd: float, *, eps=1e-10, initial_accumulator_value=0.0
):
    total = np.full_like(w, initial_accumulator_value)
    for t in range(1, 10**9):
        g = grad(w, t) + wd * w
        total = total + g**2
        w = w - lr * g / (np.sqrt(total) + eps)
        yield w


def rmsprop(
    grad: Gradient,
    w: Array,
    lr: float,
    wd: float,
    *,
    rho=0.99,
    eps=1e-8,
    momentum=0.0,
    centered=False,
):
    """With momentum, a heavy ball of quotients; centred, a moving variance about the moving mean in place of v."""
    v, mean, ball = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    for t in range(1, 10**9):
        g = grad(w, t) + wd * w
        v = rho * v + (1 - rho) * g**2
        mean = rho * mean + (1 - rho) * g
        ball = momentum * ball + g / (np.sqrt(v - mean**2 if centered else v) + eps)
        w = w - lr * ball
        yield w


def rmsprop_nesterov_iterates(
    grad: Gradient, w: Array, lr: float, wd: float, *, rho=0.99, momentum=0.9, eps=1e-8
) -> Iterator[tuple[Array, Array]]:
    """Algorithm 8.6 to the letter, two points a step: yields theta and the next look-ahead point."""
    u, r = np.zeros_like(w), np.zeros_like(w)
    for t in range(1, 10**9):
        interim = w + momentum * u
        g = grad(interim, t) + wd * interim
        r = rho * r + (1 - rho) * g**2
        u = momentum * u - lr * g / (np.sqrt(r) + eps)
        w = w + u
        yield w, w + momentum * u


def rmsprop_nesterov(grad: Gradient, w: Array, lr: float, wd: float, **options):
    for _, look_ahead in rmsprop_nesterov_iterates(grad, w, lr, wd, **options):
        yield look_ahead


def adadelta(grad: Gradient, w: Array, lr: float, wd: float, *, rho=0.9, eps=1e-6):
    v, d = np.zeros_like(w), np.zeros_like(w)
    for t in range(1, 10**9):
        g = grad(w, t) + wd * w
        v = rho * v + (1 - rho) * g**2
        delta = -np.sqrt(d + eps) / np.sqrt(v + eps) * g
        d = rho * d + (1 - rho) * delta**2
        w = w + lr * delta
        yield w


def adam(
    grad: Gradient,
    w: Array,
    lr: float,
    wd: float,
    *,
    betas=(0.9, 0.999),
    eps=1e-8,
    amsgrad=False,
):
    m, v, largest = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    for t in range(1, 10**9):
        g = grad(w, t) + wd * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        largest = np.maximum(largest, v) if amsgrad else v
        m_hat, v_hat = m / (1 - betas[0] ** t), largest / (1 - betas[1] ** t)
        w = w - lr * m_hat / (np.sqrt(v_hat) + eps)
        yield w


def adamw(
    grad: Gradient,
    w: Array,
    lr: float,
    wd: float,
    *,
    betas=(0.9, 0.999),
    eps=1e-8,
    amsgrad=False,
):
    m, v, largest = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    for t in range(1, 10**9):
        g = grad(w, t)
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        largest = np.maximum(largest, v) if amsgrad else v
        m_hat, v_hat = m / (1 - betas[0] ** t), largest / (1 - betas[1] ** t)
        w = w - lr * (m_hat / (np.sqrt(v_hat) + eps) + wd * w)
        yield w


def nadam(
    grad: Gradient,
    w: Array,
    lr: float,
    wd: float,
    *,
    betas=(0.9, 0.999),
    eps=1e-8,
    momentum_decay=4e-3,
):
    m, v, product = np.zeros_like(w), np.zeros_like(w), 1.0
    for t in range(1, 10**9):
        mu, mu_next = (betas[0] * (1 - 0.5 * 0.96 ** (k * momentum_decay)) for k in (t, t + 1))
        product *= mu
        g = grad(w, t) + wd * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        m_hat = mu_next * m / (1 - product * mu_next) + (1 - mu) * g / (1 - product)
        w = w - lr * m_hat / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
        yield w


def sgd(grad: Gradient, w: Array, lr: float, wd: float, *, momentum=0.0, nesterov=False):
    """The paper's velocity, learning rate included; with nesterov, its two points, and the look-ahead is yielded."""
    v = np.zeros_like(w)
    for t in range(1, 10**9):
        point = w + momentum * v if nesterov else w
        v = momentum * v - lr * (grad(point, t) + wd * point)
        w = w + v
        yield w + momentum * v if nesterov else w


REFERENCES = {
    "adagrad": adagrad,
    "rmsprop": rmsprop,
    "rmsprop-nesterov": rmsprop_nesterov,
    "adadelta": adadelta,
    "adam": adam,
    "sgd": sgd,
    "adamw": adamw,
    "nadam": nadam,
}
