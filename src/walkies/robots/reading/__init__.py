"""Read robots from their files: their parts, their standing pose, and a folder for each."""
