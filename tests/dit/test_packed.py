"""What every backbone must keep: packing changes nothing, context is one-way, costs and capabilities are as stated."""

import dataclasses

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tests import builders
from worldpatch import config
from worldpatch.flow.pack import noisy_only, pack
from worldpatch.types import Cond, Packed

BACKBONES = config.available("dit")
TIGHT = 1e-5

pytestmark = pytest.mark.parametrize("name", BACKBONES)


def close(a: Tensor, b: Tensor, what: str = "") -> None:
    """Equal to 1e-5 of the larger one's size."""
    scale = max(1.0, float(b.detach().abs().max())) if b.numel() else 1.0
    torch.testing.assert_close(a, b, rtol=0, atol=TIGHT * scale, msg=lambda m: f"{what}: {m}")


def gradients(model: nn.Module, packed: Packed, cond: Cond) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """Velocity, the gradients of the sum of its squares for every parameter, and for the tokens."""
    model.zero_grad()
    packed = dataclasses.replace(packed, tokens=packed.tokens.clone().requires_grad_())
    velocity = builders.velocity_of(model, packed, cond)
    velocity.square().sum().backward()
    assert packed.tokens.grad is not None
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return velocity.detach(), found, packed.tokens.grad


def rows(packed: Packed, sample: int) -> Tensor:
    """Mask of a sample's tokens."""
    mask = torch.zeros(len(packed.tokens), dtype=torch.bool)
    for s in packed.segments:
        if s.sample == sample:
            mask[s.start : s.stop] = True
    return mask


def test_packed_equals_each_sample_alone(name: str):
    model = builders.backbone(name)
    packed, cond = builders.mixed()
    together, sums, inputs = gradients(model, packed, cond)
    summed: dict[str, Tensor] = {}
    for i, (plan, text) in enumerate(zip(builders.mixed_plans(), builders.mixed_text(), strict=True)):
        alone = pack([plan], builders.PATCH, builders.SPEC)
        velocity, grads, grad_tokens = gradients(model, alone, builders.cond_of(alone, [text]))
        close(together[rows(packed, i)], velocity, f"velocity of sample {i}")
        close(inputs[rows(packed, i)], grad_tokens, f"token gradient of sample {i}")
        for key, grad in grads.items():
            summed[key] = summed.get(key, torch.zeros_like(grad)) + grad
    for key, grad in sums.items():
        close(grad, summed[key], key)


def test_every_parameter_gets_a_gradient(name: str):
    model = builders.backbone(name)
    _, found, _ = gradients(model, *builders.mixed())
    idle = [n for n, _ in model.named_parameters() if n not in found or not found[n].any()]
    assert not idle, f"no gradient reaches {', '.join(idle)}"


def test_context_tokens_have_no_velocity(name: str):
    packed, cond = builders.mixed()
    velocity = builders.velocity_of(builders.backbone(name), packed, cond)
    assert not velocity[~packed.noisy].any() and velocity[packed.noisy].abs().min() > 0


def test_untrained_velocity_is_zero(name: str):
    """The output layer is zero-initialised, so that training begins at the mean."""
    packed, cond = builders.mixed()
    assert not builders.velocity_of(builders.backbone(name, perturbed=False), packed, cond).any()


def test_state_dict_round_trips(name: str):
    model, fresh = builders.backbone(name), builders.backbone(name, perturbed=False)
    fresh.load_state_dict(model.state_dict())
    packed, cond = builders.mixed()
    assert torch.equal(builders.velocity_of(fresh, packed, cond), builders.velocity_of(model, packed, cond))


def test_builds_on_the_meta_device(name: str):
    with torch.device("meta"):
        model = builders.backbone(name, perturbed=False)
    assert all(p.is_meta for p in model.parameters())
    assert isinstance(model.blocks, nn.ModuleList) and len(model.blocks)


def test_says_what_it_can(name: str):
    assert {"per-token time", "context", "hints"} >= config.resolve("dit", name).CAPABILITIES - {"until"}


