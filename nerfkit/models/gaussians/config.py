"""The options of the Gaussians model. Imports no torch; the docstrings are the command line's help."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from nerfkit.limits import Count, Degree, Natural, NotNegative, PositiveShare, Share, Within
from nerfkit.models.options import ModelOptions
from nerfkit.models.photos import default_exposure, default_masks

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene

log = logging.getLogger("nerfkit")

_CAPS = {"cpu": (1 / 3, 60_000, 100_000), "cuda": (1 / 2, 200_000, 2_000_000)}  # share of pixels; least, most
COARSE_UNTIL = 0.4
_SOFT_UNTIL = 0.9  # for photos whose half size is as good
_SHARP, _SOFT = 35.0, 45.0  # dB that half the size keeps: as much as, and far more than, a scene reaches


@dataclass
class Config(ModelOptions):
    """3D Gaussians. Everything scheduled is a function of progress (0 to 1), whatever the run's length."""

    cap: Count | None = None
    """Most Gaussians the model may have (default: a third of a photo's pixels, from 60,000 to 100,000; on a GPU half of
    them, from 200,000 to 2,000,000)."""
    sh_degree: Degree = 3
    """Degree of the view-dependent colour (spherical harmonics), 0 to 3."""
    density: Literal["split", "mcmc"] = "split"
    """How Gaussians are added: split and clone where the image asks for it, or MCMC relocation."""
    background: Literal["auto", "random", "black", "white"] | None = None
    """What is behind the scene; auto: random colours while training, before which nothing solid can stay see-through,
    and in renders and the last fifth of the steps black; for photos with an alpha channel random colours to the end,
    and white in renders (default: black or white where the photos show that along their borders, black with geometry,
    else auto)."""
    coarse_levels: Annotated[int, Within(0, 8)] = 2
    """How often the photos' sides are halved at first; each level lasts as long as the others. 0: never."""
    coarse_until: Share | None = None
    """Progress at which the photos reach their full size (default: 0.4; on a CPU up to 0.9 for photos that lose little
    at half of their size, as phones' and videos' often do)."""
    antialiased: bool = True
    """Whether Gaussians get more transparent as they get smaller than a pixel, so that pictures of any size and from
    any distance look right (Mip-Splatting); see nerfkit export --help for files."""
    ssim_weight: Share = 0.2
    """Share of SSIM in the loss; the rest is L1."""
    masks: Literal["ignore", "empty"] | None = None
    """What mask files mean: pixels to leave out, since something stands before the scene there, or that nothing is
    there (default: as the sparse points tell; transparent pixels are empty)."""
    exposure: Literal["on", "off"] | None = None
    """Whether each photo has an exposure and white balance of its own; renders have the mean of all (default: on where
    the photos differ by more than a quarter of a stop, as a standard deviation)."""
    exposure_lr: NotNegative = 5e-3
    """First learning rate of the photos' exposures."""
    initial_opacity: PositiveShare = 0.1
    """Opacity of a Gaussian that starts from a sparse point."""
    means_lr: NotNegative = 3.2e-4
    """First learning rate of positions, in scene units."""
    means_final_lr: PositiveShare = 0.2
    """What is left at the end of the positions' learning rate."""
    scales_lr: NotNegative = 1e-2
    """Learning rate of the logarithms of scales."""
    quats_lr: NotNegative = 2e-3
    """Learning rate of rotations."""
    opacities_lr: NotNegative = 5e-2
    """Learning rate of the logits of opacities."""
    sh_lr: NotNegative = 5e-3
    """Learning rate of colours; the view-dependent coefficients get a twentieth."""
    sparse_adam: bool = False
    """Whether a step changes only the Gaussians that its photo shows; else the others go on by their momentum."""
    final_lr: PositiveShare = 0.5
    """What is left at the end of every other learning rate."""
    densify_from: Share = 0.03
    """Progress at which Gaussians begin to be added."""
    densify_until: Share = 0.6
    """Progress at which the last Gaussians are added."""
    densify_events: Natural = 40
    """How many times Gaussians are added and pruned."""
    prune_opacity: Share = 0.005
    """Gaussians that become more transparent than this are removed."""
    geometry: bool = False
    """Whether Gaussians are made to lie on surfaces, for meshes: flat, with the normals of the depth they show."""
    geometry_from: Share = 0.3
    """Progress at which that begins."""
    geometry_share: Share = 0.5
    """Share of the steps, from then on, that are for the surface as well as for the photo: they take longer."""
    normal_weight: NotNegative = 0.07
    """Share of the loss between the Gaussians' normals and those of the depth map."""
    median_weight: NotNegative = 0.2
    """Share of the difference between expected and median depth, relative to the depth."""
    flat_weight: NotNegative = 1.0
    """Share of the Gaussians' mean thickness, in scene units."""
    patch_weight: NotNegative = 0.03
    """Share of how unlike patches of the surface are in a neighbouring photo (1 - NCC, as in PGSR), in the same steps;
    0: never."""
    patch_from: Share = 0.5
    """Progress at which that begins: surfaces are near their places by then."""
    noise_lr: NotNegative = 5e4
    """MCMC only: strength of the exploration noise."""

    @classmethod
    def kept(cls, values: dict[str, Any]) -> Self:
        before: dict[str, Any] = {"antialiased": False, "exposure": "off", "masks": "empty", "patch_weight": 0.0}
        return cls(**before | values)

    def chosen_for(self, scene: Scene, device: str) -> dict[str, Any]:
        until = self.coarse_until
        if until is None:
            until = default_coarse_until(scene, device) if self.coarse_levels else COARSE_UNTIL
        return {
            "cap": default_cap(scene, device),
            "exposure": self.exposure or default_exposure(scene),
            "masks": self.masks or default_masks(scene, "gaussians"),
            "background": self.background or default_background(scene, self.geometry),
            "coarse_until": until,
        }


def default_cap(scene: Scene, device: str) -> int:
    """As many Gaussians as show a photo's detail, but not so many that each step takes long on ``device``."""
    pixels = max(view.camera.width * view.camera.height for view in scene.views)
    share, least, most = _CAPS[device.partition(":")[0]]
    return min(max(int(share * pixels), least), most)


def default_background(scene: Scene, geometry: bool = False) -> Literal["auto", "black", "white"]:
    """A plain backdrop need not be learned. With ``geometry``, views agree better on the surface before black, which
    has a mesh be smoothed less."""
    from nerfkit.data.backdrop import backdrop

    if scene.has_alpha:
        return "auto"
    return backdrop(scene) or ("black" if geometry else "auto")


def default_coarse_until(scene: Scene, device: str) -> float:
    """The longer, the less detail photos have beyond half of their size: that teaches as much in a third of the time.

    Not on a GPU, where there is time for all of them, and Gaussians for what little detail there is.
    """
    from nerfkit.data.detail import kept_at_half

    if device.partition(":")[0] == "cuda":
        return COARSE_UNTIL
    kept = kept_at_half(scene)
    share = min(max((kept - _SHARP) / (_SOFT - _SHARP), 0.0), 1.0)
    if share == 0:
        return COARSE_UNTIL
    until = round(COARSE_UNTIL + share * (_SOFT_UNTIL - COARSE_UNTIL), 2)
    log.info("the photos are soft, half of their size keeps them to %.0f dB: training sees all of it from %.0f %% of "
             "its time on (else: --gaussians.coarse-until %g)", kept, 100 * until, COARSE_UNTIL)  # fmt: skip
    return until
