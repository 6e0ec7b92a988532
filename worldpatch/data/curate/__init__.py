"""Real videos and pictures -> a training set, with every decision on record.

    files      which there are, with captions and licences         sources.py
    probe      what each is, without decoding it                   probe.py
    split      decoded once: shots, spans, scores, clips           split.py (spans.py, measure.py)
    judge      scores against limits                               limits.py
    dedup      copies of one another, over the whole set           dedup.py
    describe   captions                                            describe.py
    encode     latents                                             encode.py
    pack       shards, manifest and report                         pack.py, report.py

`pipeline.build` runs them. Stages that do work are plain functions of one job, run by an engine (`data/engines/`);
their results go to a ledger, so that a build that was killed goes on, and one with other limits decodes nothing again.
"""
