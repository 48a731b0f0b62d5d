"""`walkies motion`: movements and gaits for policies to follow."""
