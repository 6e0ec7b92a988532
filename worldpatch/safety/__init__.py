"""What keeps pictures from being misused: a mark that names each video."""
