# `make help` explains the targets. Recipes need bash and GNU make, 3.81 or newer.
SHELL := bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

# Build each module alone, as its users get it, and not with the versions that go.work would mix in.
export GOWORK := off

MODULES ?= $(sort $(patsubst ./%,%,$(patsubst %/go.mod,%,$(shell find . -name go.mod \
	-not -path './tools/*' -not -path '*/.*' -not -path '*/testdata/*'))))
EACH = tools/each "$(MODULES)"

# The race detector needs cgo and a C compiler.
RACE = $(shell [ "$$(go env CGO_ENABLED)" = 1 ] && cc=$$(go env CC) && command -v $${cc%% *} >/dev/null && echo -race)
SAY_RACE = [ -n "$(RACE)" ] || echo "make $@: without the race detector, which needs cgo and a C compiler"

# Where tests find the programs that `make tools` built.
export TIDEGATE_TOOLS := $(CURDIR)/.tools/bin
S3      := versitygw minio
SERVERS := $(S3) sshd etcd kube-apiserver jaeger prometheus promtool chromium
TOOLS   := golangci-lint $(SERVERS)
include tools/pins.mk

.PHONY: help
## Explain the targets.
help:
	@awk '/^## / { doc = doc (doc ? sprintf("\n%19s", "") : "") substr($$0, 4); next } \
		doc && /^[a-z-]+:/ { sub(/:.*/, ""); printf "  make %-11s %s\n", $$0, doc } \
		{ doc = "" }' Makefile
	@echo
	@echo 'MODULES="DIR ..." limits a target to some of: $(MODULES).'
	@echo 'Times are for two cores. Cold: with empty Go caches. Warm: again, with nothing changed.'

.PHONY: demo
## Run the demonstration: a backup that survives failing services (examples/backup).
## ARGS: its flags; "-listen 127.0.0.1:9464 -hold" shows the live page and metrics.
## OTEL_EXPORTER_OTLP_ENDPOINT: where its traces go.
## A minute cold, 15 seconds warm; more with metrics or an endpoint.
demo:
	@cd examples && go run $(if $(OTEL_EXPORTER_OTLP_ENDPOINT)$(findstring -listen,$(ARGS)),,-tags lean) ./backup $(ARGS)

.PHONY: demo-jaeger
## Start Jaeger, run the demonstration into it, and say which traces to look at and how.
## On a terminal Jaeger then stays until Enter. ARGS: as for demo. 10 minutes cold, half a minute warm.
demo-jaeger: .tools/bin/jaeger
	@tools/demo-jaeger .tools/bin/jaeger $(ARGS)

.PHONY: jaeger
## Start Jaeger on loopback, with traces in memory, until Ctrl-C. OTLP goes to port 4318 (HTTP) or 4317 (gRPC).
## Its API is http://127.0.0.1:16686/api/; this build has no user interface. 10 minutes cold.
jaeger: .tools/bin/jaeger
	@echo "make $@: traces to http://127.0.0.1:4318 (OTLP over HTTP) or 127.0.0.1:4317 (over gRPC); Ctrl-C ends it"
	@echo "make $@: services at http://127.0.0.1:16686/api/services; docs/jaeger.md has more requests"
	@echo "make $@: the page at / is a placeholder, as this build has no user interface; your own Jaeger has one"
	@exec .tools/bin/jaeger --config tools/jaeger/jaeger.yaml

.PHONY: demo-page
## Run the live page with a dozen simulated services that fail in turns (examples/live), until Ctrl-C.
## ARGS: its flags, such as "-services 200". OTEL_EXPORTER_OTLP_ENDPOINT: where its traces go.
demo-page:
	@cd examples && go run ./live $(ARGS)

.PHONY: soak
## Make calls as fast as the machine can through a chain of every policy, with chaos on, to a server that fails in turns
## (examples/soak), and say whether a call was lost or anything leaked. FOR: how long, an hour unless told.
soak:
	@cd examples && go run ./soak -for "$${FOR:-1h}" $(ARGS)

.PHONY: screenshots
## Make the pictures of the live page anew, docs/page-*.png, when its services have run for AFTER, 9m35s unless told:
## then one of them is in trouble.
## The system's own font is in them; those of the repository have Roboto.
screenshots: .tools/bin/chromium
	@mkdir -p docs; cd examples && go test -count=1 -tags=real -run '^TestRealPageScreenshots$$' -timeout 30m \
		./live -screenshots "$(CURDIR)/docs" -after "$${AFTER:-9m35s}"

.PHONY: test
## Vet and test every module, with the race detector where there is a C compiler. Needs Go and git, no server.
## RUN: regexp of tests. 15 minutes cold, seconds warm.
test:
	@$(EACH) 'code=0; go vet ./... || code=1; \
		go test $(RACE) -shuffle=on -run "$${RUN-}" ./... || code=1; exit $$code'; code=$$?; \
	$(SAY_RACE); exit $$code

.PHONY: test-real
## Build the servers, then run the tests against them: TestReal..., under the build tag real.
## RUN: regexp of tests. 35 minutes cold, two thirds of it for kube-apiserver, etcd and Jaeger; 5 warm.
test-real:
	@$(MAKE) --silent --keep-going $(SERVERS:%=.tools/bin/%) || true
	@$(EACH) '"$(CURDIR)/tools/test-real" $(RACE)'; code=$$?; $(SAY_RACE); \
	for s in $(SERVERS); do \
		[ -x .tools/bin/$$s ] && continue; \
		echo "make $@: $$s could not be built, so tests that need it did not run"; [ -z "$$CI" ] || code=1; \
	done; exit $$code

