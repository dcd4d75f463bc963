"""The PyTorch definition of every operator of the render core: slow, readable, in any float precision.

Every kernel is tested against this file, values and gradients. The gradients here are autograd's; nothing in
this file is written for speed beyond culling whole tiles of splats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from nerfkit.contracts import Cameras, Gaussians
from nerfkit.core._header import constants
from nerfkit.core.types import Output

_TILE = 16  # the reference's own tiles; their size does not change the picture


@dataclass(frozen=True)
class Splats:
    """Gaussians projected to the image (all [N, …]); culled ones have ``visible`` False."""

    means: Tensor  # [N, 2] pixels
    conics: Tensor  # [N, 3] a b c
    opacities: Tensor  # [N] as drawn: antialiased ones are less than the Gaussians'
    depths: Tensor  # [N] of the means
    slopes: Tensor  # [N, 2] change of depth from a pixel to the next
    colors: Tensor  # [N, 3]
    normals: Tensor  # [N, 3]
    extents: Tensor  # [N, 2] half sizes of the box outside of which alpha < ALPHA_MIN
    visible: Tensor  # [N] bool


def rotation_of(quats: Tensor) -> Tensor:
    """Rotation matrices [N, 3, 3] of quaternions [N, 4] w x y z of any length."""
    w, x, y, z = torch.nn.functional.normalize(quats, dim=-1).unbind(-1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def sh_basis(directions: Tensor, degree: int) -> Tensor:
    """Real spherical harmonics [N, (degree + 1)^2] at unit directions [N, 3], degree 0 to 3.

    Order and signs are those of Kerbl et al. 2023 (the Inria code and every splat file).
    """
    x, y, z = directions.unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    terms = [torch.full_like(x, 0.28209479177387814)]
    if degree >= 1:
        terms += [-0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x]
    if degree >= 2:
        terms += [
            1.0925484305920792 * x * y,
            -1.0925484305920792 * y * z,
            0.31539156525252005 * (2 * zz - xx - yy),
            -1.0925484305920792 * x * z,
            0.5462742152960396 * (xx - yy),
        ]
    if degree >= 3:
        terms += [
            -0.5900435899266435 * y * (3 * xx - yy),
            2.890611442640554 * x * y * z,
            -0.4570457994644658 * y * (4 * zz - xx - yy),
            0.3731763325901154 * z * (2 * zz - 3 * xx - 3 * yy),
            -0.4570457994644658 * x * (4 * zz - xx - yy),
            1.445305721320277 * z * (xx - yy),
            -0.5900435899266435 * x * (xx - 3 * yy),
        ]
    return torch.stack(terms, -1)


def colors_from(center: Tensor, gaussians: Gaussians, degree: int) -> Tensor:
    """The colours [N, 3] that Gaussians have seen from a point [3]."""
    basis = sh_basis(torch.nn.functional.normalize(gaussians.means - center, dim=-1), degree)
    return (0.5 + torch.einsum("nk,nkc->nc", basis, gaussians.sh[:, : basis.shape[1]])).clamp_min(0)


def normals_towards(center: Tensor, gaussians: Gaussians) -> Tensor:
    """The Gaussians' shortest axes [N, 3], turned towards a point [3]."""
    shortest = gaussians.scales.argmin(-1)
    normals = rotation_of(gaussians.quats).gather(2, shortest[:, None, None].expand(-1, 3, 1))[:, :, 0]
    away = ((center - gaussians.means) * normals).sum(-1, keepdim=True) < 0
    return torch.where(away, -normals, normals)


