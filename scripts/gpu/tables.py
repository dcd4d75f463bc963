"""Rows as Markdown, as they are found, and as one JSON file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gpu.context import Row
from nerfkit.files import write_text

SHARES = ("of the floor's speed", "of the busy time", "GPU idle")


class Tables:
    """Prints rows, with a heading where the table or its columns change, and keeps them."""

    def __init__(self, about: dict[str, Any], out: Path | None):
        self.about, self.out = about, out
        self.rows: dict[str, list[Row]] = {}
        self._open: tuple[str, tuple[str, ...]] | None = None

    def add(self, table: str, row: Row) -> None:
        self.rows.setdefault(table, []).append(row)
        if self._open != (table, tuple(row)):
            self._open = table, tuple(row)
            print(f"\n### {table}\n\n| {' | '.join(row)} |\n|{'---|' * len(row)}")
        print(f"| {' | '.join(text(column, value) for column, value in row.items())} |", flush=True)
        self.save()

    def save(self) -> None:
        """After every row, since what comes later may never come, and each file whole or not at all."""
        if self.out is not None:
            self.out.mkdir(parents=True, exist_ok=True)
            write_text(self.out / "bench.json", json.dumps({**self.about, "tables": self.rows}, indent=1) + "\n")
            write_text(self.out / "bench.md", self.whole())

    def whole(self) -> str:
        """All rows, each table once."""
        parts = []
        for table, rows in self.rows.items():
            columns = list(dict.fromkeys(column for row in rows for column in row))
            lines = [f"| {' | '.join(text(column, row.get(column)) for column in columns)} |" for row in rows]
            parts.append(f"### {table}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}\n" + "\n".join(lines))
        return "\n\n".join(parts) + "\n"


def text(column: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.0%}" if column in SHARES else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|").replace("\n", " ")
