"""Range tests of modules wrapped by DistributedDataParallel and by FSDP2, in two processes."""

import multiprocessing
import socket
from typing import Any

import pytest
import torch
from wrapped_samples import find_as_one_of_two, loader, network

import losslab

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("kind", ["ddp", "fsdp2"])
def test_two_processes_find_what_one_finds_and_leave_all_as_it_was(kind: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    running = [
        context.Process(target=find_as_one_of_two, args=(rank, port, kind, results))
        for rank in range(2)
    ]
    for process in running:
        process.start()
    answers = sorted((results.get(timeout=120) for _ in running), key=lambda answer: answer[0])
    for process in running:
        process.join()
    (_, plain, accumulated, *first), (_, other, other_accumulated, *second) = answers
    assert first == second == [True, True]
    assert (plain, accumulated) == (other, other_accumulated)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    options: dict[str, Any] = {"steps": 60, "seeds": 1, "start": 1e-5, "end": 1.0}
    alone = losslab.find_lr(model, loader(), optimizer, **options)
    both = losslab.find_lr(model, loader(), optimizer, accumulate=2, clip_norm=0.5, **options)
    # The same batches in two halves: sums in another order.
    assert plain[:40] == pytest.approx(alone.curve.loss[:40], rel=1e-3)
    assert accumulated[:40] == pytest.approx(both.curve.loss[:40], rel=1e-3)