BATCHES = {  # plans, lengths of their texts, and whether all attention problems of a group are of one size
    "a long clip": ([builders.plan((4, 16, 16), seed=1, camera=builders.camera())], (20,), True),
    "clips at times of their own": ([builders.plan((4, 8, 8), 0.1 * i, seed=i) for i in range(1, 6)], (11,) * 5, True),
    "known frames and keyframes": (builders.mixed_plans()[3:4], (16,), True),
    "two sizes": ([builders.plan((4, 16, 16), seed=1), builders.plan((2, 8, 12), seed=2)], (20, 9), True),
    "all kinds": (builders.mixed_plans(), (5, 2, 7, 0, 3), False),
}


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("shape", [{"depth": 2}, {"depth": 3, "width": 64, "head_width": 32}], ids=["deep", "narrow"])
def test_flops_are_those_that_torch_counts(name: str, batch: str, shape: dict[str, int]):
    """Forward and backward, to the last operation; where groups are filled to one size, torch counts the filling."""
    plans, lengths, exact = BATCHES[batch]
    model, packed = builders.backbone(name, **shape), pack(plans, builders.PATCH, builders.SPEC)
    cond = builders.cond_of(packed, [torch.randn(n, builders.TEXT_WIDTH, requires_grad=True) for n in lengths])
    times = len(torch.unique(packed.time))
    # Torch counts the products inside plain attention; it knows no count for the CPU's fused one.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        velocity = builders.velocity_of(model, packed, cond)
        forward = counter.get_total_flops()
        velocity.square().sum().backward()
    counted = forward, counter.get_total_flops()
    stated = tuple(model.flops(packed.segments, lengths, times=times, training=both) for both in (False, True))
    assert stated == (counted if exact else pytest.approx(counted, rel=0.03)) and stated <= counted


def test_flops_of_a_cached_step_are_those_that_torch_counts(name: str):
    model = builders.backbone(name, depth=4)
    plans = [builders.plan((4, 16, 16), seed=1, camera=builders.camera()), builders.plan((2, 8, 12), seed=2)]
    packed = pack(plans, builders.PATCH, builders.SPEC)
    cond = builders.cond_of(packed, [torch.randn(n, builders.TEXT_WIDTH) for n in (20, 9)])
    context = model.context(packed.tokens, packed.position, packed.segments, cond)
    empty = dataclasses.replace(cond, text=cond.text[:0], text_lengths=(0, 0))
    times, index = torch.unique(packed.time, return_inverse=True)
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        model(packed.tokens, packed.position, times, index, packed.segments, empty, context=context)
    assert model.flops(packed.segments, cond.text_lengths, cached=True) == counter.get_total_flops()


def test_until_equal_to_the_time_is_the_plain_velocity(name: str):
    packed, cond = builders.mixed()
    times = torch.unique(packed.time)
    for perturbed in (False, True):
        model = builders.backbone(name, perturbed)
        plain = builders.velocity_of(model, packed, cond)
        close(builders.velocity_of(model, packed, cond, until=times), plain)
    jump = builders.velocity_of(model, packed, cond, until=times * 0)
    assert (jump - plain)[packed.noisy].abs().max() > 1e-3, "`until` has no effect"


def test_until_has_no_effect_before_it_is_trained(name: str):
    """Zero-initialised: a network trained without `until` begins its second life with the velocity it has learned."""
    packed, cond = builders.mixed()
    model = builders.backbone(name, perturbed=False)
    nn.init.normal_(model.out.weight)  # else every velocity is zero
    plain = builders.velocity_of(model, packed, cond)
    assert plain.any()
    close(builders.velocity_of(model, packed, cond, until=torch.unique(packed.time) * 0), plain)


def test_context_does_not_see_noisy_tokens(name: str):
    model = builders.backbone(name)
    packed, cond = builders.mixed()
    other = builders.changed(packed, packed.noisy)
    before, after = (model.context(p.tokens, p.position, p.segments, cond) for p in (packed, other))
    for a, b in zip(sum(before.past, ()), sum(after.past, ()), strict=True):
        assert torch.equal(a, b)
    # In the full pass, too: no noisy token of the input has a say in what the blocks make of the context.
    contexts, seen = sum(before.layout.known), []
    for block in model.blocks:
        block.register_forward_hook(lambda _, inputs, out: seen.append(out[0][:contexts].detach()))
    for p in (packed, other):
        builders.velocity_of(model, p, cond)
    for a, b in zip(seen[: len(model.blocks)], seen[len(model.blocks) :], strict=True):
        close(a, b)


def test_another_sample_changes_nothing(name: str):
    model = builders.backbone(name)
    packed, cond = builders.mixed()
    text = builders.mixed_text()
    text[2] = torch.randn(1, builders.TEXT_WIDTH)
    other = builders.changed(packed, rows(packed, 2))
    before = builders.velocity_of(model, packed, cond)
    after = builders.velocity_of(model, other, builders.cond_of(other, text))
    mine = rows(packed, 2)
    close(after[~mine], before[~mine])
    assert (after - before)[mine & packed.noisy].abs().min() > 0


