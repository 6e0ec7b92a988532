#!/usr/bin/env bash
# The report cards of a shipped model, made again: run it whenever a checkpoint is replaced. CI recomputes a small part and
# fails where cards and checkpoint do not belong together. About 30 minutes on two CPU cores.
#
#   bash runs/cards.sh [MODEL]        MODEL is the name of a folder in checkpoints/, tabletop if none is given
set -euo pipefail
cd "$(dirname "$0")/.."
MODEL=${1:-tabletop}
for suite in physics pictures prompts_level1 prompts_level2; do
    python -m worldpatch eval "$MODEL" --suite "$suite" -o "out/cards/$MODEL/$suite"
    mkdir -p "checkpoints/$MODEL/cards"
    cp "out/cards/$MODEL/$suite/card.json" "checkpoints/$MODEL/cards/$suite.json"
    cp "out/cards/$MODEL/$suite/card.png" "checkpoints/$MODEL/cards/$suite.png"
done
python -m worldpatch eval twins "$MODEL" -o "out/cards/$MODEL/twins" --workers 2
cp "out/cards/$MODEL/twins/report.json" "checkpoints/$MODEL/cards/twins.json"
cp "out/cards/$MODEL/twins/preference.png" "checkpoints/$MODEL/cards/twins.png"
python scripts/card_tables.py "checkpoints/$MODEL"
