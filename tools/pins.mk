# Every program that `make tools` builds, each at one pinned version. CONTRIBUTING.md says how to add one.
#
#   pin.NAME := PACKAGE@VERSION    built by `go install`, checksums from Go's checksum database
#   pin.NAME := PACKAGE            built in the module tools/NAME, whose go.mod and go.sum pin it
#   ldflags.NAME := FLAG ...       more flags for its linker

# golangci-lint v2.15.0, GPL-3.0: `make lint`.
pin.golangci-lint := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# versitygw v1.8.0, Apache-2.0: a light S3 server for `make test-real`.
pin.versitygw := github.com/versity/versitygw/cmd/versitygw@v1.8.0

# MinIO server, AGPL-3.0: a separate program for `make test-real`, never imported and never shipped.
# Upstream is archived; this is its last version.
pin.minio := github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c

# kube-apiserver v1.37.2, Apache-2.0: the API server of Kubernetes for `make test-real`. It must be told its version,
# which is the one in tools/kube-apiserver/go.mod.
pin.kube-apiserver := k8s.io/kubernetes/cmd/kube-apiserver
ldflags.kube-apiserver := -X k8s.io/component-base/version.gitVersion=v1.37.2 \
	-X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37

# etcd v3.7.3, Apache-2.0: where kube-apiserver keeps its objects, for `make test-real`.
pin.etcd := go.etcd.io/etcd/server/v3

# Jaeger v1.76.0, Apache-2.0: shows traces, for `make jaeger` and `make test-real`. At that version this command is
# Jaeger v2, which has no module path of its own.
pin.jaeger := github.com/jaegertracing/jaeger/cmd/jaeger

# benchstat, BSD-3-Clause: `make bench` when it is asked to compare.
pin.benchstat := golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da

# sshd has no pin: tools/sshd takes the one that is installed, or else that of the distribution's packages (OpenSSH,
# BSD-style licences), a separate program for `make test-real`. The tests take the distribution's ssh too.

# Nor have prometheus and promtool: tools/prometheus takes those that are installed, or else the distribution's
# (Apache-2.0), separate programs for `make test-real`.
# Nor has chromium: tools/chromium takes the Chromium or Chrome that is installed, or else the distribution's package
# chromium-headless-shell (BSD-3-Clause and others), a separate program that `make test-real` shows the live page to.
