# Everything a reader needs is `make book`; everything a change needs is `make test`.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Nothing in the book needs the network. HF_HUB_OFFLINE=0 lets a chapter fetch models from the Hub.
HF_HUB_OFFLINE ?= 1
export HF_HUB_OFFLINE
export TOKENIZERS_PARALLELISM := false
export PYTHONHASHSEED := 0
# A "python3" kernel of the user's own must not shadow the environment's.
export JUPYTER_PREFER_ENV_PATH := 1
# Passed through the environment, so that quotes inside them survive.
export CHAPTER PARAMS GRID OUTPUT

# Two processes of one thread each finish sooner than one of two threads; a file, or a chapter, stays in one of them.
TWO := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help setup book evidence sweep html refresh test lint clean

help:
	@echo "make book       run the lessons, take evidence from stored outputs, build the HTML book"
	@echo "                CHAPTER=01b runs that page only; PARAMS=\"-p seed 1\" goes to papermill"
	@echo "make evidence   run the evidence (of CHAPTER=01), and build the HTML book from it"
	@echo "make sweep      run CHAPTER=02 at every combination of GRID=grid.yml into OUTPUT=folder;"
	@echo "                MORE=\"--jobs 4\" or MORE=\"--scheduler tcp://host:8786\" says where"
	@echo "make html       build the HTML book from the outputs stored in notebooks/"
	@echo "make refresh    re-execute all pages (or those of CHAPTER=01) and store their outputs"
	@echo "make test       unit tests, every stored number recomputed and compared, HTML build"
	@echo "make setup      only make the environment ($(VENV)); the targets above do so when needed"
	@echo "make clean      delete built files; delete $(VENV) too to start from nothing"
	@echo
	@echo "PYTHON=/path/to/python3 chooses the interpreter (3.11 or newer) for $(VENV)."

book: $(READY)
	$(BIN)/python tools/book.py execute --chapter="$$CHAPTER" --params="$$PARAMS"
	$(BIN)/python tools/book.py html --executed

evidence: $(READY)
	$(BIN)/python tools/book.py execute --evidence --chapter="$$CHAPTER"
	$(BIN)/python tools/book.py html --executed

sweep: $(READY)
	$(BIN)/python tools/book.py sweep --chapter="$$CHAPTER" --grid="$$GRID" --output="$$OUTPUT" $(MORE)

html: $(READY)
	$(BIN)/python tools/book.py html

refresh: $(READY)
	$(BIN)/python tools/book.py refresh --chapter="$$CHAPTER"

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

test: $(READY) lint
	$(TWO) tests
	$(TWO) --nbval --nbval-current-env --nbval-cell-timeout 300 \
		--nbval-sanitize-with tests/nbval_sanitize.cfg notebooks
	$(BIN)/python tools/book.py html

setup: $(READY)

# The stamp is written last, so an interrupted installation is taken up again.
$(READY): requirements.lock pyproject.toml
	@found=; \
	for python in $(or $(PYTHON),python3.13 python3.12 python3.11 python3); do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			found="$$python"; break; \
		fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "Python 3.11 or newer was not found: name one with make PYTHON=/path/to/python3" >&2; exit 1; \
	fi; \
	echo "Making $(VENV) with $$found"; \
	"$$found" -m venv $(VENV)
	$(BIN)/python -m pip install --no-deps -r requirements.lock
	$(BIN)/python -m pip install --no-deps --no-build-isolation -e .
	@touch $(READY)

clean:
	rm -rf _build .pytest_cache .hypothesis .ruff_cache
	find mergehelpers mergebook tools tests notebooks -name __pycache__ -prune -exec rm -rf {} +
	find notebooks -name .ipynb_checkpoints -prune -exec rm -rf {} +
