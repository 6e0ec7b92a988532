"""A contact sheet for a blind look: clips of both levels, shuffled, numbered, without their captions.

    python benchmarks/blind.py MODEL [-o out/blind.png]

Describe what each clip shows before opening the JSON beside the sheet, which holds the captions in the same order; then
compare. Clips are of prompts 41 to 52 of both frozen suites, one seed each, no best-of-n.
"""

import argparse
import json
import random
from pathlib import Path

from worldpatch.evals.suites import prompts
from worldpatch.generate import find, load, run_many
from worldpatch.types import Request
from worldpatch.video import write
from worldpatch.video.sheet import contact_sheet

CHOSEN = slice(40, 52)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("-o", "--output", type=Path, default=Path("out/blind.png"))
    arguments = parser.parse_args()
    write.check(arguments.output)
    captions = [p.caption for level in (1, 2) for p in prompts.load(level)[CHOSEN]]
    random.Random(5).shuffle(captions)
    requests = [
        Request(ability="text_to_video", params={"prompt": caption}, seed=11 + 31 * i)
        for i, caption in enumerate(captions)
    ]
    clips = [result.frames[0].numpy() for result in run_many(requests, load(find(arguments.model)))]
    contact_sheet(clips, [f"clip {i}" for i in range(1, len(clips) + 1)], arguments.output, columns=2)
    arguments.output.with_suffix(".json").write_text(json.dumps(captions, indent=1))
    print(f"{arguments.output} and, to be opened afterwards, {arguments.output.with_suffix('.json')}")


if __name__ == "__main__":
    main()
