"""Compiled steps: the numbers of those that are not, and their state for good in checkpoints."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from optimizer_samples import give_gradients, in_groups, needs_compiler, parameters

from losslab.errors import InvalidInput
from losslab.optimizers import OPTIMIZERS, choose
from losslab.optimizers._block_step import BlockStep
from losslab.optimizers.compiled import Shelf, compiled

pytestmark = pytest.mark.filterwarnings(
    "ignore:.torch.jit.script_method. is deprecated:DeprecationWarning"
)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


RULES = [
    "rmsprop(rho=0.9, momentum=0.5, centered=True)",
    "rmsprop-nesterov",
    "adadelta(rho=0.95)",
    "nadam(momentum_decay=0.1)",
]


def train(
    optimizer: torch.optim.Optimizer, weights: list[torch.nn.Parameter], steps: range
) -> None:
    """Steps at rates that change; gradients that depend on the step alone, so that rounding does not grow."""
    for step in steps:
        for group in optimizer.param_groups:
            group["lr"] = 0.01 / (1 + step)
        kept = [weight.detach().clone() for weight in weights]
        for weight, start in zip(weights, parameters(), strict=True):
            weight.data.copy_(start)
        give_gradients(weights, step)
        for weight, value in zip(weights, kept, strict=True):
            weight.data.copy_(value)
        optimizer.step()


def assert_close(first: list[torch.Tensor], second: list[torch.Tensor]) -> None:
    for a, b in zip(first, second, strict=True):
        assert float((a - b).abs().max()) <= 1e-6 * max(1.0, float(a.abs().max()))


@needs_compiler
@pytest.mark.parametrize("text", RULES)
def test_steps_are_those_that_are_not_compiled_to_rounding(text: str) -> None:
    plain, fast = parameters(), parameters()
    train(choose(text).build(in_groups(plain), 0.01), plain, range(5))
    train(compiled(choose(text).build(in_groups(fast), 0.01)), fast, range(5))
    assert_close([w.detach() for w in plain], [w.detach() for w in fast])


@needs_compiler
def test_a_state_that_is_loaded_is_the_one_that_is_used() -> None:
    weights = parameters()
    first = compiled(choose("rmsprop").build(in_groups(weights), 0.01))
    train(first, weights, range(2))
    kept, state = [w.detach().clone() for w in weights], copy.deepcopy(first.state_dict())
    train(first, weights, range(2, 4))
    after = [w.detach().clone() for w in weights]
    for weight, value in zip(weights, kept, strict=True):
        weight.data.copy_(value)
    first.load_state_dict(state)
    train(first, weights, range(2, 4))
    assert all(torch.equal(a, w) for a, w in zip(after, weights, strict=True))


@needs_compiler
def test_steps_compile_nothing_more_whatever_the_network() -> None:
    weights = parameters()
    optimizer = compiled(choose("rmsprop-nesterov").build(in_groups(weights), 0.01))
    compiled_before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    train(optimizer, weights, range(3))
    others = [torch.nn.Parameter(torch.ones(300, 300)), torch.nn.Parameter(torch.ones(3))]
    give_gradients(others, 0)
    compiled(choose("rmsprop-nesterov").build([{"params": others}], 0.01)).step()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == compiled_before > 0


@pytest.mark.parametrize("text", sorted(OPTIMIZERS))
def test_a_method_says_whether_its_step_can_be_compiled(text: str) -> None:
    method = choose(text)
    optimizer = method.build([{"params": [torch.nn.Parameter(torch.ones(2))]}], 0.1)
    assert method.compiles == (optimizer.defaults.get("fused") is None)


@pytest.mark.parametrize(
    "optimizer", [torch.optim.RAdam, lambda groups: choose("adam").build(groups, 0.1)]
)
def test_an_optimizer_without_such_a_step_is_refused(
    optimizer: Callable[[Any], torch.optim.Optimizer],
) -> None:
    built = optimizer([{"params": [torch.nn.Parameter(torch.ones(2))]}])
    with pytest.raises(InvalidInput, match=r"^`compile_step`: R?Adam has no step to compile"):
        compiled(built)


def test_a_machine_without_a_compiler_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    optimizer = choose("rmsprop").build([{"params": [torch.nn.Parameter(torch.ones(2))]}], 0.1)
    with pytest.raises(InvalidInput, match="there is no no-such-compiler"):
        compiled(optimizer)


def test_another_device_than_the_processor_is_refused() -> None:
    weights = torch.nn.Parameter(torch.ones(2, device="meta"))
    optimizer = choose("rmsprop").build([{"params": [weights]}], 0.1)
    with pytest.raises(InvalidInput, match="compiled on a CPU alone, not on meta"):
        compiled(optimizer)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_method_says_whether_its_step_is_compiled(name: str) -> None:
    optimizer = choose(name).build(in_groups([torch.nn.Parameter(torch.ones(2))]), 0.01)
    assert isinstance(optimizer, BlockStep) == choose(name).compiles


def test_small_weights_share_no_memory_though_they_have_gaps_in_theirs() -> None:
    part, other = torch.zeros(6, 4)[:, :2], torch.ones(5)
    shelf = Shelf([part, other], {})
    shelf.weights[1].fill_(7.0)
    shelf.weights[0].fill_(3.0)
    assert (shelf.weights[0].tolist(), shelf.weights[1].tolist()) == (
        [[3.0] * 2] * 6,
        [7.0] * 5,
    )


@needs_compiler
def test_small_weights_of_two_types_keep_theirs() -> None:
    weights = [
        torch.nn.Parameter(torch.ones(4, dtype=kind)) for kind in (torch.float32, torch.float64)
    ]
    optimizer = compiled(choose("rmsprop").build([{"params": weights}], 0.01))
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    assert [optimizer.state[weight]["square_avg"].dtype for weight in weights] == [
        torch.float32,
        torch.float64,
    ]


@needs_compiler
def test_complex_weights_have_no_compiled_step() -> None:
    weights = torch.nn.Parameter(torch.ones(4, dtype=torch.complex64))
    with pytest.raises(InvalidInput, match="complex weights have no compiled step"):
        compiled(choose("rmsprop").build([{"params": [weights]}], 0.01))
