"""Search for the best learning rate within a found range, and stop trials that fall behind.

Run it with ``python examples/optuna_search.py``; it needs ``pip install losslab[optuna]`` and a minute of one core.
A range test says where training works at all. Optuna searches between its ends, begins with the test's own suggestion,
and prunes: a run of losslab is a generator of records, so that a trial ends by leaving its loop.
"""

import argparse
from functools import partial

import optuna
import torch
from torch.utils.data import DataLoader, TensorDataset

import losslab
from losslab.data import load_images
from losslab.integrations.optuna import suggest_lr
from losslab.models.lenet import lenet5
from losslab.records import Evaluation
from losslab.spec import make_run


def find_range(data: str, steps: int) -> losslab.LrRange:
    """The range of Adam for LeNet-5 on a data set."""
    dataset = load_images(data)
    images = torch.from_numpy(dataset.train_images).float() / 255
    loader = DataLoader(
        TensorDataset(images, torch.from_numpy(dataset.train_labels)), 64, shuffle=True
    )
    torch.manual_seed(0)
    model = lenet5(input_shape=images.shape[1:], classes=len(dataset.classes))
    return losslab.find_lr(model, loader, "adam", start=1e-6, end=1.0, steps=steps)


def objective(
    trial: optuna.Trial, *, found: losslab.LrRange, data: str, epochs: int, images: int
) -> float:
    """The validation loss of a run whose learning rate Optuna suggests."""
    run = make_run(
        {
            "data": {"name": data, "train_images": images},
            "model": "lenet5",
            "optimizer": "adam",
            "lr": suggest_lr(trial, found),
            "batch": 64,
            "epochs": epochs,
            "test": False,
        }
    )
    loss = float("inf")
    for record in losslab.train(run):
        if not isinstance(record, Evaluation):
            continue
        assert record.validation_loss is not None
        loss = record.validation_loss
        trial.report(loss, record.step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return loss


def search(
    data: str = "fashion-mnist-sample",
    *,
    steps: int = 150,
    trials: int = 10,
    epochs: int = 4,
    images: int = 4500,
) -> optuna.Study:
    """Find the range, then search within it."""
    found = find_range(data, steps)
    sampler = optuna.samplers.TPESampler(seed=0)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=2)
    study = optuna.create_study(sampler=sampler, pruner=pruner)
    study.enqueue_trial({"lr": found.suggestion})
    study.optimize(
        partial(objective, found=found, data=data, epochs=epochs, images=images),
        n_trials=trials,
        # A run that diverges is a trial that failed; the search goes on.
        catch=(losslab.LosslabError,),
    )
    print(f"range {found.lr_min:.2g} to {found.lr_max:.2g}, suggestion {found.suggestion:.2g}")
    pruned = sum(trial.state == optuna.trial.TrialState.PRUNED for trial in study.trials)
    print(
        f"best of {trials} trials, {pruned} of them pruned: lr {study.best_params['lr']:.2g}, "
        f"validation loss {study.best_value:.3f}"
    )
    return study


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="fashion-mnist-sample")
    parser.add_argument("--trials", type=int, default=10)
    arguments = parser.parse_args()
    search(arguments.data, trials=arguments.trials)
