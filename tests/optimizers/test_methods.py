"""Every update rule against its equation, and what it says about itself."""

import copy
import inspect
import itertools
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import latex2mathml.converter
import numpy as np
import pytest
import torch
from optimizer_references import REFERENCES, rmsprop_nesterov_iterates
from pydantic import TypeAdapter, ValidationError
from torch import nn

from losslab.optimizers import OPTIMIZERS, Method, Optimizer, at_iterate, choose

STEPS = 50
SETTINGS = [
    "adagrad",
    "adagrad(eps=1e-3, initial_accumulator_value=0.1)",
    "rmsprop",
    "rmsprop(rho=0.9, eps=1e-4)",
    "rmsprop(rho=0.0)",
    "rmsprop(momentum=0.9)",
    "rmsprop(centered=True, eps=1e-3)",
    "rmsprop(rho=0.9, momentum=0.5, centered=True, eps=1e-3)",
    "rmsprop-nesterov",
    "rmsprop-nesterov(rho=0.9, momentum=0.5, eps=1e-4)",
    "rmsprop-nesterov(momentum=0.0)",
    "rmsprop-nesterov(eps=1e-300)",
    "adadelta",
    "adadelta(rho=0.95, eps=1e-4)",
    "adam",
    "adam(betas=(0.8, 0.9), eps=1e-3)",
    "adam(betas=(0.0, 0.0))",
    "adam(betas=(0.8, 0.9), amsgrad=True)",
    "sgd",
    "sgd(momentum=0.9)",
    "sgd(momentum=0.9, nesterov=True)",
    "adamw",
    "adamw(betas=(0.8, 0.95), eps=1e-4)",
    "adamw(betas=(0.8, 0.9), amsgrad=True)",
    "nadam",
    "nadam(betas=(0.8, 0.95), eps=1e-4, momentum_decay=0.1)",
]
GROUP_LRS, SHAPES = (0.02, 0.005), [[(4, 3), (3,)], [(2, 2, 2)]]
every_method = pytest.mark.parametrize("name", OPTIMIZERS)


@pytest.fixture
def float64():
    """torch's default type is float64 inside; NAdam's running product follows the default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def gradient(point: np.ndarray, step: int) -> np.ndarray:
    """A gradient that depends on the point and changes each step."""
    return 0.7 * point + np.cos(
        2 * point + step * np.arange(1, point.size + 1).reshape(point.shape)
    )


def starts() -> list[list[np.ndarray]]:
    rng = np.random.default_rng(5)
    return [[rng.normal(size=shape) for shape in group] for group in SHAPES]


def built(
    method: Method, weights: list[list[np.ndarray]], decays: tuple[float, float]
) -> torch.optim.Optimizer:
    groups = [
        {
            "params": [torch.nn.Parameter(torch.tensor(w)) for w in group],
            "lr": lr,
            "weight_decay": decay,
        }
        for group, lr, decay in zip(weights, GROUP_LRS, decays, strict=True)
    ]
    return method.build(groups, 1.0)


def parameters(optimizer: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def advance(optimizer: torch.optim.Optimizer, step: int) -> None:
    for p in parameters(optimizer):
        p.grad = torch.tensor(gradient(p.detach().numpy(), step), dtype=p.dtype)
    optimizer.step()


def error(actual: torch.Tensor, expected: np.ndarray) -> float:
    """The largest error of any weight, relative to the tensor's largest: a weight may pass through 0."""
    return float(np.max(np.abs(actual.detach().numpy() - expected)) / np.max(np.abs(expected)))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    "decays", [(0.0, 0.0), (0.1, 0.1), (0.1, 0.0)], ids=["no L2", "L2", "L2 in one group"]
)
@pytest.mark.parametrize("setting", SETTINGS)
def test_follows_its_equation_step_by_step(setting, decays):
    method = choose(setting)
    optimizer = built(method, starts(), decays)
    options = method.model_dump(exclude={"name"})
    references = [
        REFERENCES[method.name](gradient, w, lr, decay, **options)
        for group, lr, decay in zip(starts(), GROUP_LRS, decays, strict=True)
        for w in group
    ]
    for step in range(1, STEPS + 1):
        advance(optimizer, step)
        for p, reference in zip(parameters(optimizer), references, strict=True):
            assert error(p, next(reference)) <= 1e-12


