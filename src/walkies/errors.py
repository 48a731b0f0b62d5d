"""Errors that speak to the person who made them."""

from __future__ import annotations


class UserError(ValueError):
    """Something the user can mend: the message says what was given, what was expected and what to do.

    The command line prints the message alone, without a traceback, and exits with status 2.
    """
