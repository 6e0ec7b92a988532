"""Autoencoders: frames to latents and back, one file each; each states its latents' geometry as a `LatentSpec`."""
