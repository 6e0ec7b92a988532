"""Routes, a file for each kind of thing; `context` has what they share."""
