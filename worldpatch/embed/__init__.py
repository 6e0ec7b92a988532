"""Video encoders: frames -> features. One file per encoder; captioner, distances and dedup share the one that ships.

Each has a `Config` and a `Model(config)` with `encode(frames "b 3 t h w" in [-1, 1]) -> "b d"`, one vector per clip of
any size and length, and `tokens(frames) -> "b n e"`, features in place and time.
"""
