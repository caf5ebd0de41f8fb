// Package benchmarks measures Tidegate beside its peers, in one run. It is a
// module of its own, so that the peers are dependencies of nobody else.
//
// A benchmark is named after what it is about, the work, and the library that
// does it. Each library has a file that says how it is set up and called: by the
// cheapest entry point that its documentation recommends, with the context only
// where it takes one. A library that cannot do some work is left out of it.
//
// HTTP is measured beside a bare transport too, in the same comparison. What a
// benchmark calls control compares the bare transport with itself: differences that
// are not larger than what it reports mean nothing.
//
// The program in table reads the output of a run. Read its numbers as ratios within
// that run; absolute times say nothing about another machine.
package benchmarks
