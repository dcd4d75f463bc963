"""What the options of all scene models share. Imports no torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Self

from nerfkit import limits


@dataclass
class ModelOptions:
    """A model's options. Those that are None are chosen once it is known where the model will be trained."""

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

    def filled(self, values: dict[str, Any]) -> Self:
        """The same with values where there are none."""
        return dataclasses.replace(self, **{k: v for k, v in values.items() if getattr(self, k) is None})