def project(gaussians: Gaussians, camera: Cameras, degree: int, near: float = 0.01) -> Splats:
    """Projects Gaussians to splats: EWA splatting (Zwicker et al. 2001, eq. 29-32) and SH colours.

    The 2D covariance is ``J W Sigma W^T J^T + 0.3 I``, with J the Jacobian of the perspective division at the
    mean, whose ``x / z`` and ``y / z`` are clamped to 1.3 times the view. Pixel and depth are jointly Gaussian; the
    densest point that a pixel sees lies at ``depth + slope . (pixel - mean)``, with ``slope = cov2d^-1 cov_z`` of
    ``cov_z = J W Sigma W^T e_z`` (Zhang et al. 2024, RaDe-GS, eq. 9-11, without the blur). Antialiased Gaussians become
    as much more transparent as the blur makes them larger (Yu et al. 2024, Mip-Splatting, eq. 10).
    """
    c = constants()
    cam_from_world = camera.cam_from_world[0]
    rotation, translation = cam_from_world[:3, :3], cam_from_world[:3, 3]
    fx, fy, cx, cy = camera.intrinsics[0].unbind()
    t = gaussians.means @ rotation.T + translation  # [N, 3]
    z = t[:, 2]
    margin = (c["FRUSTUM_MARGIN"] - 1) / 2
    x, y = t[:, 0] / z, t[:, 1] / z
    tx = x.clamp((-cx - margin * camera.width) / fx, (camera.width - cx + margin * camera.width) / fx)
    ty = y.clamp((-cy - margin * camera.height) / fy, (camera.height - cy + margin * camera.height) / fy)
    zero = torch.zeros_like(z)
    jacobian = torch.stack(
        [torch.stack([fx / z, zero, -fx * tx / z], -1), torch.stack([zero, fy / z, -fy * ty / z], -1)], -2
    )  # [N, 2, 3]
    axes = rotation_of(gaussians.quats)  # [N, 3, 3]: columns are the axes
    factor = jacobian @ rotation @ axes * gaussians.scales[:, None]  # [N, 2, 3]
    along = rotation[2] @ axes * gaussians.scales  # [N, 3]
    cov_xz, cov_yz = (factor @ along[:, :, None])[:, :, 0].unbind(1)
    covariance = factor @ factor.transpose(1, 2)
    cov_xx = covariance[:, 0, 0] + c["SCREEN_BLUR"]
    cov_xy = covariance[:, 0, 1]
    cov_yy = covariance[:, 1, 1] + c["SCREEN_BLUR"]
    determinant = (cov_xx * cov_yy - cov_xy**2).clamp_min(1e-12)
    conics = torch.stack([cov_yy, -cov_xy, cov_xx], -1) / determinant[:, None]

    conic_a, conic_b, conic_c = conics.unbind(1)
    slopes = torch.stack([conic_a * cov_xz + conic_b * cov_yz, conic_b * cov_xz + conic_c * cov_yz], 1)

    center = camera.world_from_cam[0, :3, 3]
    colors, normals = colors_from(center, gaussians, degree), normals_towards(center, gaussians)
    means = torch.stack([fx * x + cx, fy * y + cy], -1)
    opacities = gaussians.opacities
    if gaussians.antialiased:
        unblurred = covariance[:, 0, 0] * covariance[:, 1, 1] - cov_xy**2
        opacities = opacities * (unblurred / determinant).clamp_min(c["COVERAGE_MIN"] ** 2).sqrt()
    cut = 2 * torch.log((opacities / c["ALPHA_MIN"]).clamp_min(1))
    extents = torch.stack([(cut * cov_xx).sqrt(), (cut * cov_yy).sqrt()], -1).detach()
    size = means.new_tensor([camera.width, camera.height])
    inside = ((means + extents > 0) & (means - extents < size)).all(-1)
    visible = (z > near) & (opacities >= c["ALPHA_MIN"]) & inside
    return Splats(means, conics, opacities, z, slopes, colors, normals, extents, visible)


def compositing_weights(alphas: Tensor) -> tuple[Tensor, Tensor]:
    """Front-to-back weights ``w_i = alpha_i prod_{j<i} (1 - alpha_j)`` of S samples (Max 1995, eq. 3).

    Args:
        alphas: [P, S], near to far, below 1.

    Returns:
        The weights [P, S] and the transmittance left [P]. A sample in front of which the transmittance is at most
        TRANSMITTANCE_MIN is not drawn (not differentiable there).
    """
    through = torch.cumprod(1 - alphas, 1)
    before = torch.cat([torch.ones_like(through[:, :1]), through[:, :-1]], 1)
    open_ = before > constants()["TRANSMITTANCE_MIN"]
    alphas = torch.where(open_, alphas, 0)
    before = torch.where(open_, before, before.detach())
    left = torch.prod(1 - alphas, 1) if alphas.shape[1] else alphas.new_ones(len(alphas))
    return alphas * before, left


