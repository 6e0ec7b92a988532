"""Learned scorers of clips, which run where their weights are. One file per scorer, each with

    Config                                          its weights' files, and how it looks
    Scorer(config).score(frames, rate, caption)     frames "t h w 3" -> scores by name; {} where it cannot tell

`data/curate/limits.py` says what is kept by which score.
"""
