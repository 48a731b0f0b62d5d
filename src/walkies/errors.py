"""Errors addressed to the user."""

from __future__ import annotations


class UserError(ValueError):
    """Something the user can fix: the message says what was given, what was expected and what to do.

    The command line prints only the message, without a traceback, and exits with status 2.
    """
