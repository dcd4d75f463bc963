"""Whoever looks at a run from within its loop, and may hold it or end it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from nerfkit.contracts import SceneModel
    from nerfkit.data.scene import Scene
    from nerfkit.train.run import Run

Wish = Literal["go", "pause", "stop"]


class TrainObserver(Protocol):
    def begin(self, run: Run, scene: Scene, model: SceneModel) -> None:
        """Called once, before the first step."""

    def between_steps(self) -> Wish:
        """Called between steps, on the thread that trains, while the model is whole: it may be drawn, but neither it
        nor the global random numbers may change. The time spent here isn't the run's.

        Returns:
            ``pause``: don't train, but ask again soon; ``stop``: end the run here as if it had reached its end.
        """
        ...


class Absent:
    """The observer that nobody is."""

    def begin(self, run: Run, scene: Scene, model: SceneModel) -> None:
        pass

    def between_steps(self) -> Wish:
        return "go"


absent = Absent()
