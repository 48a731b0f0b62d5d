"""`walkies lab compare`: the ladder of algorithms on one problem, measured side by side."""
