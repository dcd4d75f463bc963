"""What to photograph again, and what to doubt: plain words from a few facts. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

FEW_FEATURES = 150  # of about a thousand that a sharp photo has
FEW_PHOTOS = 8
FEW_OBSERVATIONS = 30  # sparse points seen in a photo; below, its pose is loose
LEAST_ANGLE = 2.0  # degrees between the rays to a point; below, depths are guesses
LEAST_AGREEMENT = 0.90  # share of the verified matches; right models of real photos have about 0.95
FOCAL_TOLERANCE = 0.2  # against EXIF, which rounds and leaves out crops
WORST_ERROR = 1.5e-3  # mean reprojection error, of the photos' longer side
_MOST_NAMES = 4
_MODEL = 3  # photos that could have made a model

NO_FEATURES, NO_MATCHES, NOT_CONNECTED, LEFT_OUT = "no features", "no matches", "not connected", "left out"


@dataclass(frozen=True)
class PhotoFacts:
    name: str
    features: int
    partners: int  # photos with which its matches hold a two-view geometry
    component: int  # of the graph of those pairs; photos of one component hang together
    registered: bool
    observations: int = 0  # sparse points it sees
    focal_px: float | None = None  # estimated
    exif_focal_px: float | None = None
    longer_side: int = 0  # pixels


@dataclass(frozen=True)
class Facts:
    photos: Sequence[PhotoFacts]  # in the order of their names
    agreement: float | None = None  # share of the verified matches that agree with the poses
    mean_error_px: float | None = None
    angle_deg: float | None = None  # median over the sparse points: the widest angle they are seen under
    photos_with_gps: int = 0
    gps_used: bool = False
    doubts: Sequence[str] = ()  # why the poses may be wrong, in words, by nerfkit.poses.check


@dataclass(frozen=True)
class Warning:
    kind: str  # stable, for scripts
    text: str  # what is wrong, and what to do
    photos: tuple[str, ...] = ()  # that it is about

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"photos": list(self.photos)}


def reason(photo: PhotoFacts, photos: Iterable[PhotoFacts]) -> str | None:
    """Why a photo has no pose; None where it has one."""
    if photo.registered:
        return None
    if photo.features < FEW_FEATURES and not photo.partners:
        return NO_FEATURES
    if not photo.partners:
        return NO_MATCHES
    linked = any(other.registered for other in photos if other.component == photo.component)
    return LEFT_OUT if linked else NOT_CONNECTED


def warnings(facts: Facts) -> list[Warning]:
    """All there is to say, the most urgent first; empty where all is well."""
    return [*_without_pose(facts), *_model(facts), *_focal_lengths(facts), *_loose(facts), *_gps(facts), *_few(facts)]


def spans(names: Sequence[str], order: Sequence[str]) -> str:
    """Names as people write them: runs of neighbours in ``order`` as "a … c", the rest counted."""
    place = {name: index for index, name in enumerate(order)}
    runs: list[list[str]] = []
    for name in sorted(names, key=lambda name: place[name]):
        if runs and place[name] == place[runs[-1][-1]] + 1:
            runs[-1].append(name)
        else:
            runs.append([name])
    words = [", ".join(run) if len(run) < 3 else f"{run[0]} … {run[-1]}" for run in runs]
    more = sum(map(len, runs[_MOST_NAMES:]))
    return ", ".join(words[:_MOST_NAMES]) + (f" and {more} more" if more else "")


def _without_pose(facts: Facts) -> list[Warning]:
    order = [photo.name for photo in facts.photos]
    by_reason: dict[str, list[PhotoFacts]] = {}
    for photo in facts.photos:
        why = reason(photo, facts.photos)
        if why is not None:
            by_reason.setdefault(why, []).append(photo)
    found = _groups(by_reason.get(NOT_CONNECTED, []), facts)
    advice = {
        NO_MATCHES: (
            ("matches", "match"),
            "no other photo: blurred, or of something else; take two or three pictures that lead from {it} to the next "
            "by name, each showing at least half of what the one before shows, or leave {it} out",
        ),
        NO_FEATURES: (
            ("has", "have"),
            "hardly any features: blurred, dark, or without texture; take {it} again, held still and in more light, "
            "with something patterned in view",
        ),
        LEFT_OUT: (
            ("matches", "match"),
            "others but {fits} nowhere: things that moved, reflections, or patterns that repeat; take {it} again from "
            "a little aside, or try --quality best",
        ),
    }
    for why, (verbs, words) in advice.items():
        names = [photo.name for photo in by_reason.get(why, [])]
        if names:
            many = len(names) > 1
            number = f"{len(names)} photos" if many else "1 photo"
            words = words.format(it="them" if many else "it", fits="fit" if many else "fits")
            text = f"{number} ({spans(names, order)}) {verbs[many]} {words}"
            found.append(Warning(why.replace(" ", "-"), text, tuple(names)))
    return found


def _groups(photos: Sequence[PhotoFacts], facts: Facts) -> list[Warning]:
    """Photos that match each other, but none with a pose."""
    order = [photo.name for photo in facts.photos]
    registered = {photo.name for photo in facts.photos if photo.registered}
    found = []
    for component in dict.fromkeys(photo.component for photo in photos):
        names = [photo.name for photo in photos if photo.component == component]
        if not registered and len(names) >= _MODEL:
            found.append(Warning(
                "no-model",
                f"{len(names)} photos ({spans(names, order)}) match each other, but no camera poses explain them: "
                "taken from one place by turning only, of something flat, or with too little overlap; walk around, a "
                "step aside between pictures, or try --quality best",
                tuple(names),
            ))  # fmt: skip
            continue
        neighbour = _neighbour(names, order, registered)
        between = f"between them and {neighbour}" if neighbour else "between them and the others"
        found.append(Warning(
            "not-connected",
            f"{len(names)} photos ({spans(names, order)}) match each other but don't connect to the rest: take two or "
            f"three pictures {between}, each showing at least half of what the one before shows",
            tuple(names),
        ))  # fmt: skip
    return found


def _neighbour(names: Sequence[str], order: Sequence[str], registered: set[str]) -> str | None:
    """The photo with a pose that is next to the named ones, by name."""
    place = {name: index for index, name in enumerate(order)}
    inside = [place[name] for name in names]
    return min(registered, key=lambda name: (min(abs(place[name] - i) for i in inside), name), default=None)


def _model(facts: Facts) -> list[Warning]:
    found = []
    if not any(photo.registered for photo in facts.photos):
        return []
    if facts.doubts:
        found.append(Warning(
            "doubts",
            f"the poses may be wrong: {'; '.join(facts.doubts)}; look at the cameras in poses.html, and try --seed 1 "
            "or --quality best",
        ))  # fmt: skip
    elif facts.agreement is not None and facts.agreement < LEAST_AGREEMENT:
        found.append(Warning(
            "agreement",
            f"agreement is low: only {100 * facts.agreement:.0f} % of the matches agree with the poses (right models "
            "have 90 % and more), so they may be wrong: see the cameras in poses.html; try --seed 1 or --quality best",
        ))  # fmt: skip
    if facts.angle_deg is not None and facts.angle_deg < LEAST_ANGLE:
        found.append(Warning(
            "no-parallax",
            f"all photos were taken from nearly one place (points are seen under {facts.angle_deg:.1f}° only), so "
            "depths are guesses: walk around, a step aside between pictures, instead of turning on the spot",
        ))  # fmt: skip
    side = max((photo.longer_side for photo in facts.photos), default=0)
    if facts.mean_error_px is not None and side and facts.mean_error_px > WORST_ERROR * side:
        found.append(Warning(
            "reprojection-error",
            f"points miss their pixels by {facts.mean_error_px:.1f} px in the mean, which is much: photos of different "
            "lenses, zooms or crops, or of things that move; try --single-camera no, or another --camera-model",
        ))  # fmt: skip
    return found


def _focal_lengths(facts: Facts) -> list[Warning]:
    wrong: dict[tuple[int, int], list[str]] = {}
    for photo in facts.photos:
        if photo.registered and photo.focal_px and photo.exif_focal_px:
            ratio = photo.focal_px / photo.exif_focal_px
            if not 1 / (1 + FOCAL_TOLERANCE) < ratio < 1 + FOCAL_TOLERANCE:
                wrong.setdefault((round(photo.focal_px), round(photo.exif_focal_px)), []).append(photo.name)
    order = [photo.name for photo in facts.photos]
    return [
        Warning(
            "focal-length",
            f"the focal length found for {spans(names, order)} ({found} px) differs from EXIF's ({exif} px) by "
            f"{abs(100 * (found / exif - 1)):.0f} %: right if they were cropped or stabilised, else the poses are "
            "bent; photograph things nearer and farther away, or try --camera-model SIMPLE_RADIAL",
            tuple(names),
        )
        for (found, exif), names in wrong.items()
    ]


def _loose(facts: Facts) -> list[Warning]:
    names = [p.name for p in facts.photos if p.registered and p.observations < FEW_OBSERVATIONS]
    if not names:
        return []
    words = "its pose is" if len(names) == 1 else "their poses are"
    return [Warning(
        "loose",
        f"{spans(names, [photo.name for photo in facts.photos])}: {words} held by fewer than {FEW_OBSERVATIONS} points "
        "and may be off; take another picture close by, or leave out what looks wrong in poses.html",
        tuple(names),
    )]  # fmt: skip


def _gps(facts: Facts) -> list[Warning]:
    if facts.photos_with_gps < 3 or facts.gps_used:
        return []
    return [Warning(
        "gps",
        f"{facts.photos_with_gps} photos have GPS, but their places are too close together, or too rough, for the "
        "poses: it is not used; give a known distance by --scale-ref to get metres",
    )]  # fmt: skip


def _few(facts: Facts) -> list[Warning]:
    count = sum(photo.registered for photo in facts.photos)
    if not 0 < count < FEW_PHOTOS:
        return []
    return [Warning(
        "few-photos", f"only {count} photos with a pose: 20 to 200, from all around, make a much better scene",
    )]  # fmt: skip
