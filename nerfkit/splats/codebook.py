"""Codebooks: few values, or few vectors, that stand for many."""

from __future__ import annotations

import torch
from torch import Tensor

from nerfkit.splats.blocks import blocks

_ROUNDS = 12  # of Lloyd's algorithm
_MOST_VALUES = 1 << 20  # that a codebook of numbers is learned from
_SAMPLES_PER_CENTER = 48
_ROWS = 1 << 13  # of a distance matrix at a time


def sampled(values: Tensor) -> Tensor:
    """The numbers [N] of an array [rows, ...], or of every so-manieth row where there are more than a codebook needs.

    Whole rows: every third number would be of one axis or one colour only.
    """
    rows = values.flatten(1) if values.ndim > 1 else values[:, None]
    return rows[:: -(-rows.numel() // _MOST_VALUES) or 1].reshape(-1)


def scalar_codebook(values: Tensor, size: int = 256) -> Tensor:
    """The ``size`` numbers, in order, that stand for values with the least squared error (Lloyd 1982)."""
    values = sampled(values).double().sort().values
    spread = torch.linspace(0, 1, size, dtype=torch.float64)
    even = values[0] + (values[-1] - values[0]) * spread
    often = values[(spread * (len(values) - 1)).long()]
    centers = ((even + often) / 2).sort().values  # tails and the crowded middle both get some
    totals = torch.cat([values.new_zeros(1), values.cumsum(0)])
    for _ in range(_ROUNDS):
        edges = torch.searchsorted(values, (centers[1:] + centers[:-1]) / 2)
        edges = torch.cat([edges.new_zeros(1), edges, edges.new_full((1,), len(values))])
        counts = edges.diff()
        means = (totals[edges[1:]] - totals[edges[:-1]]) / counts.clamp_min(1)
        centers = torch.where(counts > 0, means, centers).sort().values
    return centers.float()


def nearest_in(codebook: Tensor, values: Tensor) -> Tensor:
    """The index of the nearest number of a sorted codebook for each value, of any shape."""
    middles = (codebook[1:] + codebook[:-1]) / 2
    return torch.searchsorted(middles, values.contiguous())


def vector_codebook(vectors: Tensor, size: int, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Centers [at most size, D] and labels [N] of vectors [N, D]: weighted k-means in two levels.

    About sqrt(size) clusters first, then each is divided by itself, into a part of ``size`` that grows with its
    squared error: a thousandth of the distances that k-means of one level takes, and nearly its error.

    Args:
        weights: [N] how much each vector's error counts; all the same by default.
    """
    if size >= len(vectors):
        return vectors.clone(), torch.arange(len(vectors))
    rng = torch.Generator().manual_seed(0)
    weights = torch.ones(len(vectors)) if weights is None else weights.float().clamp_min(1e-12)
    coarse_size = max(1, round(size**0.5))
    sample = torch.randperm(len(vectors), generator=rng)[: coarse_size * _SAMPLES_PER_CENTER]
    coarse = _assign(vectors, _kmeans(vectors[sample], weights[sample], coarse_size, rng))
    order = coarse.argsort(stable=True)
    groups = order.split(torch.bincount(coarse, minlength=coarse_size).tolist())
    spread = torch.stack([_spread(vectors[rows], weights[rows]) for rows in groups])
    shares = spread / spread.sum().clamp_min(1e-30) * (size - coarse_size)
    centers, labels, first = [], torch.empty(len(vectors), dtype=torch.int64), 0
    for rows, share in zip(groups, shares.floor().long().tolist()):
        if len(rows):
            found = _kmeans(vectors[rows], weights[rows], min(1 + share, len(rows)), rng)
            labels[rows] = first + _assign(vectors[rows], found)
            centers.append(found)
            first += len(found)
    return torch.cat(centers), labels


def _spread(vectors: Tensor, weights: Tensor) -> Tensor:
    """The squared error of a cluster, damped: what is gained by dividing it falls with the number of parts."""
    if not len(vectors):
        return torch.zeros((), dtype=torch.float64)
    mean = (vectors * weights[:, None]).sum(0) / weights.sum()
    error = ((vectors - mean).square().sum(1).double() * weights).sum()
    return (error * len(vectors)).sqrt()


def _kmeans(vectors: Tensor, weights: Tensor, size: int, rng: torch.Generator) -> Tensor:
    if size >= len(vectors):
        return vectors
    centers = vectors[torch.multinomial(weights, size, generator=rng)]
    for _ in range(_ROUNDS):
        labels = _assign(vectors, centers)
        totals = torch.zeros(size).index_add_(0, labels, weights)
        sums = torch.zeros_like(centers).index_add_(0, labels, vectors * weights[:, None])
        centers = torch.where(totals[:, None] > 0, sums / totals.clamp_min(1e-30)[:, None], centers)
    return centers


def _assign(vectors: Tensor, centers: Tensor) -> Tensor:
    half_squares = centers.square().sum(1) / 2
    labels = torch.empty(len(vectors), dtype=torch.int64)
    for rows in blocks(len(vectors), _ROWS):
        labels[rows] = torch.addmm(half_squares, vectors[rows], centers.T, alpha=-1).argmin(1)
    return labels
