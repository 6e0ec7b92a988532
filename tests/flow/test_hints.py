"""What is said of a patch beside its content: rays, tracks, likeness."""

import numpy as np
import pytest
import torch

from tests import builders
from tests.builders import PATCH, SPEC, STRIDE_S
from worldpatch.flow.hints import FULL, LOUD, SCENE, moves, rays
from worldpatch.flow.pack import pack
from worldpatch.types import Camera, Plan, Reference


def lines(camera: Camera, place: torch.Tensor) -> torch.Tensor:
    return rays(camera, place, (place[:, 0] * 8).round().long(), STRIDE_S)


def places(seconds: float, count: int = 12) -> torch.Tensor:
    place = torch.randn(count, 3) * 2
    place[:, 0] = seconds
    return place


def test_rays_are_pluecker_lines():
    found = lines(builders.camera(), torch.cat([places(t) for t in (0.0, 0.4, 1.0)]))
    direction, moment = found.split(3, dim=-1)
    torch.testing.assert_close(direction.norm(dim=-1), torch.ones(36))
    torch.testing.assert_close((direction * moment).sum(-1), torch.zeros(36), atol=1e-5, rtol=0)
    assert moment[12:].norm(dim=-1).min() > 0, "a moved camera has a moment"
    torch.testing.assert_close(moment[:12], torch.zeros(12, 3)), "the first camera is the origin"


def test_the_first_camera_looks_along_z():
    """Whatever its pose: rays are told in its own axes. Right is +x, down is +y."""
    place = torch.tensor([[0.0, 0, 0], [0, 0, 1], [0, 1, 0]])
    found = lines(builders.camera(), place)[:, :3]
    torch.testing.assert_close(found[0], torch.tensor([0.0, 0, 1]))
    assert found[1, 0] > 0 and abs(found[1, 1]) < 1e-6 and found[2, 1] > 0 and abs(found[2, 0]) < 1e-6
    assert float(found[1, 0] / found[1, 2]) == pytest.approx(STRIDE_S / 30)  # one latent pixel at focal length 30


def test_rays_do_not_depend_on_where_the_world_begins():
    camera = builders.camera()
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    move = np.eye(4)
    move[:3, :3], move[:3, 3] = turn * np.sign(np.linalg.det(turn)), (3, -1, 2)
    moved = Camera(intrinsics=camera.intrinsics, pose=(move @ camera.pose).astype(np.float32))
    place = torch.cat([places(t) for t in (0.0, 0.5, 1.0)])
    torch.testing.assert_close(lines(moved, place), lines(camera, place), atol=1e-5, rtol=0)


def test_rays_are_zero_and_marked_where_there_is_no_camera():
    packed, _ = builders.mixed()
    known = packed.hints[:, 6] > 0
    samples = torch.cat([torch.full((s.length,), s.sample) for s in packed.segments])
    assert set(samples[known].tolist()) == {0, 3} and not packed.hints[~known, :6].any()


def test_moves_are_turns_ways_and_zooms_since_the_first_frame():
    frames, turned = 5, np.radians(np.linspace(0, 50, 5))
    pose = np.tile(np.eye(4), (frames, 1, 1))
    pose[:, 0, 0], pose[:, 0, 2], pose[:, 2, 0], pose[:, 2, 2] = (
        np.cos(turned), np.sin(turned), -np.sin(turned), np.cos(turned),
    )  # fmt: skip
    pose[:, :3, 3] = np.linspace(0, 1, frames)[:, None] * (0.5, 0, SCENE)
    focal = 30 * np.array([1, 1, 1, 1, 2.0])
    intrinsics = np.stack([focal, focal, np.full(5, 16), np.full(5, 16)], -1)
    start = np.linalg.inv(builders.camera().pose[0])  # wherever the world begins
    found = moves(Camera(intrinsics=intrinsics.astype(np.float32), pose=(start @ pose).astype(np.float32)))
    torch.testing.assert_close(found[:, 1], torch.tensor(turned, dtype=torch.float32), atol=1e-4, rtol=0)
    torch.testing.assert_close(found[:, 5], torch.linspace(0, 1, 5), atol=1e-4, rtol=0)
    assert found[:, [0, 2, 4]].abs().max() < 1e-4 and found[-1, 3] == pytest.approx(0.5 / SCENE, abs=1e-4)
    assert (
        found[-1, 6] == pytest.approx(np.log(2), abs=1e-4)
        and not found[:4, 6].any()
        and not found[0].abs().max() > 1e-6
    )


# --------------------------------------------------------------------------------------------------------------- tracks


def told(tracks: np.ndarray, grid: tuple[int, int, int] = (3, 8, 8)) -> torch.Tensor:
    """What a plan with these tracks says of each patch: (t, h, w, 5)."""
    plan = Plan(start=torch.ones(grid), rate=8.0, tracks=tracks.astype(np.float32))
    hints = pack([plan], PATCH, SPEC).hints
    assert not hints[:, :7].any() and not hints[:, 12:].any()
    return hints[:, 7:12].reshape(grid[0], grid[1] // 2, grid[2] // 2, 5) / LOUD


def test_a_track_is_told_to_the_patches_near_it():
    across = np.stack([np.linspace(8, 56, 9), np.full(9, 24.0)], -1)[:, None]  # to the right at 6 pixels a frame
    found = told(across)
    weight = found[..., 0]
    assert weight.max() <= 1 and weight.flatten(1).argmax(1).tolist() == [4, 5, 6], "it moves along the second row"
    first = found[0, 1, 0]  # a patch with its centre at (8, 24), where the track begins
    assert first[0] == 1 and first[1:3].abs().max() < 1e-6
    assert first[4] == pytest.approx(4 * 6 / STRIDE_S / FULL) and first[3] == 0, "down, right: latent pixels per group"
    assert found[0, 0, 0, 1] > 0 > found[0, 2, 0, 1], "below the upper patch, above the lower one"
    last = found[2, 1, 2]
    assert float(last[4] / last[0]) == pytest.approx(4 * 6 / STRIDE_S / FULL), "at the end as before"


def test_only_the_nearest_of_several_tracks_counts_and_gaps_say_nothing():
    still = np.broadcast_to(np.array([[16.0, 16.0], [48.0, 48.0]]), (9, 2, 2)).copy()
    both, alone = told(still), told(still[:, :1])
    torch.testing.assert_close(both[:, :2, :2], alone[:, :2, :2])
    assert both[0, 3, 3, 0] > 0.5 > 0.01 > alone[0, 3, 3, 0]
    still[2:, 0] = np.nan
    gone = told(still[:, :1])
    assert gone[0].any() and not gone[1:].any() and gone.isfinite().all()


def test_a_likeness_is_marked_by_its_role():
    latent = torch.randn(builders.CHANNELS, 4, 4)
    references = [Reference(latent=latent, time=None, role=role) for role in ("subject", "look")]
    keyframe = Reference(latent=latent, time=0.5)
    packed = pack([Plan(start=torch.ones(2, 4, 4), rate=8.0, references=(*references, keyframe))], PATCH, SPEC)
    subject, look, image, own = packed.segments
    assert packed.hints[subject.start : subject.stop].sum(0).tolist() == [0] * 12 + [4] + [0] * 8
    assert packed.hints[look.start : look.stop].sum(0).tolist() == [0] * 13 + [4] + [0] * 7
    assert not packed.hints[image.start : own.stop].any()
    with pytest.raises(ValueError, match="time"):
        Reference(latent=latent, time=0.5, role="subject")
