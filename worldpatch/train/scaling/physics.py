"""What the networks of a sweep get wrong of physics: the physics suite and the twins, made once and asked of each."""

from pathlib import Path

from worldpatch import generate
from worldpatch.evals import evaluate
from worldpatch.evals.suites import twins
from worldpatch.evals.suites._task import Choice, Progress
from worldpatch.train.scaling.points import PHYSICS, Probe

SPLITS = {"in": "in distribution", "out": "out of range", "swapped": "unseen pairs", "combined": "with a bystander"}
TIMES = 4  # noise times per pair of twins


def probe(
    reference: Path, folder: Path, *, count: int, seeds: int, only: tuple[str, ...] = (), pairs: int = twins.PAIRS,
    device: str = "cpu", workers: int = 1, progress: Progress | None = None,
) -> Probe:  # fmt: skip
    """A probe for networks that share autoencoder and usual clip with the model `reference`.

    It gives 1 - skill for each split of the suite (`count` scenes of each scenario, all or `only` some; `seeds` clips
    of each, from the prompt alone), and the share of couples of twins, `pairs` of each kind, whose impossible side has
    the smaller loss. Encoded twins are kept in `folder`. Raises UserError where that holds others.
    """
    pipeline, suite = generate.load(generate.find(str(reference)), device), evaluate.find("physics")
    choice = Choice(form=evaluate.usual(pipeline), modes=("text",), count=count, only=only)
    tasks = suite.tasks(choice, workers, progress)
    twins.build(folder, pipeline.vae, pairs=pairs, form=choice.form, workers=workers, device=device, progress=progress)
    couples = twins.load(folder, pipeline.spec).first(pairs)

    def judge(export: Path) -> dict[str, float]:
        card = evaluate.model(
            str(export), suite, choice, tasks=tasks, seeds=seeds, device=device, workers=workers, progress=progress
        ).card
        network = generate.load(generate.find(str(export)), device)
        report = twins.report(network.network, couples, patch=network.patch, device=device, times=TIMES)
        wrong = {name: 1 - card["strata"]["split"][split]["skill"] for split, name in SPLITS.items()}
        wrong["impossible twins preferred"] = 1 - report["mean"]["twins"]["preferred"]
        return {PHYSICS + name: float(share) for name, share in wrong.items()}

    return judge
