package loopback

import "fmt"

// An Option is something else than the default about a server.
type Option interface{ apply(s *Server) }

type option func(s *Server)

func (o option) apply(s *Server) { o(s) }

// Script gives the requests steps in turn, in the order in which their headers
// arrive. The last one repeats. Without a script every request is answered 200.
func Script(steps ...Step) Option {
	return option(func(s *Server) { s.script = &script[Step]{name: "script", steps: steps} })
}

// At gives the requests with that path a script of their own.
func At(path string, steps ...Step) Option {
	return option(func(s *Server) { s.paths[path] = &script[Step]{name: "script of " + path, steps: steps} })
}

// Rule asks rule for the step of each request. Where it returns nil the scripts
// say what to do. Requests on several connections may ask at once.
func Rule(rule func(r Request) Step) Option {
	return option(func(s *Server) { s.rule = rule })
}

// Connections gives the connections beginnings in turn, in the order in which they
// were accepted. The last one repeats.
func Connections(steps ...Connection) Option {
	return option(func(s *Server) { s.connections = &script[Connection]{name: "script of connections", steps: steps} })
}

// EveryStep makes the test fail when a step of a script was never used.
func EveryStep() Option { return option(func(s *Server) { s.everyStep = true }) }

// A script is a list of steps of which the last one repeats. It needs a lock
// around it.
type script[T fmt.Stringer] struct {
	name  string
	steps []T
	used  int
}

// take returns the next step, or otherwise when there is none at all.
func (s *script[T]) take(otherwise T) T {
	if s == nil || len(s.steps) == 0 {
		return otherwise
	}
	s.used = min(s.used+1, len(s.steps))
	return s.steps[s.used-1]
}

// unused says which steps were never used.
func (s *script[T]) unused() []string {
	if s == nil {
		return nil
	}
	var found []string
	for i, step := range s.steps[s.used:] {
		found = append(found, fmt.Sprintf("step %d of the %s was never used: %v", s.used+i+1, s.name, step))
	}
	return found
}
