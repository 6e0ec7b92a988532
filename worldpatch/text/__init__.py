"""Captions -> conditioning tokens. One file per encoder; each has `Config`, `Encoder(config, ...)` and `encode`."""