@pytest.mark.parametrize("what", ["text", "known", "camera", "time", "rate", "order"])
def test_every_condition_counts(name: str, what: str):
    """What a plan says reaches the velocity: words, their order, known patches, camera, noise time, frame rate."""
    model = builders.backbone(name)
    packed, cond = builders.mixed()
    before = builders.velocity_of(model, packed, cond)
    if what == "text":
        cond = dataclasses.replace(cond, text=cond.text + 1)
    elif what == "known":
        packed = builders.changed(packed, ~packed.noisy)
    elif what == "camera":
        cond = dataclasses.replace(cond, hints=torch.zeros_like(cond.hints))
    elif what == "time":
        packed = dataclasses.replace(packed, time=packed.time / 2)
    elif what == "rate":
        segments = tuple(dataclasses.replace(s, rate=24.0) for s in packed.segments)
        packed = dataclasses.replace(packed, segments=segments)
    else:
        packed = dataclasses.replace(packed, position=packed.position.flip(0))
    after = builders.velocity_of(model, packed, cond)
    assert (after - before)[packed.noisy].abs().max() > 1e-4


def test_cached_context_equals_recomputed(name: str):
    model = builders.backbone(name)
    packed, cond = builders.mixed()
    whole = builders.velocity_of(model, packed, cond)[packed.noisy]
    context = model.context(packed.tokens, packed.position, packed.segments, cond)
    noisy = noisy_only(packed)
    bare = Cond(text=cond.text[:0], text_lengths=(0,) * 5, hints=noisy.hints)
    times, index = torch.unique(noisy.time, return_inverse=True)
    close(model(noisy.tokens, noisy.position, times, index, noisy.segments, bare, context=context), whole)


@pytest.mark.compile  # the shape-checking hook wraps the mask's rule, whose arguments flex counts
def test_attention_backends_agree(name: str):
    packed, cond = builders.mixed()
    flex, sdpa = (builders.backbone(name, backend=b) for b in ("flex", "sdpa"))
    with torch.no_grad():  # flex has no backward on the CPU
        close(builders.velocity_of(flex, packed, cond), builders.velocity_of(sdpa, packed, cond))
        one, other = (m.context(packed.tokens, packed.position, packed.segments, cond) for m in (flex, sdpa))
    for a, b in zip(sum(one.past, ()), sum(other.past, ()), strict=True):
        close(a, b)


def test_an_unknown_attention_backend_lists_the_known(name: str):
    packed, cond = builders.mixed()
    with pytest.raises(ValueError, match="'flash'.*known: auto, sdpa, flex"):
        builders.velocity_of(builders.backbone(name, backend="flash"), packed, cond)


def test_a_width_that_the_heads_do_not_divide_is_refused(name: str):
    with pytest.raises(ValueError, match="depth=3 and width 224, no multiple of 64"):
        builders.backbone(name, depth=3)
    with pytest.raises(ValueError, match="width 96, no multiple of 64"):
        builders.backbone(name, width=96)


def test_the_width_follows_the_depth_unless_given(name: str):
    made = config.resolve("dit", name).Config
    assert made(depth=4).width == 256 and made(depth=6).width == 320 and made(depth=6, width=64).width == 64


@pytest.mark.compile
def test_compiled_equals_eager(name: str):
    model = builders.backbone(name)
    packed, cond = builders.mixed()
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="aot_eager")
    with torch.no_grad():
        close(builders.velocity_of(compiled, packed, cond), builders.velocity_of(model, packed, cond))
    _, eager, _ = gradients(model, packed, cond)
    model.zero_grad()
    builders.velocity_of(compiled, packed, cond).square().sum().backward()
    for key, p in model.named_parameters():
        assert p.grad is not None
        close(p.grad, eager[key], key)


def test_weights_from_before_the_hints_give_the_same_velocities(name: str):
    """The camera was the only hint then: seven columns, said at a quarter of the loudness."""
    model, (packed, cond) = builders.backbone(name), builders.mixed()
    state = dict(model.state_dict())
    weight = state.pop("embed_hints.weight").clone()
    weight[:, 7:] = 0
    model.load_state_dict(state | {"embed_camera.weight": 4 * weight[:, :7]})
    found = builders.velocity_of(model, packed, cond)
    model.load_state_dict(state | {"embed_hints.weight": weight})
    torch.testing.assert_close(found, builders.velocity_of(model, packed, cond))
