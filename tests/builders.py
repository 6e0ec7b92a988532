"""Tiny plans, models and data sets, made from nothing in milliseconds, that the tests of several rooms share."""

import dataclasses
import functools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, settings
from safetensors.torch import save_file
from torch import Generator, Tensor, nn

from worldpatch import config
from worldpatch.data import shards
from worldpatch.dit import packed
from worldpatch.evals.suites._task import Form
from worldpatch.evals.suites.twins import store
from worldpatch.flow.pack import pack
from worldpatch.flow.pack import patchify as patchify
from worldpatch.text import bytepair
from worldpatch.train.loop import Run
from worldpatch.train.scaling.grid import Setting
from worldpatch.train.scaling.points import Point
from worldpatch.types import Camera, Clip, Cond, Kind, LatentSpec, Packed, Plan, Reference
from worldpatch.video import write

CHANNELS, STRIDE_T, STRIDE_S = 4, 4, 8
PATCH = (1, 2, 2)
TEXT_WIDTH = 24
PATIENT = settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])
"""Hypothesis on a machine that trains beside the tests."""
SPEC = LatentSpec(
    channels=CHANNELS, stride_t=STRIDE_T, stride_s=STRIDE_S,
    first_mean=(0.0,) * CHANNELS, first_std=(1.0,) * CHANNELS,
    later_mean=(0.0,) * CHANNELS, later_std=(1.0,) * CHANNELS,
)  # fmt: skip


# --------------------------------------------------------------------------------------------------------------- models


def backbone(name: str = "packed", perturbed: bool = True, **options: Any) -> nn.Module:
    """A tiny backbone; perturbed away from its zero-initialised layers, which would hide most mistakes."""
    module = config.resolve("dit", name)
    tiny = {"depth": 2, "channels": CHANNELS, "patch": PATCH, "text_width": TEXT_WIDTH}
    torch.manual_seed(7)
    model = module.Model(module.Config(**{**tiny, **options}))
    return perturb(model) if perturbed else model


def perturb(model: nn.Module, by: float = 0.05) -> nn.Module:
    generator = Generator().manual_seed(3)
    with torch.no_grad():
        for p in model.parameters():
            p += by * torch.randn(p.shape, generator=generator)
    return model


def velocity_of(
    model: nn.Module, packed: Packed, cond: Cond, until: Tensor | None = None, times: Tensor | None = None
) -> Tensor:
    """One forward pass without a cache, at the packed tokens' own times (or at `times`, one per token)."""
    distinct, index = torch.unique(packed.time if times is None else times, return_inverse=True)
    return model(packed.tokens, packed.position, distinct, index, packed.segments, cond, until=until)


