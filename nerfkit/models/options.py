"""What the options of all scene models share. Imports no torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from nerfkit import limits

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene


@dataclass
class ModelOptions:
    """A model's options. Those that are None are chosen once it is known where the model is trained, and on what."""

    @classmethod
    def kept(cls, values: dict[str, Any]) -> Self:
        """The options of a run's ``config.toml``. What older ones lack is as it was before there was a choice.

        Raises:
            TypeError: an option that there isn't.
        """
        return cls(**values)

    def check(self, model: str) -> None:
        """Raises NerfkitError: values out of their limits, or that make no sense together; as ``--MODEL.option``."""
        limits.check(self, f"{model}.")

    def for_device(self, device: str) -> Self:
        """The same with a value for each option that the device decides on and that wasn't given.

        A run keeps these in its ``config.toml``, so that it goes on as it began, on whatever machine.
        """
        return self.filled(self.chosen(device))

    def chosen(self, device: str) -> dict[str, Any]:
        """What the device decides on, by name: ``cpu``, ``cuda`` or ``cuda:N``."""
        return {}

    def for_scene(self, scene: Scene, device: str) -> Self:
        """The same with a value for each option that the scene decides on and that wasn't given.

        A new run keeps these, too; one that is resumed has them, or else its checkpoint does.
        """
        return self.filled(self.chosen_for(scene, device))

    def chosen_for(self, scene: Scene, device: str) -> dict[str, Any]:
        """What the scene decides on, by name, for training on ``cpu``, ``cuda`` or ``cuda:N``."""
        return {}

    def filled(self, values: dict[str, Any]) -> Self:
        """The same with values where there are none."""
        return dataclasses.replace(self, **{k: v for k, v in values.items() if getattr(self, k) is None})
