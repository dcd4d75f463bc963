"""What is said of a run's scores."""

from __future__ import annotations

from typing import Any

from nerfkit.cli.train import scores_in_words


def scores(**others: Any) -> dict[str, Any]:
    return {"views": 2, "psnr": 20.0, "color_matched_psnr": 20.5, "ssim": 0.75, "lpips": None} | others


def test_psnr_is_plain_and_what_exposures_hide_stands_beside_it() -> None:
    assert scores_in_words(scores()) == "PSNR 20.00 dB, SSIM 0.7500"
    words = "PSNR 20.00 dB (24.00 dB in the exposure of each photo), SSIM 0.7500"
    assert scores_in_words(scores(color_matched_psnr=24.0)) == words


def test_of_older_runs_and_tiny_or_hidden_photos() -> None:
    older = scores()
    del older["color_matched_psnr"]
    assert scores_in_words(older) == "PSNR 20.00 dB, SSIM 0.7500"
    assert scores_in_words(scores(ssim=None)) == "PSNR 20.00 dB"
    hidden = scores(psnr=None, color_matched_psnr=None, ssim=None)
    assert scores_in_words(hidden) == "nothing to measure, masks hide all of it"
