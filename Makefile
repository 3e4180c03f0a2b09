# make demo and make test install what they miss (Debian and Ubuntu); all else needs Go alone.
# The file is in the sources of a release.
VERSION := $(shell cat VERSION 2>/dev/null || git describe --tags --always --dirty 2>/dev/null || echo dev)
# -w: no DWARF, which is half of a package; traces and perf need symbols only.
BUILD    = CGO_ENABLED=0 go build -trimpath -ldflags '-w -X main.version=$(VERSION)'
# Goroutines live here; the other rooms are pure and run without the race detector.
RACE     = $(shell go list ./config ./driver/... ./overlay ./hooks/... ./metrics ./quota ./rpc/...)
LONG     = $(addprefix github.com/virbr/virbr/tests/,stress abuse sequence crash) # each needs the machine for itself
SYSTEMS  = github.com/virbr/virbr/tests/systems # boots whole machines
PLAIN    = $(filter-out $(RACE) $(LONG) $(SYSTEMS),$(shell go list ./...))

.PHONY: build test lint fuzz fuzz-long demo bench stress packages release clean
build:
	$(BUILD) -o bin/virbrd ./cmd/virbrd
	$(BUILD) -o bin/virbr ./cmd/virbr
	$(BUILD) -o bin/virbr_leaseshelper ./cmd/virbr-leaseshelper
	VERSION='$(VERSION)' libvirtmod/build $(CURDIR)/bin

test: build
	tests/install-deps
	tests/install-kernel
	tests/install-root
	tests/install-npm
	tests/install-systems
	$(MAKE) --no-print-directory lint
	go test -race -timeout 25m $(RACE)
	go test -tags libvirt_dlopen -timeout 40m $(PLAIN) # the tag: tests by libvirt's own client library
	go test -tags libvirt_dlopen -timeout 20m -p 1 $(LONG)
	go test -timeout 25m -run TestDebian $(SYSTEMS)

lint:
	@out=$$(gofmt -l .); [ -z "$$out" ] || { echo "gofmt would change: $$out"; exit 1; }
	go vet ./... && go vet -tags libvirt_dlopen ./tests/...
	go tool staticcheck ./...
	go tool exhaustive -default-signifies-exhaustive -ignore-enum-types '(ListFilter|Affect|FormatFlags)$$' ./... # sets of bits
	go mod tidy -diff

fuzz: # every fuzz target, 20,000 inputs each (by count: a time limit can end a run in the middle and fail it)
	tests/fuzz 20000x

fuzz-long: # the same, ten minutes each
	tests/fuzz 10m

demo: build
	tests/demo

bench: build
	tests/install-deps
	go run -tags libvirt_dlopen ./tests/bench
	go run ./tests/bench/leases
	go run ./tests/bench/packets
	go run ./tests/bench/growth

stress: # a thousand networks instead of a hundred, crashes at each call, many sequences, machines' whole lives: two hours
	tests/install-deps
	VIRBR_STRESS=full go test -timeout 60m -count=1 -v -run 'TestTraces$$' ./tests/e2e
	VIRBR_STRESS=full go test -tags libvirt_dlopen -timeout 120m -count=1 -v -p 1 $(LONG) $(SYSTEMS) ./tests/release

packages: build # dist/*.deb and dist/*.rpm
	packaging/build

release: # dist/VERSION: sources, packages, what is in them, checksums; `make release VERSION=1.2.3`
	packaging/release '$(VERSION)'

clean:
	rm -rf bin dist
