"""Run folders as trainings leave them, for tests of what is shown; nothing was trained."""

from standing import standing_policy

from walkies.deploy import policy_file
from walkies.files import write_json
from walkies.run import loggers
from walkies.run.config import TrainConfig
from walkies.run.folders import to_dict, versions

CARD = {
    "passed": True, "survival": 1.0, "lin_vel_error": 0.05, "yaw_rate_error": 0.11, "episodes": 100, "seed": 0,
    "episode_seconds": 20.0, "falls": [],
    "marks": [{"key": "survival", "name": "survival <b>", "value": 1.0, "unit": "", "pass_mark": 0.99, "at_least": True,
               "gates": True, "met": True}],
}  # fmt: skip


def a_run(folder, seed=0, **changes):
    folder.mkdir(parents=True)
    write_json(folder / "config.json", {**to_dict(TrainConfig(seed=seed, out=folder)), **changes})
    write_json(folder / "versions.json", versions())
    write_json(folder / "report.json", CARD)
    policy_file.write(folder / "policy.json", standing_policy())
    logger = loggers.CsvLogger(folder / "progress.csv")
    for i in range(5):
        logger.log({"steps": 1000 * i, "seconds": 1.0 * i, "steps_per_s": 1000.0, "reward": 0.1 * i})
    logger.close()
    return folder


BOX = {
    "box": "course", "robots": 100, "seconds": 20.0, "survival": {"value": 0.97, "low": 0.92, "high": 0.99},
    "required": 0.99, "passed": False,
}  # fmt: skip
