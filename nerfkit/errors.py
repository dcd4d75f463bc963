"""The errors a user can cause, and what the command line makes of them."""

from __future__ import annotations


class NerfkitError(Exception):
    """Input that nerfkit cannot work with: what is wrong, where, and what to do about it.

    The text is one or two lines: it names the file, the cause and the remedy. The command line
    prints it without a traceback and exits with status 2.
    """

    exit_status = 2
