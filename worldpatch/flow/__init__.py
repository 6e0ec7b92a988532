"""Noise paths, time sampling, losses, guidance, samplers and the context cache. A model here is any callable."""
