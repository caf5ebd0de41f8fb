package tidegate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

// A Service is a name and a chain of policies around the calls to one dependency.
// A [Manager] makes it. A Service is safe for concurrent use.
type Service struct {
	name      string
	settled   atomic.Pointer[settled] // nil of one made of policies
	parts     *parts                  // likewise
	chain     *middleware.Chain
	observers []middleware.Observer
	meter     *meter
	doubts    atomic.Pointer[map[string]bool] // that the logger has heard of
}

// A settled is how a service is set.
type settled struct {
	given, config ServiceConfig // by the user, and in force
	byHand        bool          // by Manager.Add
}

// newService returns a service with the settings, or else with the policies of a program.
func newService(name string, by *settled, observers []middleware.Observer, own []middleware.Policy) *Service {
	s := &Service{name: name, observers: observers, meter: new(meter)}
	if by != nil {
		s.settled.Store(by)
		s.parts = new(parts)
		s.parts.fit(by.config)
		own = []middleware.Policy{&s.parts.slot}
	}
	var all []middleware.Policy
	for _, o := range observers {
		p, ok := o.(middleware.Policy)
		if !ok {
			p = bystander{o}
		}
		all = append(all, p)
	}
	s.chain = middleware.NewChain(name, append(append(all, s.meter), own...)...)
	return s
}

// own returns the policies of the service, without the observers and the meter.
func (s *Service) own() []middleware.Policy {
	all := s.chain.Policies()
	return all[slices.Index(all, middleware.Policy(s.meter))+1:]
}

// A bystander is an observer that is no policy.
type bystander struct{ middleware.Observer }

func (bystander) Execute(ctx context.Context, next middleware.Next) error { return next.Do(ctx) }

// Name returns the name of the service. It is the name of its chain too.
func (s *Service) Name() string { return s.name }

// Config returns the settings in force, those of the preset and the defaults
// included; one whose default depends on others may be zero. For a service made by [Manager.AddChain] it is the zero ServiceConfig.
func (s *Service) Config() ServiceConfig {
	if by := s.settled.Load(); by != nil {
		return by.config
	}
	return ServiceConfig{}
}

// Chain returns the chain of the service, for the adapters and for
// [middleware.Call] and [middleware.Stream].
func (s *Service) Chain() *middleware.Chain { return s.chain }

// Do runs op inside the policies of the service. See [middleware.Chain.Do].
func (s *Service) Do(ctx context.Context, op func(ctx context.Context) error) error {
	return s.chain.Do(ctx, op)
}

// HTTPClient returns a copy of base whose requests pass the chain of the service,
// as package transports describes, and whose attempts the observers watch. A nil
// base is the zero http.Client.
func (s *Service) HTTPClient(base *http.Client, opts ...transports.Option) *http.Client {
	var c http.Client
	if base != nil {
		c = *base
	}
	for _, o := range slices.Backward(s.observers) {
		if o, ok := o.(interface {
			Transport(base http.RoundTripper) http.RoundTripper
		}); ok {
			if c.Transport == nil {
				c.Transport = http.DefaultTransport
			}
			c.Transport = o.Transport(c.Transport)
		}
	}
	return transports.Client(&c, s.chain, opts...)
}

// breakers yields the breakers of the service, and of policies with one for each key
// those that there are.
func (s *Service) breakers(yield func(*policies.Breaker) bool) { eachBreaker(s.own(), yield) }

func eachBreaker(chain []middleware.Policy, yield func(*policies.Breaker) bool) bool {
	for _, p := range chain {
		switch p := p.(type) {
		case *policies.Breaker:
			if !yield(p) {
				return false
			}
		case *policies.Keyed[*policies.Breaker]:
			for _, b := range p.All() {
				if !yield(b) {
					return false
				}
			}
		case *policies.Keyed[*middleware.Chain]:
			for _, c := range p.All() {
				if !eachBreaker(c.Policies(), yield) {
					return false
				}
			}
		}
	}
	return true
}

// status returns the status of the breaker, of several that of the worst.
func (s *Service) status() policies.BreakerStatus {
	worst, found := policies.BreakerStatus{Share: 1}, false
	for b := range s.breakers {
		if status := b.Status(); !found || worse(status, worst) {
			worst, found = status, true
		}
	}
	return worst
}

// worse reports whether a lets fewer calls through than b, or as many and has
// changed later.
func worse(a, b policies.BreakerStatus) bool {
	return cmp.Or(cmp.Compare(a.Share, b.Share), cmp.Compare(share(a), share(b)), b.Last.Time.Compare(a.Last.Time)) < 0
}

func (s *Service) close() error { return s.closeAll(s.own()) }

// closeAll closes policies of the service.
func (s *Service) closeAll(all []middleware.Policy) error {
	var errs []error
	for _, p := range all {
		if c, ok := p.(io.Closer); ok {
			if err := c.Close(); err != nil {
				errs = append(errs, fmt.Errorf("tidegate: closing service %s: %w", quote(s.name), err))
			}
		}
	}
	return errors.Join(errs...)
}