@pytest.mark.parametrize("decay", [0.0, 0.1], ids=["no L2", "L2"])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_one_point_form_equals_algorithm_8_6_with_two_points(momentum, decay):
    start = starts()[0][0]
    p = torch.nn.Parameter(torch.tensor(start))
    optimizer = choose({"name": "rmsprop-nesterov", "momentum": momentum, "eps": 1e-300}).build(
        [{"params": [p], "weight_decay": decay}], 0.02
    )
    literal = rmsprop_nesterov_iterates(
        gradient, start, 0.02, decay, momentum=momentum, eps=0.0
    )
    for step, (theta, look_ahead) in zip(range(1, STEPS + 1), literal, strict=False):
        advance(optimizer, step)
        assert error(p, look_ahead) <= 1e-12
        with at_iterate(optimizer):
            assert error(p, theta) <= 1e-12


def test_rmsprop_nesterov_without_momentum_is_rmsprop():
    twins = [
        built(choose(text), starts(), (0.1, 0.0))
        for text in ("rmsprop-nesterov(momentum=0.0)", "rmsprop")
    ]
    for step, twin in itertools.product(range(1, STEPS + 1), twins):
        advance(twin, step)
    for ours, torchs in zip(*map(parameters, twins), strict=True):
        assert error(ours, torchs.detach().numpy()) <= 1e-12


def test_iterate_stays_known_when_lr_and_momentum_change():
    optimizer = built(choose("rmsprop-nesterov"), starts(), (0.0, 0.0))
    for step in range(1, 11):
        with at_iterate(optimizer):
            before = [p.detach().clone() for p in parameters(optimizer)]
        shifted = [
            (p.detach() - theta) for p, theta in zip(parameters(optimizer), before, strict=True)
        ]
        for group in optimizer.param_groups:
            group["lr"], group["momentum"] = 0.1 / step, 0.9 - 0.05 * step
        advance(optimizer, step)
        with at_iterate(optimizer):
            for p, theta, shift in zip(parameters(optimizer), before, shifted, strict=True):
                root = optimizer.state[p]["square_avg"].sqrt() + 1e-8
                velocity = shift - 0.1 / step * p.grad / root
                torch.testing.assert_close(p.detach(), theta + velocity, rtol=1e-12, atol=1e-14)


def test_at_iterate_restores_every_bit_even_after_an_error():
    optimizer = built(choose("rmsprop-nesterov"), starts(), (0.1, 0.1))
    for step in range(1, 6):
        advance(optimizer, step)
    before = [p.detach().clone() for p in parameters(optimizer)]

    def evaluate() -> None:
        with at_iterate(optimizer):
            assert all(
                not torch.equal(p, b)
                for p, b in zip(parameters(optimizer), before, strict=True)
            )
            raise RuntimeError("evaluation failed")

    with pytest.raises(RuntimeError, match="evaluation failed"):
        evaluate()
    assert all(torch.equal(p, b) for p, b in zip(parameters(optimizer), before, strict=True))


def test_at_iterate_changes_nothing_for_other_methods():
    optimizer = built(choose("adam"), starts(), (0.1, 0.1))
    advance(optimizer, 1)
    before = [p.detach().clone() for p in parameters(optimizer)]
    with at_iterate(optimizer):
        assert all(
            torch.equal(p, b) for p, b in zip(parameters(optimizer), before, strict=True)
        )


def test_first_steps_of_adam_and_rmsprop_are_as_long_as_their_texts_say():
    lengths = {}
    for name in ("adam", "rmsprop"):
        p = torch.nn.Parameter(torch.tensor([3.0], dtype=torch.float64))
        optimizer = choose(name).build([{"params": [p]}], 0.01)
        p.grad = torch.full_like(p, 5.0)
        optimizer.step()
        lengths[name] = 3.0 - p.item()
    assert lengths == pytest.approx({"adam": 0.01, "rmsprop": 0.1}, rel=1e-6)


CONVERGENCE = [  # method, lr and steps for the quadratic; lr and steps for Rosenbrock
    ("adagrad", 1.0, 300, 0.5, 3000),
    ("rmsprop", 0.003, 1500, 0.001, 4000),
    ("rmsprop-nesterov", 0.0005, 1500, 0.0001, 4000),
    ("adadelta", 0.1, 4000, 0.1, 4000),
    ("adam", 0.1, 500, 0.02, 3000),
    ("sgd(momentum=0.9, nesterov=True)", 0.05, 300, 0.0005, 4000),
    ("adamw", 0.1, 500, 0.02, 3000),
    ("nadam", 0.1, 500, 0.02, 3000),
]