def cond_of(packed: Packed, text: Sequence[Tensor]) -> Cond:
    """Conditions of a packed sequence whose samples have these text tokens."""
    return Cond(
        text=torch.cat([*text, torch.zeros(0, TEXT_WIDTH)]), text_lengths=tuple(len(t) for t in text),
        hints=packed.hints,
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------- plans


def camera(frames: int = 9, side: float = 32.0) -> Camera:
    """A camera that turns and moves and zooms a little."""
    turn, zoom = np.linspace(0, 0.5, frames), np.linspace(30, 34, frames)
    pose = np.tile(np.eye(4, dtype=np.float32), (frames, 1, 1))
    pose[:, 0, 0], pose[:, 0, 2], pose[:, 2, 0], pose[:, 2, 2] = np.cos(turn), np.sin(turn), -np.sin(turn), np.cos(turn)
    pose[:, :3, 3] = np.stack([turn, 1 + 0 * turn, -turn], -1)
    intrinsics = np.stack([zoom, zoom, np.full(frames, side / 2), np.full(frames, side / 2)], -1)
    return Camera(intrinsics=intrinsics.astype(np.float32), pose=pose)


def plan(
    grid: tuple[int, int, int], start: Tensor | float = 0.7, kind: Kind = "clip", seed: int = 0, **more: Any
) -> Plan:
    """A plan over latents drawn from `seed`."""
    known = torch.randn(CHANNELS, *grid, generator=Generator().manual_seed(seed))
    start = torch.full(grid, start) if isinstance(start, float) else start
    return Plan(**{"start": start, "rate": 8.0, "kind": kind, "known": known, **more})


def mixed_plans() -> list[Plan]:
    """A clip with a camera, an image, a continuation with a known prefix, keyframes with one time per frame, a box."""
    prefix, box = torch.full((2, 6, 4), 0.4), torch.zeros(3, 4, 4)
    prefix[:1] = 0
    box[1:, 2:, :2] = 0.9
    per_frame = torch.tensor([0.2, 0.9])[:, None, None].expand(2, 4, 4).clone()
    frames = torch.randn(2, CHANNELS, 4, 4, generator=Generator().manual_seed(9))
    references = (Reference(latent=frames[0], time=0.5), Reference(latent=frames[1], time=None, role="subject"))
    return [
        plan((3, 4, 6), seed=1, camera=camera()),
        plan((1, 4, 4), 1.0, "image", seed=2),
        plan((2, 6, 4), prefix, "continuation", seed=3, rate=12.0),
        plan((2, 4, 4), per_frame, seed=4, references=references, camera=camera()),
        plan((3, 4, 4), box, seed=5),
    ]


def mixed_text() -> list[Tensor]:
    """Text tokens of `mixed_plans`, the fourth sample's dropped."""
    generator = Generator().manual_seed(11)
    return [torch.randn(m, TEXT_WIDTH, generator=generator) for m in (5, 2, 7, 0, 3)]


def mixed() -> tuple[Packed, Cond]:
    packed = pack(mixed_plans(), PATCH, SPEC)
    return packed, cond_of(packed, mixed_text())


def changed(packed: Packed, rows: Tensor) -> Packed:
    """The same sequence with other content in these rows (a mask)."""
    other = torch.randn(packed.tokens.shape, generator=Generator().manual_seed(99))
    return dataclasses.replace(packed, tokens=torch.where(rows[:, None], other, packed.tokens))


# ------------------------------------------------------------------------------------- stand-ins for what users bring


class MeanColour(nn.Module):
    """Answers like I3D's TorchScript; its features are a clip's mean red, green and blue from -1 to 1."""

    def forward(self, x: Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False) -> Tensor:
        assert rescale and resize and return_features
        return (x / 127.5 - 1).mean(dim=[2, 3, 4])


def i3d(folder: Path) -> Path:
    """A TorchScript file."""
    path = folder / "i3d_torchscript.pt"
    torch.jit.script(MeanColour()).save(str(path))
    return path


def vjepa(folder: Path, probe: bool = True) -> Path:
    """A tiny V-JEPA 2 of 16x16 pixels with random weights, with or without its probe. Needs transformers."""
    import transformers

    torch.manual_seed(0)
    shape = transformers.VJEPA2Config(
        crop_size=16, patch_size=8, frames_per_clip=16, hidden_size=24, num_attention_heads=2, num_hidden_layers=1,
        num_pooler_layers=1, mlp_ratio=1.0, pred_hidden_size=24, pred_num_attention_heads=2, pred_num_hidden_layers=1,
    )  # fmt: skip
    kind = transformers.VJEPA2ForVideoClassification if probe else transformers.VJEPA2Model
    kind(shape).save_pretrained(folder)
    return folder


def clip_network(folder: Path, width: int = 8) -> Path:
    """A tiny CLIP of 16x16 pixels with random weights and `width` numbers per picture, with its tokenizer and what
    prepares pictures. Needs transformers."""
    import transformers

    tokenizer = bytepair.train_tokenizer(CAPTIONS, 300)
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    shape = transformers.CLIPConfig(
        text_config={**sizes, "vocab_size": 300, "max_position_embeddings": 77},
        vision_config={**sizes, "image_size": 16, "patch_size": 8},
        projection_dim=width,
    )
    transformers.CLIPModel(shape).save_pretrained(folder)
    values = {
        "image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 16},
        "crop_size": {"height": 16, "width": 16},
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
    return folder


class Bench:
    """Answers like `vbench.VBench`: every dimension of a clip is its mean brightness, 0 to 1."""

    def __init__(self, device: torch.device, full_info_dir: str, output_path: str):
        self.output = Path(output_path)

    def evaluate(
        self,
        videos_path: str,
        name: str,
        prompt_list: dict[str, str],
        dimension_list: list[str],
        mode: str,
        **more: Any,
    ) -> None:
        assert mode == "custom_input"
        said = {}
        for dimension in dimension_list:
            scale = 100 if dimension == "imaging_quality" else 1
            rows = [
                {"video_path": f"{videos_path}/{file}", "video_results": scale * _brightness(Path(videos_path) / file)}
                for file in sorted(prompt_list)
            ]
            said[dimension] = [float(np.mean([row["video_results"] for row in rows])) / scale, rows]
        (self.output / f"{name}_eval_results.json").write_text(json.dumps(said))


def _brightness(path: Path) -> float:
    import cv2

    capture, values = cv2.VideoCapture(str(path)), []
    while (frame := capture.read())[0]:
        values.append(frame[1].mean() / 255)
    return float(np.mean(values))


# ------------------------------------------------------------------------------------------------------------ data sets

CAPTIONS = ("a red ball falls", "a blue box rolls to the left", "a green cylinder stands; the camera orbits", "nothing")


def clips(grids: Sequence[tuple[int, int, int]], seed: int = 0) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Records of encoded clips with random latents of these latent grids, two keyframes each, every other a camera."""
    generator = Generator().manual_seed(seed)
    for i, (t, h, w) in enumerate(grids):
        frames = 1 + (t - 1) * STRIDE_T
        caption = CAPTIONS[i % len(CAPTIONS)]
        clip = Clip(
            frames=np.zeros((frames, h * STRIDE_S, w * STRIDE_S, 3), np.uint8),
            rate=8.0,
            captions={"terse": caption, "dense": f"{caption}, seen from above"},
            camera=camera(frames, float(w * STRIDE_S)) if i % 2 else None,
            seed=i,
        )
        latent = {
            "latent": torch.randn(CHANNELS, t, h, w, generator=generator).half(),
            "keyframes": torch.randn(2, CHANNELS, h, w, generator=generator).half(),
            "times": torch.tensor([0.0, 0.25]),
        }
        yield f"clip-{i:04d}", shards.members(clip, latent)


def data_set(folder: Path, grids: Sequence[tuple[int, int, int]], per_shard: int = 5, seed: int = 0) -> Path:
    """Encoded clips on disk."""
    writer = shards.Writer(folder, per_shard)
    for key, members in clips(grids, seed):
        writer.write(key, members)
        writer.rest()
    writer.flush()
    return folder


def twins(folder: Path, pairs: int, spec: LatentSpec = SPEC, left_out: int = 0) -> Path:
    """Encoded twins of random latents, all pairs different, with their controls; without the last `left_out` twins."""
    generator, clip = Generator().manual_seed(4), Clip(frames=np.zeros((9, 16, 16, 3), np.uint8), rate=8.0)
    names = [
        f"{kind}-{i:04d}-{k}-{twin}"
        for i in range(pairs // 2) for kind in store.KINDS for k in (0, 1) for twin in store.TWINS
    ]  # fmt: skip
    writer = shards.Writer(folder)
    for name in names[: len(names) - left_out]:
        latent = {
            "latent": torch.randn(CHANNELS, 3, 4, 4, generator=generator).half(),
            "keyframes": torch.randn(1, CHANNELS, 4, 4, generator=generator).half(),
            "times": torch.tensor([0.5]),
        }
        writer.write(name, shards.members(clip, latent))
    writer.flush()
    form = Form(height=16, width=16, frames=9)
    record = {"version": store.version(), "form": config.dump(form), "spec": config.dump(spec)}
    (folder / "twins.json").write_text(json.dumps(record))
    return folder


def huggingface_encoder(folder: Path) -> Path:
    """A tiny T5 with its tokenizer, in the files of a downloaded one. Needs transformers."""
    import transformers

    tokenizer = bytepair.train_tokenizer(CAPTIONS, 300)
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    torch.manual_seed(0)
    shape = transformers.T5Config(vocab_size=300, d_model=32, d_ff=64, d_kv=8, num_layers=2, num_heads=4)
    transformers.T5EncoderModel(shape).save_pretrained(folder)
    return folder


def autoencoder(folder: Path, channels: int = CHANNELS) -> Path:
    """An exported tiny autoencoder, fitted to noise, its networks not trained."""
    module = config.resolve("vae", "causal")
    torch.manual_seed(5)
    model = module.Model(module.Config(channels=channels, width=12, encoder_depth=(1, 1), decoder_depth=(1, 1)))
    model.fit_pca(torch.rand(64, 3, 5, 32, 32) * 2 - 1)
    folder.mkdir(parents=True, exist_ok=True)
    _save(model, folder / "vae.safetensors")
    record = {"vae": "causal", "config": config.dump(model.config), "spec": config.dump(model.spec), "training": {}}
    (folder / "vae.json").write_text(json.dumps(record))
    return folder


def exported(folder: Path, steps: int = 2) -> Path:
    """A tiny model with random weights in the files of a real one: clips of 32x32 at 8 per second, 5 frames, or as many
    as `steps` of the latent hold."""
    autoencoder(folder, channels=16)
    tokenizer = bytepair.train_tokenizer(CAPTIONS, 300)
    text = bytepair.Config(vocabulary=tokenizer.get_vocab_size(), width=32, depth=1, heads=2, max_tokens=128)
    dit = packed.Config(depth=2, text_width=32)
    torch.manual_seed(0)
    network = nn.Module()
    network.text, network.dit = bytepair.Encoder(text, tokenizer), packed.Model(dit)
    _save(network, folder / "model.safetensors")
    tokenizer.save(str(folder / "tokenizer.json"))
    record = {
        "backbone": "packed",
        "dit": config.dump(dit),
        "text": config.dump(text),
        "words": sorted({word for caption in CAPTIONS for word in caption.split()}),
        "captions": sorted(CAPTIONS),
        "trained_on": {"clips": len(CAPTIONS), "grids": [[steps, 4, 4]], "rates": [8.0]},
        "training": {},
    }
    (folder / "model.json").write_text(json.dumps(record, indent=1))
    return folder


def _save(model: nn.Module, path: Path) -> None:
    """Weights in bfloat16. Those that begin at zero get a size, or no prompt would change anything."""
    weights = {}
    for name, value in model.state_dict().items():
        if value.is_floating_point() and value.ndim > 1 and not value.any():
            value = 0.05 * torch.randn(value.shape)
        weights[name] = value.detach().to(torch.bfloat16).contiguous() if value.is_floating_point() else value
    save_file(weights, path)


def dit_options(folder: Path, clips: int = 12) -> dict[str, Any]:
    """Options of a tiny run of the `dit` stage, with its data, all under `folder`."""
    grids = [((4, 4, 4), (1, 4, 6), (3, 6, 4))[i % 3] for i in range(clips)]
    return {
        "data": (str(data_set(folder / "data", grids)),),
        "validation": str(data_set(folder / "validation", grids[:5], seed=1)),
        "vae": str(autoencoder(folder / "vae")),
        "model": {"depth": 2, "channels": CHANNELS},
        "text": {"vocabulary": 300, "width": 24, "depth": 1, "heads": 2, "max_tokens": 32},
        "budget": 40,
        "sheet_level": 0,
    }


# ---------------------------------------------------------------------------------------------------------------- films


def film(
    path: Path, grey: int = 128, prompt: str | None = "a red ball falls", model: str = "tiny", seed: int = 0
) -> Path:
    """A grey MP4 of two small frames, with the recipe that its prompt, model and seed are part of (None: without)."""
    request = {"ability": "text_to_video", "params": {"prompt": prompt}, "model": model, "seed": seed}
    frames = np.full((2, 16, 16, 3), grey, np.uint8)
    write.write(path, frames, 8.0, None if prompt is None else {"request": request})
    return path


# ------------------------------------------------------------------------------------------------------ physics probes


@functools.cache
def probe(scenario: str, split: str = "in", index: int = 0, rate: float = 8.0, given: int = 0) -> Any:
    """A drawn scene of the physics suite: three seconds at 64 pixels."""
    from worldpatch.evals.suites._task import Form
    from worldpatch.evals.suites.physics import _scene

    if given:
        return probe(scenario, split, index, rate).mode(given)
    return _scene.probe(scenario, split, index, Form(rate=rate, frames=1 + round(3 * rate)))  # pyright: ignore


def seen_at(probe: Any, places: Any) -> Any:
    """What eyes without error see of a probe's objects at `places` "t k 3" (metres, world axes)."""
    from worldpatch.worlds._tabletop.camera import project

    return dataclasses.replace(probe.real, centre=project(probe.camera, places)[0])


def frozen(probe: Any, black: bool = False) -> Any:
    """A clip that stops at the last given frame (or, where none is given, shows the first); or black frames."""
    from worldpatch.evals.suites.physics._seen import observe

    frames, last = probe.clip.frames.copy(), max(probe.given, 1)
    frames[last:] = 0 if black else frames[last - 1]
    return observe(frames, probe.clip)


# -------------------------------------------------------------------------------------------------------- scaling laws


def points(
    law: Any, budgets: Sequence[float], sizes: Sequence[float], noise: float = 0.0, seed: int = 0
) -> list[Point]:
    """Points that follow a parametric law, their losses off by `noise` of themselves; 32 wide for each block."""
    random = np.random.default_rng(seed)
    made = []
    for budget in budgets:
        for n in sizes:
            tokens, depth = budget / law.per_pair / n, max(1, round((n / 12288) ** (1 / 3)))
            made.append(
                Point(
                    name=f"n{n:.0f}", depth=depth, width=32 * depth, seed=0, rate=1e-3, base_width=64, budget=budget,
                    flops=budget, parameters=round(n), tokens=tokens, batch=896.0, steps=round(tokens / 896),
                    loss=law.loss(n, tokens) * float(np.exp(noise * random.standard_normal())),
                    bins=tuple(np.linspace(0.5, 1.5, 10)), seconds=1.0, precision="fp32",
                )
            )  # fmt: skip
    return made


def rate_points(exponent: float, base_width: int = 0, step: float = 2.0) -> list[Point]:
    """Points whose best rate is 8e-3 at width 64 and moves by width to the `exponent`."""
    made = []
    for width in (64, 128, 256):
        for k in range(-4, 4):
            rate = 8e-3 * step**k
            best = 8e-3 * (width / 64) ** exponent
            made.append(
                Point(
                    name=f"w{width}-r{rate:g}", depth=3, width=width, seed=0, rate=rate, base_width=base_width,
                    budget=0.0, flops=1e11, parameters=12 * width**2, tokens=1e5, batch=896.0, steps=200,
                    loss=1.0 + 0.05 * float(np.log2(rate / best)) ** 2,
                )
            )  # fmt: skip
    return made


def run() -> Run:
    """A run that only has to be written down."""
    return Run(stage="dit", steps=0)


def setting(**more: Any) -> Setting:
    """Clips of 7x4x4 patches, eight in a batch, of the packed backbone in heads of 32."""
    values = {
        "backbone": "packed", "model": {"channels": 16, "text_width": 64, "head_width": 32}, "grid": (7, 4, 4),
        "rate": 8.0, "text": 10, "batch": 896.0, "clips": 8.0, "data": 2700, "learning_rate": 8e-3, "base_width": 64,
        "sizes": ((2, 64), (4, 128), (8, 256)),
    }  # fmt: skip
    return Setting(**{**values, **more})


def films(
    folder: Path, count: int = 5, frames: int = 40, size: tuple[int, int] = (48, 64), per_shard: int = 2,
    codec: str = "libx264",
) -> Path:  # fmt: skip
    """Videos whose frames say which they are (`film_frames`), with a keyframe every 12 frames."""
    import av

    writer = shards.Writer(folder, per_shard)
    for number in range(count):
        file = folder / "film.mp4"
        with av.open(str(file), "w", options={"movflags": "faststart"}) as container:
            stream: Any = container.add_stream(codec, rate=24, options={"crf": "12", "g": "12"})
            stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
            stream.codec_context.thread_count = 1
            for pixels in film_frames(number, frames, size):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode(None))
        record = {
            "captions": {"original": f"film {number}"}, "rate": 24.0, "frames": frames, "height": size[0],
            "width": size[1], "source": f"films/{number}.mp4", "licence": "CC0-1.0" if number % 2 else "CC-BY-4.0",
            "source_sha256": f"{number:064x}", "scores": {"motion": number / 10, "aesthetic": None},
        }  # fmt: skip
        writer.write(f"film-{number}", {"json": json.dumps(record).encode(), "mp4": file.read_bytes()})
        writer.rest()
        file.unlink()
    writer.flush()
    return folder


def film_frames(number: int, frames: int, size: tuple[int, int]) -> np.ndarray:
    """Grey frames, lighter with time; the left half tells films apart."""
    made = np.zeros((frames, *size, 3), np.uint8)
    made[:, :, size[1] // 2 :] = (20 + 5 * np.arange(frames))[:, None, None, None]
    made[:, :, : size[1] // 2] = 30 * number
    return made
