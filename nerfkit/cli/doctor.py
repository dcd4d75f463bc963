"""``nerfkit doctor``: what is installed, which backend is chosen and why, and how to get what is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nerfkit.cli.console import Console

_MARKS = {"ok": "[green]ok[/]", "missing": "[dim]--[/]", "problem": "[bold red]!![/]"}


@dataclass
class Options:
    """No options."""


def run(options: Options, console: Console) -> dict[str, Any]:
    from rich.markup import escape

    from nerfkit import doctor

    found = doctor.checks()
    for check in found:
        hint = f"  [dim]{escape(check.hint)}[/]" if check.hint else ""
        console.say(f"{_MARKS[check.state]}  [bold]{check.name:20s}[/] {escape(check.value)}{hint}")
    problems = [check.name for check in found if check.state == "problem"]
    console.say(f"[bold red]to mend: {', '.join(problems)}[/]" if problems else "[green]nerfkit is ready[/]")
    return {
        "ready": not problems,
        "backends": doctor.usable_backends(found),
        "checks": {c.name: {"state": c.state, "value": c.value, "hint": c.hint} for c in found},
    }
