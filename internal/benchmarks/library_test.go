package benchmarks

// A library is one that has circuit breakers.
type library struct {
	name string

	// breaker returns a call through a new breaker, nil if there is none that
	// can do the work.
	breaker func(workload) call
}

// Tidegate is the first, the others are what it is compared with.
var libraries = []library{
	{"tidegate", tidegateBreaker},
	{"gobreaker", gobreakerBreaker},
	{"failsafe-go", failsafeBreaker},
	{"hystrix-go", hystrixBreaker},
	{"go-resiliency", resiliencyBreaker},
	{"aegis", aegisBreaker},
	{"go-zero", gozeroBreaker},
}
