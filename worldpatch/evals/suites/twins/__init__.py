"""Twins: clips of possible events, each with an impossible one that differs in nothing but physics.

    build(folder, vae)                      kinds.py stages them, store.py keeps them
    found = load(folder, spec)
    report(network, found, patch=patch)     likelihood.py: how often the possible one is preferred
    draw.bars(...)                          draw.py

What only scores (a training run on a machine without a simulator) imports no simulator.
"""

from worldpatch.evals.suites.twins.likelihood import Share as Share
from worldpatch.evals.suites.twins.likelihood import losses as losses
from worldpatch.evals.suites.twins.likelihood import pooled as pooled
from worldpatch.evals.suites.twins.likelihood import preference as preference
from worldpatch.evals.suites.twins.likelihood import report as report
from worldpatch.evals.suites.twins.likelihood import score as score
from worldpatch.evals.suites.twins.likelihood import table as table
from worldpatch.evals.suites.twins.store import KINDS as KINDS
from worldpatch.evals.suites.twins.store import PAIRS as PAIRS
from worldpatch.evals.suites.twins.store import Trial as Trial
from worldpatch.evals.suites.twins.store import TwinSet as TwinSet
from worldpatch.evals.suites.twins.store import build as build
from worldpatch.evals.suites.twins.store import load as load
