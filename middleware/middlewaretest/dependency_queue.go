package middlewaretest

import "context"

// A request is one attempt of a call, as the dependency sees it.
type request struct {
	call   *call
	serial int // of the attempts of the call
	answer chan error
	err    error // what will be the answer
	state  requestState
}

type requestState uint8

const (
	waiting requestState = iota
	working
	over // answered, or nobody waits for it and the dependency knows
)

// A server is the dependency at work. Only the goroutine of the simulation uses it.
type server struct {
	*simulation

	working int
	queue   []*request // those that are over are left where they are
	first   int        // of the queue, the first that is left
	waiting int
	peak    int // how many requests there were at the same time
}

// take takes a request on, or refuses it.
func (s *server) take(r *request) {
	d, outage := s.Dependency.at(s.now())
	switch {
	case outage.down():
		s.end(r, errFailed)
	case s.happens(outage.Hangs):
	case d.Servers == 0 || s.working < d.Servers:
		s.work(r)
	case d.Queue < 0 || d.Queue > 0 && s.waiting >= d.Queue:
		s.end(r, d.refusal())
	default:
		s.queue = append(s.queue, r)
		s.waiting++
	}
	s.peak = max(s.peak, s.working+s.waiting)
}

func (s *server) happens(share float64) bool { return share > 0 && s.rand.Float64() < share }

func (s *server) work(r *request) {
	d, outage := s.Dependency.at(s.now())
	r.state = working
	s.working++
	if s.happens(d.Errors) {
		r.err = errFailed
	}
	slow := outage.Slow
	if slow == 0 {
		slow = 1
	}
	s.agenda.add(r.call.moment(s.now()+d.Latency.draw(s.rand, slow), r.serial), func() {
		if r.state == working {
			s.working--
			s.end(r, r.err)
			s.fill()
		}
	})
}

func (s *server) end(r *request, answer error) {
	r.state = over
	r.answer <- answer // has room
}

// fill gives the free servers something to do.
func (s *server) fill() {
	d, _ := s.Dependency.at(s.now())
	for s.waiting > 0 && (d.Servers == 0 || s.working < d.Servers) {
		r := s.queue[s.first]
		s.queue[s.first] = nil
		if s.first++; s.first > len(s.queue)/2 {
			s.queue, s.first = append(s.queue[:0], s.queue[s.first:]...), 0
		}
		if r.state == waiting {
			s.waiting--
			s.work(r)
		}
	}
}

// leave is told that the caller of r has gone.
func (s *server) leave(r *request) {
	if !s.Dependency.Notices || r.state == over {
		return
	}
	switch r.state {
	case working:
		s.working--
		r.state = over
		s.fill()
	default:
		r.state = over
		s.waiting--
	}
}

// request is the operation of a call. It runs on the goroutine of an attempt.
func (s *simulation) request(ctx context.Context, c *call) error {
	r := &request{call: c, answer: make(chan error, 1)}
	s.note(func(n *notes) {
		c.attempts++
		r.serial = c.attempts
		n.came = append(n.came, r)
	})
	select {
	case err := <-r.answer:
		return err
	case <-ctx.Done():
		s.note(func(n *notes) { n.left = append(n.left, r) })
		return ctx.Err()
	}
}
