"""Checkpoints: nested dicts of tensors and JSON values in one safetensors file, never pickle.

The header has one entry, ``nerfkit``: a JSON text with the format's version, the model's name, the step, and the
tree of the state, in which ``{"tensor": name}`` stands for a tensor of the file. It holds no times, so that equal
runs write equal bytes.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from nerfkit.errors import NerfkitError
from nerfkit.files import remove_abandoned
from nerfkit.tensor_file import save_tensors

VERSION = 1
KEPT = 2  # the newest and one before it, should the newest be damaged

log = logging.getLogger("nerfkit")


@dataclass(frozen=True)
class Checkpoint:
    model: str  # its name in MODELS
    step: int
    state: dict[str, Any]


def save(folder: Path, checkpoint: Checkpoint) -> Path:
    """Writes ``step_000123.safetensors`` whole or not at all, then removes all but the newest two.

    Raises:
        NerfkitError: no space left, or no permission; older checkpoints stay.
    """
    tensors: dict[str, Tensor] = {}
    header = {"version": VERSION, "model": checkpoint.model, "step": checkpoint.step}
    header["state"] = _pack(checkpoint.state, "", tensors)
    path = folder / f"step_{checkpoint.step:06d}.safetensors"
    remove_abandoned(folder, age=0)  # before there may be too little space; training has the run's lock
    save_tensors(path, tensors, {"nerfkit": json.dumps(header)})
    for old in list_newest_first(folder)[KEPT:]:
        old.unlink(missing_ok=True)
    return path


def load(path: Path) -> Checkpoint:
    """Reads one file.

    Raises:
        NerfkitError: truncated or damaged, no checkpoint of nerfkit, or of another version.
    """
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("nerfkit")
            if text is None:
                raise NerfkitError(f"{path}: not a nerfkit checkpoint; take it out of the run's folder")
            header = json.loads(text)
            if header["version"] != VERSION:
                raise NerfkitError(
                    f"{path}: checkpoint format {header['version']}, this nerfkit reads format {VERSION}; "
                    "use the nerfkit that wrote it, or train again with --overwrite"
                )
            return Checkpoint(header["model"], header["step"], _unpack(header["state"], file))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise NerfkitError(
            f"{path}: truncated or damaged checkpoint ({error}); "
            "delete it to go on from an older one, or train again with --overwrite"
        ) from None


def load_newest(folder: Path) -> Checkpoint:
    """The newest checkpoint that can be read; warns of each newer one that cannot.

    Raises:
        NerfkitError: there is none, or the error of the newest if none can be read.
    """
    first_error: NerfkitError | None = None
    for path in list_newest_first(folder):
        try:
            checkpoint = load(path)
        except NerfkitError as error:
            first_error = first_error or error
            continue
        if first_error is not None:
            log.warning("%s; going on from %s", first_error, path.name)
        return checkpoint
    raise first_error or _none_yet(folder)


def _none_yet(folder: Path) -> NerfkitError:
    return NerfkitError(f"{folder}: no checkpoint yet; train the run first (--overwrite starts it anew)")


def fingerprint(folder: Path) -> str:
    """A hash of the checkpoints: equal only for equal models.

    Raises:
        NerfkitError: there is none.
    """
    files = list_newest_first(folder)
    if not files:
        raise _none_yet(folder)
    digest = hashlib.blake2b(digest_size=16)
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()


def list_newest_first(folder: Path) -> list[Path]:
    found = [path for path in folder.glob("step_*.safetensors") if path.stem[5:].isdigit()]
    return sorted(found, key=step_of, reverse=True)


def step_of(path: Path) -> int:
    """The step of a checkpoint, by the name of its file."""
    return int(path.stem[5:])


def _pack(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """The JSON tree of a state; its tensors land in ``tensors``. Dicts are lists of pairs: keys may be integers."""
    if isinstance(value, Tensor):
        while name in tensors:  # {"a": {"b": …}, "a/b": …}
            name += "_"
        tensors[name] = _own_memory(value, tensors)
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"dict": [[key, _pack(item, f"{name}/{key}".lstrip("/"), tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_pack(item, f"{name}/{index}", tensors) for index, item in enumerate(value)]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"state_dict()[{name!r}] is a {type(value).__name__}: neither a tensor nor a JSON value")


def _unpack(tree: Any, file: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == "tensor":
        return file.get_tensor(content)
    if kind == "dict":
        return {key: _unpack(item, file) for key, item in content}
    items = [_unpack(item, file) for item in content]
    return items if kind == "list" else tuple(items)


def _own_memory(tensor: Tensor, others: Mapping[str, Tensor]) -> Tensor:
    """On the CPU, contiguous, and sharing memory with no other tensor: safetensors refuses views."""
    tensor = tensor.detach().cpu()
    storage = tensor.untyped_storage()
    shared = any(storage.data_ptr() == other.untyped_storage().data_ptr() for other in others.values())
    whole = storage.nbytes() == tensor.numel() * tensor.element_size()
    return tensor.contiguous() if whole and not shared else tensor.clone(memory_format=torch.contiguous_format)
