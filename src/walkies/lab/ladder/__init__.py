"""`walkies lab compare`: the ladder of algorithms on one problem, compared side by side."""
