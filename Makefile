# Everything that a person types. `make help` lists it.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory
NODE := bin/node24 --disable-warning=ExperimentalWarning
INSTALLED := node_modules/.package-lock.json

.PHONY: help setup setup-test demo up test test-kubernetes image ok sim bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' Makefile

setup: $(INSTALLED) ## install what maya needs: Debian and npm packages, Node 24 among them
	@bin/setup run

setup-test: $(INSTALLED) ## the same, and what the tests need
	@bin/setup test

demo: setup ## the whole story in a minute: a volume survives the loss of a replica
	@$(NODE) bin/demo.ts

# Nothing needs root until something is mounted, so that what is missing is only named.
up: $(INSTALLED) ## run a cluster of three nodes here, until Ctrl-C
	@bin/setup run || true
	@exec bin/maya up

# Without root the tests that need it are skipped with their reason; with root nothing may be missing.
test: $(INSTALLED) ## run all tests
	@bin/setup test || [ "$$(id -u)" != 0 ]
	@npm run --silent test

# Built from its Go modules the first time (a quarter of an hour), and kept in ~/.cache.
test-kubernetes: $(INSTALLED) ## run the tests on a real Kubernetes
	@bin/setup test-kubernetes || [ "$$(id -u)" != 0 ]
	@$(NODE) test/fixtures/rigs/kubernetes/build.ts
	@npm run --silent test:kubernetes

image: $(INSTALLED) ## make openebs-maya.tar, our services as an image for containers
	@$(NODE) deploy/image/build.ts openebs-maya.tar

ok: $(INSTALLED) ## format, lint, types and the fast tests, in under a minute
	@npm run --silent ok

sim: $(INSTALLED) ## run the long simulation
	@npm run --silent sim

bench: setup-test ## measure, beside tgt
	@npm run --silent bench

clean: ## remove what was installed and made here
	rm -rf node_modules coverage

$(INSTALLED): package-lock.json
	@command -v npm >/dev/null || { echo 'make: needs npm (and any Node): install them first' >&2; exit 1; }
	npm ci --loglevel=error
	@touch $@
