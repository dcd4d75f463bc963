"""The best file of a given size, and the parts of its search."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from samples import plausible_gaussians

from nerfkit.cameras import resize
from nerfkit.contracts import Cameras, Gaussians
from nerfkit.core import choose_core
from nerfkit.data.similarity import Similarity
from nerfkit.errors import NerfkitError
from nerfkit.splats import formats
from nerfkit.splats.blocks import select
from nerfkit.splats.budget import _candidates, _guess, fit
from nerfkit.splats.judge import Judge, contributions, draw, orbit
from nerfkit.splats.refit import refit
from nerfkit.splats.stream import sound
from nerfkit.splats.transform import transform

CORE = choose_core("auto", torch.device("cpu"))


def small(cameras: list[Cameras]) -> list[Cameras]:
    return [resize(camera, 96, 72) for camera in cameras]


@pytest.fixture(scope="module")
def scene() -> tuple[Gaussians, Judge]:
    """A cloud whose inner third is hidden or faint, and how it looks."""
    g = plausible_gaussians(1500)
    far = torch.nn.functional.normalize(g.means, dim=1) * torch.where(torch.arange(1500) < 1000, 1.0, 0.3)[:, None]
    opacities = torch.where(torch.arange(1500) < 1000, 0.95, 0.02)
    g = Gaussians(far, g.quats, g.scales * 0.7, opacities, g.sh)
    judge = Judge.of_renders(CORE, g, small(orbit(g, per_ring=3)))
    return g, replace(judge, guides=small(orbit(g, per_ring=4, turn=0.5)))


def test_the_orbit_sees_the_scene(scene: tuple[Gaussians, Judge]) -> None:
    g, judge = scene
    moved = replace(g, means=g.means + torch.tensor([5.0, 1, 2]))
    for up, row in (("z", 2), ("-y", 1)):
        cameras = orbit(moved, up)  # type: ignore[arg-type]
        heights = torch.stack([c.world_from_cam[0, row, 3] for c in cameras]) - moved.means[:, row].median()
        assert (heights > 0).all() if up == "z" else (heights < 0).all()
        for camera in small(cameras):
            assert CORE.rasterize(moved, camera, torch.zeros(3)).alpha.mean() > 0.05
    assert judge.psnr(g) == 100


def test_contributions_are_sums_of_weights(scene: tuple[Gaussians, Judge]) -> None:
    g, judge = scene
    most = contributions(CORE, g, judge.guides)
    assert most[:1000].median() > 20 * most[1000:].median() and (most >= 0).all()
    camera = judge.guides[0]
    one = contributions(CORE, g, [camera])  # of one view, together all of the light that isn't the background's
    torch.testing.assert_close(one.sum(), CORE.rasterize(g, camera, torch.zeros(3)).alpha.sum(), rtol=1e-3, atol=0)


def test_what_is_left_is_fitted(scene: tuple[Gaussians, Judge]) -> None:
    """Seen from between the views that it is fitted to."""
    g = formats.with_degree(scene[0], 0)
    judge = Judge.of_renders(CORE, g, small(orbit(g, per_ring=3)))
    guides = small(orbit(g, per_ring=9, turn=0.5))
    half = select(g, torch.arange(0, 1500, 2))
    pictures = [(draw(CORE, g, camera, judge.background) * 255).byte() for camera in guides]
    fitted = refit(CORE, half, guides, pictures, judge.background, near=0.01, steps=80)
    assert len(fitted) == len(half)
    assert judge.psnr(fitted) > judge.psnr(half) + 1
    assert all(not part.requires_grad for part in (fitted.means, fitted.sh))


def test_values_too_large_to_be_fitted_stay_as_they_are(scene: tuple[Gaussians, Judge]) -> None:
    g, judge = scene
    g = select(g, torch.arange(200))
    g.sh[0, 3, 1], g.scales[1, 0] = 3e38, 3e38
    pictures = [(draw(CORE, g, camera, judge.background) * 255).byte() for camera in judge.guides]
    fitted = refit(CORE, g, judge.guides, pictures, judge.background, near=0.01, steps=3)
    assert sound(fitted).all() and fitted.sh[0, 3, 1] > 1e38
    assert (fitted.sh[:, 0] != g.sh[:, 0]).any()  # the others


@pytest.mark.parametrize(("suffix", "limit"), [(".ply", 120_000), (".spz", 20_000), (".sog", 50_000)])
def test_the_file_is_as_large_as_allowed(
    tmp_path: Path, scene: tuple[Gaussians, Judge], suffix: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nerfkit.splats.budget.STEPS", 30)
    monkeypatch.setattr("nerfkit.splats.budget._FEW_STEPS", 10)
    g, judge = scene
    formats.write(tmp_path / f"all{suffix}", g)
    assert (tmp_path / f"all{suffix}").stat().st_size > limit
    found = fit(g, limit, suffix, judge)
    out = tmp_path / f"g{suffix}"
    formats.write(out, found.gaussians, settings=found.settings)
    assert 0.8 * limit < out.stat().st_size <= limit
    best = max(found.tried, key=lambda item: float(item["psnr"]))
    back = formats.read(out)
    assert torch.equal(found.stored.means, back.means) and torch.equal(found.stored.sh, back.sh)
    assert len(found.tried) > 1
    plain = formats.with_degree(select(g, torch.arange(best["gaussians"])), best["sh_degree"])
    assert judge.psnr(back) > judge.psnr(plain)


def test_a_file_that_fits_stays_whole(scene: tuple[Gaussians, Judge]) -> None:
    g, judge = scene
    found = fit(g, 10_000_000, ".ply", judge)
    assert found.gaussians is g or torch.equal(found.gaussians.sh, g.sh)
    assert len(found.tried) == 1


def test_too_small(scene: tuple[Gaussians, Judge]) -> None:
    g, judge = scene
    with pytest.raises(NerfkitError, match=r"--max-size: 900 bytes hold too few of 1,500 Gaussians"):
        fit(g, 900, ".sog", judge)


def test_a_scene_of_any_unit_is_judged_alike() -> None:
    """What is too near to be drawn is a share of the scene, or a small one would be black."""
    g = plausible_gaussians(300)
    small = transform(g, Similarity(1e-4, torch.eye(3), torch.zeros(3)))
    whole, tiny = (Judge.around(CORE, each, "z") for each in (g, small))
    for a, b in zip(whole.pictures, tiny.pictures):
        assert a.std() > 0.05 and (a - b).abs().mean() < 1e-4
    assert tiny.psnr(select(small, slice(0, 150))) == pytest.approx(whole.psnr(select(g, slice(0, 150))), abs=0.05)
    assert tiny.coarse().near == tiny.near == pytest.approx(whole.near * 1e-4)
    turned = whole.moved(Similarity(1e-4, torch.eye(3), torch.zeros(3)))
    assert turned.psnr(small) > 60
    light = contributions(CORE, small, tiny.guides, near=tiny.near)
    torch.testing.assert_close(light, contributions(CORE, g, whole.guides, near=whole.near), atol=0.5, rtol=0.05)


def test_the_search_tells_nothing_of_its_tries(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nerfkit.splats.budget.STEPS", 2)
    monkeypatch.setattr("nerfkit.splats.budget._FEW_STEPS", 2)
    g = plausible_gaussians(300, 1)
    g.means[0] = 1e6
    judge = Judge.around(CORE, g, "z").coarse(1)
    fit(g, 8000, ".spz", judge)
    assert not caplog.text
    formats.write(tmp_path / "g.spz", g)
    assert "keeps places to" in caplog.text


@pytest.mark.parametrize("common", [0.0, 0.2, 0.5, 0.9])
def test_a_number_that_fits_is_found_whatever_files_have_in_common(common: float) -> None:
    """Of a limit of 100,000 bytes, this share is there without any Gaussians, such as a palette."""
    sizes = {80_000: int(common * 100_000 + 10 * 80_000**1.02)}
    for _ in range(4):
        count = _guess(sizes, 100_000)
        sizes[count] = int(common * 100_000 + 10 * count**1.02)
    assert max(size for size in sizes.values() if size <= 100_000) > 97_000


def test_no_number_fits_where_files_have_too_much_in_common() -> None:
    sizes = {80_000: 900_000}
    sizes[_guess(sizes, 100_000)] = 190_000
    assert _guess(sizes, 100_000) == 0


def test_fewer_bands_are_tried_with_the_best_settings_of_all_bands(scene: tuple[Gaussians, Judge]) -> None:
    found: list[tuple[float, Gaussians, dict[str, Any]]] = []
    tried = []
    for degree, settings in _candidates(3, [{"a": 1}, {"a": 2}, {"a": 3}], found):
        tried.append((degree, settings.get("a")))
        found.append((30 - abs(settings.get("a", 9) - 2), scene[0], settings))
    assert tried == [(3, 1), (3, 2), (3, 3), (2, 2), (1, 2), (0, None)]
    assert [degree for degree, _ in _candidates(0, [{"a": 1}, {"a": 2}], [])] == [0]
    assert [item for _, item in _candidates(2, [{"a": 1}, {"a": 2}], [])] == [{"a": 1}, {"a": 2}, {"a": 2}, {}]
