"""Pictures of runs, rehearsals, gaits and robots, drawn by matplotlib in one theme."""
