# make demo   a sentence becomes a video, out/demo.mp4, and a contact sheet of it, out/demo.png
# make test   format, lint, types, layers and the quick tests
# make full   the same with the slow tests
# Each sets up what it needs on a fresh machine first (scripts/setup) and is quick the second time.

BIN := .venv/bin
PROMPT ?= a red ball falls
DEMO_FLAGS ?=

SHAPES := --jaxtyping-packages=worldpatch,beartype.beartype
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest

.PHONY: demo test full check

demo: .venv/ready-demo
	$(BIN)/worldpatch generate "$(PROMPT)" -o out/demo.mp4 $(DEMO_FLAGS)
	@$(BIN)/python -c 'import sys; from worldpatch.video import read, sheet; sheet.contact_sheet([read.read("out/demo.mp4")[0]], sys.argv[1:], "out/demo.png")' "$(PROMPT)"
	@echo "made out/demo.mp4 and its contact sheet out/demo.png"

# Two passes, for the hook that checks shapes breaks torch.compile.
test: check
	$(PYTEST) -m "not compile and not slow and not gpu" $(SHAPES) -n 2
	$(PYTEST) -m "compile and not slow and not gpu"

full: check
	$(PYTEST) -m "not compile and not gpu" $(SHAPES) -n 2
	$(PYTEST) -m "compile and not gpu"

check: .venv/ready-test
	scripts/check

.venv/ready-%: pyproject.toml constraints.txt scripts/setup
	scripts/setup $*
	@touch $@
