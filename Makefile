# make without a target prints the targets.

TAGS     := containers_image_openpgp exclude_graphdriver_btrfs
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FUZZTIME ?= 10s
RUN      ?= .
BENCH    ?= .
# Symbols are a third of the binary. A profile wants them: make build STRIP=
STRIP    ?= -s -w

# The binary runs on RHEL CoreOS from a USB stick: static, without cgo.
export CGO_ENABLED := 0

GOLANGCI_VERSION := 2.15.0
TOOLS            := $(CURDIR)/bin/tools
# The golangci-lint of the PATH where it has the right version, else our own.
GOLANGCI = $(shell golangci-lint version 2>/dev/null | grep -q ' $(GOLANGCI_VERSION) ' && \
	command -v golangci-lint || echo $(TOOLS)/golangci-lint)

# The binary that the end-to-end tests drive.
export NODESEAL_BIN ?= $(CURDIR)/bin/nodeseal

# Tests that end a process at each of its steps, change every byte in turn, make very
# many files, or read inputs of the largest size, and scripts that walk through all of a
# release's life: minutes, for what few changes touch. They have a target of their own.
SLOW := TestDeaths|TestManyFindings|TestLayerMemory|TestKill|TestPowerCut|TestFailureAtEveryStep|TestBundleKilled|TestBundleSinceKilled|TestResume|TestManyEntries|TestManyEntriesInOneDirectory|TestThousandLayers|TestMostLayers|TestVerifyFindsFlippedBytes|TestUnsureRetireIsUndone|TestFailingSteps|TestReuseDamaged|TestWalk|TestBundleNoSpace|TestManyLaterEntries|TestBundleAttachments|TestAttachmentsToTheNode|TestOpenBombs|TestOpenInventoryBombs|TestOpenLarge|TestParseInventoryBombs|TestReadBombs|TestKeptOfACluster|TestBundleManyTags|TestBundleManyTagsSlowly|TestOtherForm|TestReportBounds|TestLargeCatalog
SLOW_SCRIPTS := toldstick|configinstall|verifyinstall|successor|keys|imageset|ocmirror|neighbours|report|stagingfaults|sinceimport|dryrun|osimage|nothingchanged|faults|tworeleases|artifacts|kept|hints|since|slotimages|split|page|carry|repair|fromlayout|repairpart|lostlayers|artifactnames
SLOW_PATTERN := ^($(SLOW))$$|^TestScripts$$/^($(SLOW_SCRIPTS))$$

# A limit that only a test that hangs runs into, also at a tenth of the speed.
LIMIT := 90m

# Nobody debugs the 80 test binaries of a run: without these tables they link in half the time.
LIGHT := -ldflags "-s -w"

# In namespaces of its own: when the tests end, in whatever way, all that they started
# ends and all that they mounted is gone, and no other process has copies of the mounts.
# The shell is the first process there, which waits for those that lost their parent.
ALONE := unshare --pid --fork --kill-child --mount --mount-proc sh -c '"$$@"; exit $$?' alone

.DEFAULT_GOAL := help
.PHONY: help build release test slow race lint attacks deaths e2e e2e-tools e2e-vm e2e-vm-all bench bench-mirror bench-import bench-reseal bench-size corpus fuzz demo

help: ## Print the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# It comes by a rename: whoever runs the program meanwhile, as two suites at once do, has
# the old one or the new one, each whole.
build: ## Build bin/nodeseal, one static binary
	go build -trimpath -buildvcs=false -tags "$(TAGS)" -ldflags "$(STRIP) -X main.version=$(VERSION)" -o bin/nodeseal.$$$$ ./cmd/nodeseal && \
	  mv -f bin/nodeseal.$$$$ bin/nodeseal

# The same commit gives the same bytes, wherever and whenever it is made. Nothing is asked of
# a network but modules that are not there yet. A tag vX.Y.Z names the version.
# GOFIPS140=v1.0.0 builds with that version of Go's cryptographic module (make build, too).
release: ## Make what a release is published as in dist/: four platforms, bills of materials, pages, image
	@test -z "$$(git status --porcelain)" || { echo "release: files differ from the commit: git status"; exit 1; }
	GOWORK=off go run -tags "$(TAGS)" ./cmd/release -o dist -version "$(VERSION)" -time "$$(git log -1 --format=%ct)" -tags "$(TAGS)" -fips "$(GOFIPS140)"

test: ## Run the unit and command tests but the slow ones; Go is all they need (RUN selects)
	go test -timeout $(LIMIT) -tags "$(TAGS)" $(LIGHT) -run '$(RUN)' $(if $(filter .,$(RUN)),-skip '$(SLOW_PATTERN)') ./...

slow: ## Run the slow tests: a process killed at every step, very many files, long walks
	go test -timeout $(LIMIT) -tags "$(TAGS)" $(LIGHT) -run '$(SLOW_PATTERN)' \
	  $$(grep -rlE --exclude-dir=deaths '^func ($(SLOW))\(' --include='*_test.go' ./bundle ./cmd ./internal | xargs -n1 dirname | sort -u)

# Packages whose goroutines share what they work on: those run under the detector in CI.
# RACED=./... runs all. Out are: cmd/nodeseal, which runs itself again for each command of its
# tests and takes longer than all else together, for code that the other packages test;
# imagelist/cluster, audit and report, for which Kubernetes' client would be compiled anew; erofs,
# which store/image's tests use from all workers; answer/gate and ui, whose tests look at what other
# goroutines write by an order that the detector does not know; and what works in the goroutine that calls it.
RACED := ./bundle/archive ./bundle/seekable ./internal/answer ./internal/base ./internal/budget ./internal/filemem \
	./internal/imagelist/imagefile ./internal/imagelist/objects ./internal/imagelist/sources \
	./internal/install ./internal/mirror/... ./internal/nodestatus ./internal/pull/... ./internal/push ./internal/slot ./internal/store/build \
	./internal/store/dir ./internal/store/extract ./internal/store/image ./internal/store/verify

