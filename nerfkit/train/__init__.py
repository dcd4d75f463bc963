"""One trainer for all scene models: schedule, loop, checkpoints, evaluation, report."""
