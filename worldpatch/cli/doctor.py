"""`worldpatch doctor`: what this machine is, how fast, and what each shipped model needs on it."""

import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from worldpatch.cli._parse import threads
from worldpatch.cli._progress import amount, clock

TELLING = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")  # CPU flags that decide the speed
STEPS = 25
GIGA = 1e9


def doctor(
    threads_: Annotated[int | None, typer.Option("--threads", help="CPU threads.  [default: all]")] = None,
) -> None:
    """Say what this machine can do.

    Prints the environment, the speed of this machine, and what each shipped model will need here.
    """
    threads(threads_)
    _section("environment", _environment())
    speed = _speed()
    _section("speed", ((name, f"{rate / GIGA:.0f} GFLOP/s") for name, rate in speed.items()))
    _section(f"models, a clip as trained, {STEPS} steps with guidance", _models(speed["matrix product, fp32"]))


def _section(title: str, lines: Any) -> None:
    print(f"\n{title}")
    for name, value in lines:
        print(f"  {name:<22} {value}", flush=True)


# -------------------------------------------------------------------------------------------------------- environment


def _environment() -> Iterator[tuple[str, str]]:
    import torch

    from worldpatch import __version__

    yield "worldpatch", __version__
    yield "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield "torch", f"{torch.__version__}, {torch.get_num_threads()} threads of {os.cpu_count()} cores"
    yield "processor", _processor()
    yield "memory", _memory()
    yield "GPU", torch.cuda.get_device_name() if torch.cuda.is_available() else "none that torch sees; the CPU does it"
    yield "OpenGL for MuJoCo", _opengl()


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine()
    lines = (line.partition(":") for line in info.read_text().splitlines())
    fields = {name.strip(): value.strip() for name, _, value in lines}
    flags = set((fields.get("flags") or fields.get("Features") or "").split())
    return f"{fields.get('model name', platform.machine())} ({', '.join(f for f in TELLING if f in flags) or 'plain'})"


def _memory() -> str:
    from worldpatch.generate.memory import free

    found = free()
    return f"{amount(found[0])} free of {amount(found[1])}" if found else "unknown on this system"


def _opengl() -> str:
    """Renders one small frame, which is the only proof."""
    try:
        from worldpatch.worlds import tabletop

        tabletop.clip(tabletop.Config(height=16, width=16, frames=1), 0, 0)
    except ModuleNotFoundError as error:
        return f"{error.name} is not installed, which only worlds need: pip install 'worldpatch[worlds]'"
    except Exception as error:  # a missing driver raises whatever it likes
        reason = " ".join(str(error).split())[:80]
        return f"fails ({reason}), so worlds cannot be rendered: apt install libosmesa6, or set MUJOCO_GL"
    return f"works ({os.environ.get('MUJOCO_GL', 'default')})"


# -------------------------------------------------------------------------------------------------------------- speed


def _speed() -> dict[str, float]:
    """Floating-point operations per second of the four products that all the work here is made of."""
    import torch
    from torch.nn import functional as F

    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    a16, b16 = a.bfloat16(), b.bfloat16()
    q = torch.randn(1, 6, 1024, 64)
    x, w = torch.randn(8, 96, 32, 32), torch.randn(96, 96, 3, 3)
    with torch.no_grad():
        return {
            "matrix product, fp32": 2 * 1024**3 / _fastest(lambda: a @ b),
            "matrix product, bf16": 2 * 1024**3 / _fastest(lambda: a16 @ b16),
            "attention, fp32": 4 * 6 * 64 * 1024**2 / _fastest(lambda: F.scaled_dot_product_attention(q, q, q)),
            "convolution, fp32": 2 * 8 * 96 * 96 * 9 * 32 * 32 / _fastest(lambda: F.conv2d(x, w, padding=1)),
        }


def _fastest(work: Callable[[], object], patience: float = 0.6) -> float:
    """Seconds of the fastest of as many calls as fit into `patience` seconds, at least three."""
    took: list[float] = []
    while sum(took) < patience or len(took) < 3:
        begun = time.perf_counter()
        work()
        took.append(time.perf_counter() - begun)
    return min(took)


# ------------------------------------------------------------------------------------------------------------- models


def _models(product: float) -> Iterator[tuple[str, str]]:
    """What a default clip of each shipped model costs; `product` is the speed of matrix products in FLOP/s."""
    from worldpatch.config import UserError
    from worldpatch.generate.models import shipped

    if not shipped():
        yield "none", "no checkpoints/<name>/model.json here or beside the package"
    for name, folder in shipped().items():
        try:
            yield name, _needs(folder, product)
        except UserError as error:
            yield name, str(error)


def _needs(folder: Path, product: float) -> str:
    """Two steps and one decoding are run; the rest follows from counted operations at the rate they were done."""
    from worldpatch import generate
    from worldpatch.types import Request

    pipeline = generate.load(folder)
    prompt = (pipeline.record or {}).get("captions", ["a red ball falls"])[0]
    request = Request(ability="text_to_video", params={"prompt": prompt}, steps=2)
    generate.run(request, pipeline)  # the first run allocates and plans
    seconds = generate.run(request, pipeline).seconds
    step = _step_flops(pipeline, prompt)
    efficiency = 2 * step / seconds["denoise"] / product
    whole = STEPS * step / (efficiency * product) + seconds["decode"]
    usual = pipeline.usual
    return (
        f"{usual.width}x{usual.height}, {usual.frames} frames: about {clock(whole)} and {_peak()} of memory; "
        f"denoiser {step / GIGA:.1f} GFLOP a step at {efficiency:.0%} of the matrix product"
    )


def _step_flops(pipeline: Any, prompt: str) -> int:
    """Operations of one sampler step of a default clip: with the prompt and without it, the context cached."""
    from worldpatch import config
    from worldpatch.flow.pack import pack

    ability = config.resolve("generate/ops", "text_to_video")
    plan = ability.plan(ability.Params(prompt=prompt), pipeline)
    segments = pack([plan], pipeline.patch, pipeline.spec).segments
    _, lengths = pipeline.network.text.encode([prompt])
    dit = pipeline.network.dit
    return dit.flops(segments, lengths, cached=True) + dit.flops(segments, (0,), cached=True)


def _peak() -> str:
    """The largest resident set of this process so far."""
    try:
        import resource
    except ImportError:  # not a POSIX system
        return "an unknown amount"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return amount(peak if platform.system() == "Darwin" else 1024 * peak)
