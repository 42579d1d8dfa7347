# make demo | make test | make check | make clean. Each sets up what it needs in .venv, once.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OUT ?= demo

.PHONY: demo test check clean install

install: $(STAMP)

# Built again when the dependencies change. uv resolves in seconds where pip takes minutes.
$(STAMP): setup.cfg pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make: no Python found; install Python 3.11 or say PYTHON=…"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable ".[eval,train,xlsx,test,check]"
	touch $(STAMP)

# Shoot two synthetic films, make a tiny random model, evaluate it through lmms-eval on the CPU.
demo: $(STAMP)
	$(BIN)/shotbench data studio --out $(OUT)/shards --films 2 --splits test:1 --width 160
	$(BIN)/shotbench tiny-model --out $(OUT)/tiny-qwen
	$(BIN)/shotbench eval --tasks shotbench --data $(OUT)/shards --out $(OUT)/run --model shotvl \
	    --model_args pretrained=$(OUT)/tiny-qwen,device=cpu --gen_kwargs max_new_tokens=1 --verbosity WARNING
	@echo "An untrained model that says a letter: it scores chance, 25 % within the interval. More in $(OUT)/run."

test: $(STAMP)
	$(BIN)/python -m pytest

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
