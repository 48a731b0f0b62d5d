"""`python -m walkies`."""

from walkies.cli import main

main()
