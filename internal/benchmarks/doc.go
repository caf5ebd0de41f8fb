// Package benchmarks measures Tidegate beside its peers, in one run. It is a
// module of its own, so that the peers are dependencies of nobody else.
//
// Each benchmark has one sub-benchmark per library that does the same work. Read
// them as ratios within a run; absolute times say nothing about another machine.
package benchmarks
