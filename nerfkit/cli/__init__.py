"""The command line: finds the verb, runs it, and turns what happens into an exit status.

0: done. 1: a fault of nerfkit. 2: something the user can mend. 130: interrupted. Nothing heavy is imported
before a verb is known, so that ``nerfkit --help`` answers at once.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys

VERBS = {
    "run": "photos to splats, web page, video, mesh and report, in one go",
    "poses": "camera poses and sparse points from photos",
    "train": "fit a scene model to posed photos",
    "eval": "measure a run on its held-out photos",
    "compare": "several runs in one table, sheet or video",
    "render": "stills and videos of a run",
    "view": "a run, a splat file or a scene in the browser",
    "mesh": "a triangle mesh from a run",
    "export": "splats or cameras of a run for other programs",
    "convert": "splat files into other formats, cropped, cleaned, smaller",
    "scenes": "the bundled scenes and recipes",
    "doctor": "what is installed, and which backend is used",
}


def usage() -> str:
    lines = ["usage: nerfkit VERB [options]", "", "From a folder of photos to a 3D scene.", "", "verbs:"]
    lines += [f"  {verb:8s} {words}" for verb, words in VERBS.items()]
    lines += ["", "nerfkit VERB --help tells a verb's options. Every verb takes --json (the result as one JSON object",
              "on stdout) and --quiet."]  # fmt: skip
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    try:
        status = _command(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C: it is ending
        atexit.register(gc.freeze)  # else half a second of looking through all of PyTorch for what nobody needs
    except BrokenPipeError:  # whoever reads has seen enough, as in `nerfkit train --help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is flushed at the end
        return 141  # as a shell tells SIGPIPE
    return status


def _command(arguments: list[str]) -> int:
    if arguments[:1] == ["help"] and len(arguments) == 2:
        arguments = [arguments[1], "--help"]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if arguments[0] in ("-V", "--version"):
        from nerfkit import __version__

        print(f"nerfkit {__version__}")
        return 0
    verb = arguments[0]
    if verb not in VERBS:
        print(f"error: there is no verb {verb!r}{_suggestion(verb)}; see nerfkit --help", file=sys.stderr)
        return 2
    from nerfkit.cli.dispatch import dispatch

    return dispatch(verb, arguments[1:])


def _suggestion(verb: str) -> str:
    import difflib

    close = difflib.get_close_matches(verb, VERBS, 1)
    return f" (did you mean {close[0]}?)" if close else ""
