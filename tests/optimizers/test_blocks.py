"""Steps in blocks: the bits of torch's loop over whole tensors, and the shape of the blocks."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from math import prod

import pytest
import torch
from optimizer_samples import Groups, give_gradients, in_groups, parameters

from losslab.optimizers import at_iterate, choose
from losslab.optimizers._blocks import BLOCK, Operands, blocks

TORCHS: dict[str, Callable[[Groups], torch.optim.Optimizer]] = {
    "rmsprop": lambda groups: torch.optim.RMSprop(groups, 0.01, foreach=False),
    "rmsprop(momentum=0.9)": lambda groups: torch.optim.RMSprop(
        groups, 0.01, momentum=0.9, foreach=False
    ),
    "rmsprop(centered=True)": lambda groups: torch.optim.RMSprop(
        groups, 0.01, centered=True, foreach=False
    ),
    "rmsprop(rho=0.9, momentum=0.5, centered=True)": lambda groups: torch.optim.RMSprop(
        groups, 0.01, alpha=0.9, momentum=0.5, centered=True, foreach=False
    ),
    "adadelta(rho=0.95)": lambda groups: torch.optim.Adadelta(
        groups, 0.01, rho=0.95, foreach=False
    ),
    "nadam(momentum_decay=0.1)": lambda groups: torch.optim.NAdam(
        groups, 0.01, momentum_decay=0.1, foreach=False
    ),
}
"""Ours -> the optimizer of torch that trained such runs before, a loop over whole tensors."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("text", "threads"), [*((text, 1) for text in TORCHS), ("rmsprop", 2)])
def test_weights_and_state_have_the_bits_of_torchs_loop_over_whole_tensors(
    text: str, threads: int
) -> None:
    torch.set_num_threads(threads)
    ours, torchs = parameters(), parameters()
    in_blocks, whole = (
        choose(text).build(in_groups(ours), 0.01),
        TORCHS[text](in_groups(torchs)),
    )
    for step in range(5):
        for weights, optimizer in ((ours, in_blocks), (torchs, whole)):
            give_gradients(weights, step)
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(ours, torchs, strict=True))
    for a, b in zip(ours, torchs, strict=True):
        assert in_blocks.state[a].keys() == whole.state[b].keys()
        assert all(
            torch.equal(in_blocks.state[a][key], whole.state[b][key]) for key in whole.state[b]
        )


def test_rmsprop_nesterov_has_the_bits_of_a_loop_over_whole_tensors() -> None:
    ours, theirs = parameters(), [weight.detach().clone() for weight in parameters()]
    squares, shifts = (
        [torch.zeros_like(w) for w in theirs],
        [torch.zeros_like(w) for w in theirs],
    )
    optimizer = choose("rmsprop-nesterov").build([{"params": ours, "weight_decay": 0.1}], 0.01)
    for step in range(4):
        give_gradients(ours, step)
        gradients = [None if weight.grad is None else weight.grad.clone() for weight in ours]
        optimizer.step()
        for weights, gradient, square, shift in zip(
            theirs, gradients, squares, shifts, strict=True
        ):
            if gradient is None:
                continue
            penalised = gradient.add(weights, alpha=0.1)
            square.mul_(0.99).addcmul_(penalised, penalised, value=1 - 0.99)
            root = square.sqrt().add_(1e-8)
            weights.addcdiv_(penalised, root, value=-0.01)
            shift.addcdiv_(penalised, root, value=-0.01)
            weights.add_(shift.mul_(0.9))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    with at_iterate(optimizer):
        assert all(torch.equal(a, b - s) for a, b, s in zip(ours, theirs, shifts, strict=True))


@pytest.mark.parametrize("text", list(TORCHS)[:5:4])
def test_a_state_of_torchs_optimizer_goes_on(text: str) -> None:
    ours, torchs = parameters(), parameters()
    whole = TORCHS[text](in_groups(torchs))
    give_gradients(torchs, 0)
    whole.step()
    in_blocks = choose(text).build(in_groups(ours), 0.01)
    own_groups = in_blocks.state_dict()["param_groups"]
    in_blocks.load_state_dict(
        {"state": deepcopy(whole.state_dict()["state"]), "param_groups": own_groups}
    )
    for a, b in zip(ours, torchs, strict=True):
        a.data.copy_(b.data)
    for weights, optimizer in ((ours, in_blocks), (torchs, whole)):
        give_gradients(weights, 1)
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(ours, torchs, strict=True))


def operands(shapes: list[tuple[int, ...]], device: str = "cpu") -> Operands:
    tensors = [torch.empty(shape, device=device) for shape in shapes]
    return Operands(tensors, tensors, {"state": tensors}, [{"lr": 1.0}] * len(tensors))


def test_small_tensors_share_a_block_and_large_ones_are_cut_by_rows() -> None:
    shapes = [(10,), (20, 3), (BLOCK - 60,), (5,), (4, BLOCK // 2)]
    sizes = [[tensor.numel() for tensor in block[0]] for block in blocks(operands(shapes))]
    assert sizes == [[10, 60], [BLOCK - 60, 5], [BLOCK], [BLOCK]]
    assert sum(map(sum, sizes)) == sum(map(prod, shapes))


def test_a_block_holds_parameters_of_the_same_numbers_alone() -> None:
    given = operands([(3,), (3,), (3,)])
    given.numbers[2] = {"lr": 2.0}
    assert [(len(weights), numbers) for weights, _, _, numbers in blocks(given)] == [
        (2, {"lr": 1.0}),
        (1, {"lr": 2.0}),
    ]


def test_a_block_is_a_view_of_the_weights() -> None:
    given = operands([(3, BLOCK)])
    for weights, _, slots, _ in blocks(given):
        assert all(piece._base is given.weights[0] for piece in (*weights, *slots["state"]))


@pytest.mark.parametrize("text", ["rmsprop", "rmsprop-nesterov", "adadelta", "nadam"])
def test_a_group_in_which_nothing_has_a_gradient_is_passed_over(text: str) -> None:
    frozen, used = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    optimizer = choose(text).build([{"params": [frozen]}, {"params": [used]}], 0.1)
    used.grad = torch.ones(2)
    optimizer.step()
    assert not optimizer.state[frozen]
    assert not torch.equal(used, torch.ones(2))


@pytest.mark.parametrize("text", ["rmsprop", "nadam"])
def test_a_copy_of_the_optimizer_steps(text: str) -> None:
    copied = deepcopy(
        choose(text).build([{"params": [torch.nn.Parameter(torch.ones(2))]}], 0.1)
    )
    weight = copied.param_groups[0]["params"][0]
    weight.grad = torch.ones(2)
    copied.step()
    assert not torch.equal(weight, torch.ones(2))
