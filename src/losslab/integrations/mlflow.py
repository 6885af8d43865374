"""Records as MLflow runs; needs the extra ``mlflow``, which is the small mlflow-skinny."""

import os
from collections.abc import Mapping
from pathlib import Path

from losslab.integrations.scalars import scalars
from losslab.study.fields import flat_fields
from losslab.study.results import RunResult

STATUSES = {
    "new": "SCHEDULED",
    "running": "RUNNING",
    "done": "FINISHED",
    "interrupted": "KILLED",
}
"""What MLflow calls how a run is; all others failed."""
MOST_AT_ONCE = 1000
"""Metrics that MLflow takes in one request."""


def export(study: str, runs: Mapping[str, RunResult], out: Path | str) -> None:
    """Write each run's numbers and spec as an MLflow run in the experiment STUDY.

    Args:
        study: name of the study, and of the experiment, which is created when absent.
        runs: name -> run.
        out: a folder, or the address of an MLflow server.
    """
    if isinstance(out, Path):
        os.environ["MLFLOW_ALLOW_FILE_STORE"] = (
            "true"  # MLflow 3.7 and newer refuse folders otherwise
        )
        out = out.resolve().as_uri()
    # After the variable, which MLflow reads when it is imported.
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag

    client = MlflowClient(tracking_uri=out)
    found = client.get_experiment_by_name(study)
    experiment = found.experiment_id if found else client.create_experiment(study)
    for name, result in runs.items():
        run_id = client.create_run(experiment, run_name=name).info.run_id
        spec = flat_fields(result.run.model_dump(mode="json", exclude_none=True))
        client.log_batch(run_id, params=[Param(key, str(value)) for key, value in spec.items()])
        client.log_batch(
            run_id,
            tags=[RunTag("losslab.id", result.run.id), RunTag("losslab.status", result.status)],
        )
        metrics = [
            # A timestamp in milliseconds, here of training: MLflow's relative time then is the run's own.
            Metric(scalar.name, scalar.value, round(1000 * scalar.seconds), scalar.step)
            for scalar in scalars(result)
        ]
        for start in range(0, len(metrics), MOST_AT_ONCE):
            client.log_batch(run_id, metrics[start : start + MOST_AT_ONCE])
        status = STATUSES.get(result.status, "FAILED")
        if status in {"SCHEDULED", "RUNNING"}:
            client.update_run(run_id, status)
        else:
            client.set_terminated(run_id, status)
