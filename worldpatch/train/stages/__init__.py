"""One file per thing that can be trained; see `train.loop.Task` for what a stage brings."""
