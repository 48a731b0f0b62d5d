"""From the words of a command line to the values that a command is called with, and the help about them."""