race: export CGO_ENABLED := 1
race: ## Run unit tests with the race detector (needs gcc; RUN and RACED select)
	go test -race -timeout $(LIMIT) -tags "$(TAGS)" -run '$(RUN)' -skip '$(SLOW_PATTERN)' \
	  $$(go list -tags "$(TAGS)" $(RACED) | grep -v '/cmd/nodeseal$$')

lint: ## Check formatting, vet, and the linters of .golangci.yml
	@unformatted=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
	  test -z "$$unformatted" || { echo "not formatted by gofmt:"; echo "$$unformatted"; exit 1; }
	go vet -tags "$(TAGS) e2e e2evm bench attacks deaths corpus" ./...
	@test -x "$(GOLANGCI)" || GOBIN="$(TOOLS)" go install \
	  github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$(GOLANGCI_VERSION)
	"$(GOLANGCI)" run

attacks: build ## Run the binary against inputs that want to do harm (as root; RUN selects)
	$(ALONE) go test -count=1 -timeout $(LIMIT) -tags "$(TAGS) attacks" -run '$(RUN)' ./internal/attacks

deaths: build ## Kill the program in every state that it can leave, and run other commands next (as root; RUN selects)
	$(ALONE) go test -count=1 -timeout $(LIMIT) -tags "$(TAGS) deaths" -run '$(RUN)' ./internal/deaths

e2e: build e2e-tools ## Run the end-to-end tests against real components (as root; RUN selects; see .ci/run)
	$(ALONE) go test -count=1 -timeout $(LIMIT) -tags "$(TAGS) e2e" -run '$(RUN)' ./e2e/...

e2e-tools: ## Build CRI-O, crun, Kubernetes, the conformance suite and what reads stores for the end-to-end tests
	e2e/tools/crio/build.sh bin/tools
	e2e/tools/crun/build.sh bin/tools
	e2e/tools/apiserver/build.sh bin/tools
	e2e/tools/conformance/build.sh bin/tools
	e2e/tools/libartifact/build.sh bin/tools
	e2e/tools/storage/build.sh bin/tools

# QEMU emulates the processor: minutes, and no KVM. Two machines at once.
e2e-vm: export NODESEAL_VM := $(TOOLS)/vm
e2e-vm: build ## Boot machines: a stick, power cuts, SELinux, CRI-O (as root; RUN selects; see .ci/run)
	e2e/tools/vm/build.sh bin/tools
	e2e/tools/crio/build.sh bin/tools
	$(ALONE) go test -count=1 -v -parallel 2 -timeout $(LIMIT) -tags "$(TAGS) e2e e2evm" -run '$(RUN)' ./e2e/vm

e2e-vm-all: export NODESEAL_VM_ROUNDS := all
e2e-vm-all: e2e-vm ## The same with all power cuts, 52 in the place of 18

bench: ## Run the benchmarks; BENCH selects
	go test -tags "$(TAGS)" -run '^$$' -bench '$(BENCH)' -benchmem ./...

bench-mirror: build ## Measure bundle against skopeo
	go test -count=1 -timeout 60m -v -tags "$(TAGS) bench" -run '$(BENCH)' -skip '^Test(Import|Reseal|Size)' ./internal/bench

bench-import: export NODESEAL_BENCH_CACHE ?= $(CURDIR)/.bench
bench-import: build ## Measure import against skopeo, copy.Image, podman, cp (as root; images stay in .bench)
	@mkdir -p "$(NODESEAL_BENCH_CACHE)"
	go test -count=1 -timeout 90m -v -tags "$(TAGS) bench" -run '$(if $(filter .,$(BENCH)),^TestImport,$(BENCH))' ./internal/bench

bench-reseal: export NODESEAL_BENCH_CACHE ?= $(CURDIR)/.bench
bench-reseal: build ## Measure reseal with 80 % shared layers against a full import (as root; images stay in .bench)
	@mkdir -p "$(NODESEAL_BENCH_CACHE)"
	go test -count=1 -timeout 90m -v -tags "$(TAGS) bench" -run '^TestReseal' ./internal/bench

bench-size: export NODESEAL_BENCH_CACHE ?= $(CURDIR)/.bench
bench-size: build ## Measure time and memory by the size of a release (as root; BENCH selects; bundles stay in .bench)
	@mkdir -p "$(NODESEAL_BENCH_CACHE)"
	go test -count=1 -timeout 180m -v -tags "$(TAGS) bench" -run '$(if $(filter .,$(BENCH)),^TestSize,$(BENCH))' ./internal/bench

# Inputs are made smaller in few steps: where goroutines make coverage differ from
# run to run, Go spends its default of a minute on each input and finds nothing.
corpus: ## Hold what is taken to what containers/storage takes (as root), and docs/compatibility.md to both
	go test -count=1 -timeout 20m -tags "$(TAGS) corpus" ./internal/store/corpus $(if $(UPDATE),-update)

fuzz: ## Run each fuzz target for FUZZTIME (10s)
	@set -e; for pkg in $$(go list -tags "$(TAGS)" ./...); do \
	  for target in $$(go test -tags "$(TAGS)" -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$target"; \
	    go test -tags "$(TAGS)" -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $$pkg; \
	  done; \
	done

demo: build ## The whole flow on this machine, with a made-up release
	bin/nodeseal demo
