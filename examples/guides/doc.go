// Package guides has the code and the configuration that the guides in docs show, so that
// they are tried with every test: settings, degradation, rehearsals, operations and
// troubleshooting. What docs/migration.md shows is in internal/benchmarks.
package guides
