"""Autoencoders: frames to latents and back, one file each; each states the geometry of its latents as a `LatentSpec`."""
