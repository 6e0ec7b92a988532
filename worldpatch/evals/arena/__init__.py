"""Judging by people: blind pairs of clips on a local page, a log that remembers, and ratings with intervals.

`gallery` says what is compared, `schedule` which pair comes next, `session` is one judge at work, `server` puts the
session on a page, and `report` makes of a log what it says.
"""
