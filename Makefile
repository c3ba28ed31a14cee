# Everything here is a convenience: `go run ./cmd/hallmarkd demo` and
# `go test ./...` need nothing but Go and git.
.PHONY: demo test lint bench fuzz interop differential

demo:
	go run ./cmd/hallmarkd demo

test:
	go test ./...

lint:
	@fmt=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$fmt" ] || { echo "not gofmt-ed:"; echo "$$fmt"; exit 1; }
	go vet ./...
	cd test/tools && go build -o ../../bin/ tool
	./bin/staticcheck ./...
	for m in test/interop test/e2e test/differential; do (cd $$m && go vet ./... && ../../bin/staticcheck ./...); done

# bench measures every figure the design names, both sides in one run.
bench:
	test/bench/run

# fuzz runs each fuzz target for a minute.
fuzz:
	test/fuzz/run 1m

# interop runs the real cosign and rekor-tiles against the real hallmarkd.
interop:
	cd test/interop && go test -count=1 ./...

# differential holds our verdicts against sigstore-go's, over the conformance
# vectors and mutations of them.
differential:
	cd test/differential && go test -count=1 ./...
