"""A tiny model with random weights in the files of a real one, so that all paths can be tested in seconds."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Generator, nn

from worldpatch import config
from worldpatch.dit import packed
from worldpatch.text import bytepair
from worldpatch.vae import causal

CAPTIONS = ("a red ball falls", "a blue box slides to the left", "a green cylinder spins while the camera orbits")
GRID, RATE = (2, 4, 4), 8.0  # latents of 5 frames of 32x32


def export(folder: Path) -> Path:
    """Write the model as `train/stages/autoencoder.py` and `train/stages/dit.py` do; returns the folder."""
    generator = Generator().manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    _export_vae(folder, generator)
    tokenizer = bytepair.train_tokenizer(CAPTIONS, 300)
    text = bytepair.Config(vocabulary=tokenizer.get_vocab_size(), width=32, depth=1, heads=2, max_tokens=128)
    dit = packed.Config(depth=2, text_width=32)
    network = nn.Module()
    network.text, network.dit = bytepair.Encoder(text, tokenizer), packed.Model(dit)
    _save(network, folder / "model.safetensors", generator)
    tokenizer.save(str(folder / "tokenizer.json"))
    record = {
        "backbone": "packed",
        "dit": config.dump(dit),
        "text": config.dump(text),
        "words": sorted({word for caption in CAPTIONS for word in caption.split()}),
        "captions": sorted(CAPTIONS),
        "trained_on": {"clips": len(CAPTIONS), "grids": [list(GRID)], "rates": [RATE]},
        "training": {},
    }
    (folder / "model.json").write_text(json.dumps(record, indent=1))
    return folder


def _export_vae(folder: Path, generator: Generator) -> None:
    model = causal.Model(causal.Config(width=12, encoder_depth=(1, 1), decoder_depth=(1, 1)))
    model.fit_pca(torch.rand(64, 3, 5, 32, 32, generator=generator) * 2 - 1)
    _save(model, folder / "vae.safetensors", generator)
    record = {"vae": "causal", "config": config.dump(model.config), "spec": config.dump(model.spec), "training": {}}
    (folder / "vae.json").write_text(json.dumps(record, indent=1))


def _save(model: nn.Module, path: Path, generator: Generator) -> None:
    """Weights in bfloat16. Those that begin at zero get a size, or no prompt would change anything."""
    weights = {}
    for name, value in model.state_dict().items():
        if value.is_floating_point() and value.ndim > 1 and not value.any():
            value = 0.05 * torch.randn(value.shape, generator=generator)
        weights[name] = value.detach().to(torch.bfloat16).contiguous() if value.is_floating_point() else value
    save_file(weights, path)