def minimum_found(text: str, loss, start: list[float], lr: float, steps: int) -> float:
    p = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
    optimizer = choose(text).build([{"params": [p]}], lr)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(p).backward()
        optimizer.step()
    with at_iterate(optimizer), torch.no_grad():
        return loss(p).item()


@pytest.mark.parametrize(
    ("text", "lr", "steps"), [c[:3] for c in CONVERGENCE], ids=[c[0] for c in CONVERGENCE]
)
def test_minimises_a_quadratic(text, lr, steps):
    scales = torch.tensor([10.0, 3.0, 1.0], dtype=torch.float64)
    assert (
        minimum_found(text, lambda p: (scales * p**2).sum() / 2, [1.0, -2.0, 1.5], lr, steps)
        < 1e-4
    )


@pytest.mark.parametrize(
    ("text", "lr", "steps"),
    [(c[0], *c[3:]) for c in CONVERGENCE],
    ids=[c[0] for c in CONVERGENCE],
)
def test_descends_rosenbrocks_valley(text, lr, steps):
    def rosenbrock(p):
        return (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2

    assert minimum_found(text, rosenbrock, [-1.2, 1.0], lr, steps) < 0.05  # 24.2 at the start


@every_method
def test_state_dict_round_trip_continues_bit_equal(name):
    first = built(
        choose(name), [[w.astype(np.float32) for w in group] for group in starts()], (0.1, 0.0)
    )
    for step in range(1, 11):
        advance(first, step)
    weights = [
        [p.detach().numpy().copy() for p in group["params"]] for group in first.param_groups
    ]
    second = built(choose(name), weights, (0.0, 0.0))
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for step, optimizer in itertools.product(range(11, 21), (first, second)):
        advance(optimizer, step)
    assert all(
        torch.equal(a, b) for a, b in zip(parameters(first), parameters(second), strict=True)
    )


@every_method
def test_trains_a_float32_network_and_leaves_silent_units_finite(name):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))
    with torch.no_grad():
        model[0].bias[:4] = -100.0  # these units never fire, so their gradients stay exactly 0
    inputs = torch.randn(32, 8)
    target = inputs.sum(1, keepdim=True)
    method = choose(name)
    optimizer = method.build([{"params": model.parameters()}], method.default_lr)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(inputs), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in model.parameters())


@every_method
def test_a_group_without_weight_decay_has_none(name):
    optimizer = choose(name).build([{"params": [torch.nn.Parameter(torch.ones(2))]}], 0.1)
    assert optimizer.param_groups[0]["weight_decay"] == 0.0


@every_method
def test_a_parameter_without_gradient_is_left_alone(name):
    used, unused = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    optimizer = choose(name).build([{"params": [used, unused], "weight_decay": 0.1}], 0.1)
    used.grad = torch.ones(2)
    optimizer.step()
    assert torch.equal(unused, torch.ones(2))
    assert not torch.equal(used, torch.ones(2))