.PHONY: ci
## Everything that a change must pass: tidy-check, lint, test, test-real. Goes on after a failure.
## 55 minutes cold, 7 warm; 16 where only the tests' results are not known.
ci:
	@failed=; for t in tidy-check lint test test-real; do \
		echo "== make $$t"; $(MAKE) $$t || failed="$$failed $$t"; \
	done; \
	if [ -n "$$failed" ]; then echo "make ci: failed:$$failed"; exit 1; fi; echo "make ci: passed"

.PHONY: lint
## Check gofmt and run golangci-lint on every module.
## FIX=1: repair what can be repaired. 3 minutes cold, half a minute warm.
lint: .tools/bin/golangci-lint
	@bad=$$(find . -name '*.go' -not -path '*/.*' -not -path '*/testdata/*' -exec gofmt $(if $(FIX),-w,-l) {} +) || exit 1; \
	[ -z "$$bad" ] || { echo "not formatted by gofmt:"; echo "$$bad"; exit 1; }
	@$(EACH) '"$$TIDEGATE_TOOLS/golangci-lint" run $(if $(FIX),--fix) ./...'

.PHONY: tidy-check
## Check that go mod tidy would change nothing in any module.
## Seconds.
tidy-check:
	@$(EACH) 'go mod tidy -diff'

.PHONY: bench
## Run the benchmarks of internal/benchmarks and print a table of ratios between Tidegate and its peers.
## BENCH: regexp. CPU: 1,2,8 unless told. COUNT: passes over all, 6 unless told; the table has medians.
## OUT: file to keep the raw lines in, besides .tools/bench.txt. BASE: such a file, to compare with.
## 9 minutes, more on a busy machine.
bench: $(if $(BASE),.tools/bin/benchstat)
	@mkdir -p .tools; echo "make bench: the raw lines come to .tools/bench.txt" >&2
	@(cd internal/benchmarks && for pass in $$(seq "$${COUNT:-6}"); do \
		go test -run '^$$' -bench "$${BENCH:-.}" -benchtime 100ms -cpu "$${CPU:-1,2,8}" -timeout 0 . || exit; \
	done) >.tools/bench.txt || { grep -v '^Benchmark.*/op' .tools/bench.txt; exit 1; }
	@[ -z "$(OUT)" ] || cp .tools/bench.txt "$(OUT)"
	@cd internal/benchmarks && go run ./table <../../.tools/bench.txt
	@[ -z "$(BASE)" ] || .tools/bin/benchstat "$(BASE)" .tools/bench.txt

.PHONY: bench-real
## Build the servers, then run the benchmarks against them, through an adapter and without it: of adapters/minio 10,000
## small objects and one of 1 GiB, of adapters/git clones of 5,000 commits and 200 MB.
## BENCH: regexp. ARGS: more flags; -short moves less. 15 minutes and 30 GB of disk.
bench-real: $(S3:%=.tools/bin/%)
	@for adapter in minio git; do \
		(cd adapters/$$adapter && go test -tags=real -run '^$$' -bench "$${BENCH:-^BenchmarkReal}" -benchtime 1x -timeout 0 $(ARGS) .) || exit; \
	done

.PHONY: cover
## Test every module and print the statement coverage per package and in total, all modules merged.
## The profile is left in cover.out. 5 minutes cold, 2 warm.
cover:
	@rm -rf .tools/cover && mkdir -p .tools/cover
	@$(EACH) 'go test -coverpkg=github.com/tidegate-go/tidegate/... \
		-coverprofile="$$(mktemp "$(CURDIR)/.tools/cover/XXXXXX")" ./...'
	@tools/cover .tools/cover cover.out

.PHONY: fuzz
## Run every fuzz target, one after the other.
## FUZZ: regexp of names. FUZZTIME: time for each, 20s unless told.
fuzz:
	@tools/fuzz "$${FUZZ:-.}" "$${FUZZTIME:-20s}"

.PHONY: tools
## Build the pinned programs of tools/pins.mk into .tools/bin: the linter and the servers. And get sshd, prometheus and
## a Chromium.
## 30 minutes cold, 10 of them for kube-apiserver and 7 for Jaeger; nothing to do when they are up to date.
tools: $(TOOLS:%=.tools/bin/%)

.PHONY: clean
## Delete what these targets made, the built programs too. Not Go's caches.
clean:
	rm -rf .tools cover.out

# Those without a pin.
.tools/bin/sshd: tools/sshd tools/unpack
	@tools/sshd $@
.tools/bin/prometheus: tools/prometheus tools/unpack
	@tools/prometheus $(@D)
.tools/bin/promtool: .tools/bin/prometheus # comes with it
	@[ -x $@ ] || tools/prometheus $(@D)
	@touch $@
.tools/bin/chromium: tools/chromium
	@tools/chromium $@

# One rule for each pin. The marker's name is the pin and the Go version, so a change of either makes a newer marker,
# and with it a new build.
define tool
.tools/bin/$(1): .tools/pin/$(1)/$(subst /,_,$(pin.$(1)))-$(GOVERSION) $(wildcard tools/$(1)/go.* tools/$(1)/*.go)
	@tools/build $(1) $(pin.$(1)) $$@ '$(ldflags.$(1))'
.tools/pin/$(1)/%:
	@rm -rf $$(@D) .tools/bin/$(1); mkdir -p $$(@D); touch $$@
endef
GOVERSION := $(shell go env GOVERSION)
$(foreach name,$(patsubst pin.%,%,$(filter pin.%,$(.VARIABLES))),$(eval $(call tool,$(name))))