def composite(alphas: Tensor, values: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Composites the samples of R rays, packed one ray after the other, near to far.

    Args:
        alphas: [S] in [0, 1]; above ALPHA_MAX they count as ALPHA_MAX and pass no gradient on.
        values: [S, C].
        offsets: [R + 1]; ray r has the samples offsets[r] .. offsets[r + 1].

    Returns:
        The sums ``sum_i w_i v_i`` [R, C], the transmittance left [R], and the weights [S].
    """
    counts = offsets.diff()
    place = torch.arange(int(counts.max()) if len(counts) else 0, device=offsets.device)  # along a ray
    exists = place < counts[:, None]  # [R, S]: rays of fewer samples are filled up with empty ones
    padded = alphas.new_zeros(exists.shape).masked_scatter(exists, alphas.clamp_max(constants()["ALPHA_MAX"]))
    of_rays, left = compositing_weights(padded)
    weights = of_rays[exists]
    ray = torch.arange(len(counts), device=offsets.device).repeat_interleave(counts)
    sums = values.new_zeros(len(counts), values.shape[1]).index_add(0, ray, weights[:, None] * values)
    return sums, left, weights


def mlp(
    input: Tensor,
    weights: Tensor,
    widths: Sequence[int],
    shared: Tensor | None = None,
    index: Tensor | None = None,
    output: Output = "linear",
) -> Tensor:
    """A multilayer perceptron without biases, ReLU behind every layer but the last: [S, widths[-1]].

    Args:
        input: [S, I].
        weights: [P], the matrices [out, in] of the layers, flat, one after the other.
        widths: of the input, I or I + J, and of what lies behind each layer.
        shared: [B, J], rows that many samples have in common: ``shared[index[s]]`` follows a sample's own.
        index: [S], below B.
        output: what follows the last layer.
    """
    if shared is not None and index is not None:
        input = torch.cat([input, shared[index.long()]], 1)
    matrices = weights.split([before * after for before, after in pairwise(widths)])
    for layer, (matrix, (before, after)) in enumerate(zip(matrices, pairwise(widths), strict=True)):
        input = input @ matrix.view(after, before).T
        if layer + 2 < len(widths):
            input = input.relu()
    return input if output == "linear" else getattr(torch, output)(input)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Tile:
    """P pixels, row by row, and the S splats that may reach them, near to far."""

    rows: int
    columns: int
    chosen: Tensor  # [S] of all splats
    away: Tensor  # [P, S, 2] from the splats' means to the pixels' centres
    depths: Tensor  # [P, S]
    weights: Tensor  # [P, S]
    left: Tensor  # [P] transmittance


def tiles(splats: Splats, width: int, height: int) -> list[list[Tile]]:
    """What each pixel sees of the splats, in rows of tiles.

    ``alpha_i(p) = min(ALPHA_MAX, opacity_i exp(-(a dx^2 + c dy^2) / 2 - b dx dy))`` (Kerbl et al. 2023, eq. 3).
    """
    near_to_far = torch.argsort(splats.depths, stable=True)
    order = near_to_far[splats.visible[near_to_far]]
    return [
        [
            _tile(splats, order, range(x, min(x + _TILE, width)), range(y, min(y + _TILE, height)))
            for x in range(0, width, _TILE)
        ]
        for y in range(0, height, _TILE)
    ]


def _tile(splats: Splats, order: Tensor, xs: range, ys: range) -> Tile:
    low, high = (splats.means - splats.extents).detach(), (splats.means + splats.extents).detach()
    touches = (high[order, 0] >= xs.start) & (low[order, 0] <= xs.stop)
    touches &= (high[order, 1] >= ys.start) & (low[order, 1] <= ys.stop)
    chosen = order[touches]
    pixels = torch.cartesian_prod(low.new_tensor(ys), low.new_tensor(xs)).flip(1) + 0.5  # [P, 2]
    away = pixels[:, None] - splats.means[chosen]
    a, b, c = splats.conics[chosen].unbind(-1)
    power = -(a * away[..., 0] ** 2 + c * away[..., 1] ** 2) / 2 - b * away[..., 0] * away[..., 1]
    alphas = (splats.opacities[chosen] * power.exp()).clamp_max(constants()["ALPHA_MAX"])
    weights, left = compositing_weights(torch.where(alphas >= constants()["ALPHA_MIN"], alphas, 0))
    # Apart from `away`, at which only the gradient of the opacities shall pull: see SplatStats.
    depths = splats.depths[chosen] + ((pixels[:, None] - splats.means[chosen]) * splats.slopes[chosen]).sum(-1)
    return Tile(len(ys), len(xs), chosen, away, depths, weights, left)


def _planes(seen: list[list[Tile]], of_tile: Callable[[Tile], Tensor]) -> Tensor:
    """Puts together what a function knows of each tile's pixels, [P, C]: planes [C, H, W]."""
    return torch.cat(
        [torch.cat([of_tile(tile).T.unflatten(1, (tile.rows, tile.columns)) for tile in row], 2) for row in seen], 1
    )


def draw(seen: list[list[Tile]], splats: Splats, background: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """Planes [C, H, W] and alpha [H, W] of what is seen.

    C is 3 (rgb over the background), 4 (and depth) or 7 (and normal); depth and normal are weighted sums.
    """

    def of_tile(tile: Tile) -> Tensor:
        colors = tile.weights @ splats.colors[tile.chosen] + tile.left[:, None] * background
        depth = (tile.weights * tile.depths).sum(1, keepdim=True)
        return torch.cat([colors, depth, tile.weights @ splats.normals[tile.chosen]], 1)[:, :channels]

    image = _planes(seen, of_tile)
    return image, 1 - _planes(seen, lambda tile: tile.left[:, None])[0]


def median_depth(seen: list[list[Tile]]) -> Tensor:
    """The mean depth [H, W] of the middle half of the light; 0 where less than half of it is gone.

    Splats count by what they take of the transmittance between 3/4 and 1/4: the interquartile mean, which like the
    median hears of nothing that takes less than a quarter of the light, but does not jump from splat to splat.
    """

    def of_tile(tile: Tile) -> Tensor:
        after = 1 - tile.weights.cumsum(1)
        middle = (after + tile.weights).clamp(0.25, 0.75) - after.clamp(0.25, 0.75)  # [P, S]
        depth = (middle * tile.depths).sum(1) / (0.75 - tile.left.clamp(0.25, 0.75)).clamp_min(0.25)
        return torch.where(tile.left < 0.5, depth, 0)[:, None]

    return _planes(seen, of_tile)[0]


def rasterize(splats: Splats, width: int, height: int, background: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """Draws splats, near to far: planes [C, H, W] and alpha [H, W]; see :func:`tiles` and :func:`draw`."""
    return draw(tiles(splats, width, height), splats, background, channels)


def absolute_mean_gradients(splats: Splats, width: int, height: int, background: Tensor, grad_image: Tensor) -> Tensor:
    """Sums over the pixels of the absolute gradients of splats' means: [N, 2], for a gradient [C, H, W] of the image.

    In the plain gradient what pulls a large splat's pixels in different directions cancels; here it does not
    (Ye et al. 2024, AbsGS). One backward pass a pixel: for tiny images only.
    """
    image, _ = rasterize(splats, width, height, background, len(grad_image))
    total = torch.zeros_like(splats.means)
    for value in (image * grad_image).sum(0).flatten():
        total += torch.autograd.grad(value, splats.means, retain_graph=True)[0].abs()
    return total


def ssim_window(dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu") -> Tensor:
    """The 11-tap Gaussian window of sigma 1.5 [11] (Wang et al. 2004, section III-B)."""
    x = torch.arange(-5, 6, dtype=dtype, device=device)
    window = torch.exp(-(x**2) / (2 * 1.5**2))
    return window / window.sum()


def blur(planes: Tensor) -> Tensor:
    """Planes [C, H, W] averaged over SSIM's window, with zero padding."""
    window = ssim_window(planes.dtype, planes.device)
    rows = torch.nn.functional.conv2d(planes[:, None], window[None, None, None, :], padding=(0, 5))
    return torch.nn.functional.conv2d(rows, window[None, None, :, None], padding=(5, 0))[:, 0]


def ssim_map(image: Tensor, target: Tensor) -> Tensor:
    """SSIM at every pixel of planes [C, H, W] (Wang et al. 2004, eq. 13), zero padding."""
    mx, my = blur(image), blur(target)
    sxx = blur(image * image) - mx * mx
    syy = blur(target * target) - my * my
    sxy = blur(image * target) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    return (2 * mx * my + c1) * (2 * sxy + c2) / ((mx * mx + my * my + c1) * (sxx + syy + c2))


def photometric_loss(image: Tensor, target: Tensor, ssim_weight: float) -> Tensor:
    """``(1 - w) mean |x - y| + w (1 - mean SSIM)`` of planes [C, H, W] (Kerbl et al. 2023, eq. 7)."""
    return (1 - ssim_weight) * (image - target).abs().mean() + ssim_weight * (1 - ssim_map(image, target).mean())


@torch.no_grad()
def adam(
    param: Tensor, grad: Tensor, m: Tensor, v: Tensor, step: int, lr: Tensor, betas: tuple[float, float],
    epsilon: float, drawn: Tensor | None = None,
) -> None:  # fmt: skip
    """One Adam step in place (Kingma & Ba 2015, algorithm 1); ``lr`` [L] repeats over the parameter's entries.

    With ``drawn`` [R] only the marked ones of the parameter's R rows change, and their moments.
    """
    if drawn is not None:
        before = [tensor.clone() for tensor in (param, m, v)]
        adam(param, grad, m, v, step, lr, betas, epsilon)
        for tensor, old in zip((param, m, v), before, strict=True):
            tensor.view(len(drawn), -1)[drawn == 0] = old.view(len(drawn), -1)[drawn == 0]
        return
    m.mul_(betas[0]).add_(grad, alpha=1 - betas[0])
    v.mul_(betas[1]).addcmul_(grad, grad, value=1 - betas[1])
    denominator = (v / (1 - betas[1] ** step)).sqrt() + epsilon
    rates = lr.to(param).repeat(param.numel() // lr.numel()).view_as(param)
    param.sub_(rates * (m / (1 - betas[0] ** step)) / denominator)