@every_method
def test_a_closure_is_run_with_gradients_and_its_loss_returned(name):
    p = torch.nn.Parameter(torch.ones(2))
    optimizer = choose(name).build([{"params": [p]}], 0.1)

    def closure():
        optimizer.zero_grad()
        loss = (p**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 2.0


@every_method
def test_negative_lr_is_refused(name):
    with pytest.raises(ValueError, match=r"-0\.1"):
        choose(name).build([{"params": [torch.nn.Parameter(torch.ones(1))]}], -0.1)


def test_one_fused_pass_on_the_cpu_where_torch_has_one():
    group = {"params": [torch.nn.Parameter(torch.ones(1))]}
    fused = {
        name
        for name in OPTIMIZERS
        if choose(name).build([dict(group)], 0.1).defaults.get("fused")
    }
    assert fused == {"adagrad", "adam", "adamw", "sgd"}


TORCH_DEFAULTS = {  # ours: (torch's class, {our field: torch's argument where the name differs})
    "adagrad": (torch.optim.Adagrad, {}),
    "rmsprop": (torch.optim.RMSprop, {"rho": "alpha"}),
    "adadelta": (torch.optim.Adadelta, {}),
    "adam": (torch.optim.Adam, {}),
    "sgd": (torch.optim.SGD, {}),
    "adamw": (torch.optim.AdamW, {}),
    "nadam": (torch.optim.NAdam, {}),
}


@pytest.mark.parametrize("name", TORCH_DEFAULTS)
def test_defaults_are_torchs(name):
    torch_class, renamed = TORCH_DEFAULTS[name]
    signature = inspect.signature(torch_class).parameters
    method = choose(name)
    assert method.default_lr == signature["lr"].default
    for field, value in method.model_dump(exclude={"name"}).items():
        assert value == signature[renamed.get(field, field)].default


@pytest.mark.parametrize(
    ("choice", "path"),
    [
        ("adagrad(eps=0)", ("adagrad", "eps")),
        ("adagrad(initial_accumulator_value=-1)", ("adagrad", "initial_accumulator_value")),
        ("rmsprop(rho=1)", ("rmsprop", "rho")),
        ("rmsprop(momentum=1.0)", ("rmsprop", "momentum")),
        ("rmsprop-nesterov(momentum=1.0)", ("rmsprop-nesterov", "momentum")),
        ("rmsprop-nesterov(eps=0)", ("rmsprop-nesterov", "eps")),
        ("adadelta(rho=-0.1)", ("adadelta", "rho")),
        ("adam(betas=(0.9, 1.0))", ("adam", "betas", 1)),
        ("adam(beta1=0.9)", ("adam", "beta1")),
        ("adamw(eps=-1e-8)", ("adamw", "eps")),
        ("nadam(momentum_decay=-1)", ("nadam", "momentum_decay")),
        ("sgd(momentum=-0.9)", ("sgd", "momentum")),
        ("sgd(nesterov=True)", ("sgd",)),
    ],
)
def test_a_hyperparameter_out_of_bounds_is_refused_at_its_path(choice, path):
    with pytest.raises(ValidationError) as caught:
        choose(choice)
    assert [fault["loc"] for fault in caught.value.errors()] == [path]


def test_nesterov_without_momentum_says_what_to_do():
    with pytest.raises(
        ValidationError, match=r"`nesterov` \(=True\) needs `momentum` \(=0.0\) above 0"
    ):
        choose("sgd(nesterov=True)")


@pytest.mark.parametrize("choice", ["adm", {"name": "adm"}])
def test_an_unknown_name_suggests_the_nearest(choice):
    with pytest.raises(ValidationError, match="unknown optimizer 'adm'; did you mean 'adam'"):
        choose(choice)


def test_text_table_and_method_are_one_choice():
    method = choose("adam(betas=(0.9, 0.95))")
    assert method == choose({"name": "adam", "betas": [0.9, 0.95]}) == choose(method)
    assert TypeAdapter(Optimizer).validate_json(method.model_dump_json()) == method


def test_names_are_the_keys_of_the_dict():
    assert {
        name: method.model_fields["name"].default for name, method in OPTIMIZERS.items()
    } == {n: n for n in OPTIMIZERS}


@every_method
def test_every_equation_and_term_converts_to_mathml(name):
    method = OPTIMIZERS[name]
    for latex in (*method.equations, *method.terms):
        mathml = latex2mathml.converter.convert(latex)
        assert mathml.startswith("<math")
        assert "\\" not in mathml


@every_method
def test_every_method_describes_itself_and_its_hyperparameters(name):
    method = OPTIMIZERS[name]
    assert all((method.title, method.differences, method.reference))
    assert method.default_lr > 0
    assert bool(method.versus_rmsprop) == (name != "rmsprop")
    for field, info in method.model_fields.items():
        assert field == "name" or ";" in info.description  # what it is; source of the default


@every_method
def test_docs_define_every_method(name):
    page = (Path(__file__).parents[2] / "docs" / "optimizers.md").read_text()
    assert f"`{name}`" in page
    assert OPTIMIZERS[name].reference in page


def test_importing_the_optimizers_does_not_import_torch():
    code = "import sys, losslab.optimizers; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("text", "build"),
    [
        ("adagrad", torch.optim.Adagrad),
        ("rmsprop", torch.optim.RMSprop),
        ("adadelta", torch.optim.Adadelta),
        ("nadam", torch.optim.NAdam),
        ("adam", torch.optim.Adam),
        ("sgd(momentum=0.9)", partial(torch.optim.SGD, momentum=0.9)),
    ],
)
def test_complex_weights_are_those_of_torch(text: str, build: Callable[..., Any]) -> None:
    ours, torchs = (nn.Parameter(torch.tensor([1 + 2j, 3 - 1j])) for _ in range(2))
    optimizers = [choose(text).build([{"params": [ours]}], lr=0.1), build([torchs], lr=0.1)]
    for gradient in (0.5 - 1j, -0.25 + 2j):
        for weights, optimizer in zip((ours, torchs), optimizers, strict=True):
            weights.grad = torch.full_like(weights, gradient)
            optimizer.step()
    assert torch.equal(ours.detach(), torchs.detach())
