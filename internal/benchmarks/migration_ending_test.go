package benchmarks

import "runtime"

// exits runs f on a goroutine that may end in the middle of it.
func exits(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

func exit() { runtime.Goexit() }

// panics runs f, which may panic.
func panics(f func()) {
	defer func() { _ = recover() }()
	f()
}
