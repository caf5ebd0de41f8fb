package tidegate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

// A Service is a name and a chain of policies around the calls to one dependency.
// A [Manager] makes it. A Service is safe for concurrent use.
type Service struct {
	name      string
	config    ServiceConfig
	chain     *middleware.Chain
	observers []middleware.Observer
	own       []middleware.Policy // without the observers and the meter
	breakers  []*policies.Breaker
	meter     *meter
}

func newService(name string, config ServiceConfig, observers []middleware.Observer, own []middleware.Policy) *Service {
	s := &Service{name: name, config: config, observers: observers, meter: new(meter)}
	var all []middleware.Policy
	for _, o := range observers {
		p, ok := o.(middleware.Policy)
		if !ok {
			p = bystander{o}
		}
		all = append(all, p)
	}
	s.chain = middleware.NewChain(name, append(append(all, s.meter), own...)...)
	all = s.chain.Policies()
	s.own = all[slices.Index(all, middleware.Policy(s.meter))+1:]
	for _, p := range s.own {
		if b, ok := p.(*policies.Breaker); ok {
			s.breakers = append(s.breakers, b)
		}
	}
	return s
}

// A bystander is an observer that is no policy.
type bystander struct{ middleware.Observer }

func (bystander) Execute(ctx context.Context, next middleware.Next) error { return next.Do(ctx) }

// Name returns the name of the service. It is the name of its chain too.
func (s *Service) Name() string { return s.name }

// Config returns the settings in force, those of the preset and the defaults
// included. For a service made by [Manager.AddChain] it is the zero ServiceConfig.
func (s *Service) Config() ServiceConfig { return s.config }

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
func (s *Service) HTTPClient(base *http.Client) *http.Client {
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
	return transports.Client(&c, s.chain)
}

// status returns the status of the breaker; of several, of one that lets the
// fewest calls through.
func (s *Service) status() policies.BreakerStatus {
	var status policies.BreakerStatus
	for i, b := range s.breakers {
		if other := b.Status(); i == 0 || share(other.State) < share(status.State) {
			status = other
		}
	}
	return status
}

func (s *Service) close() error {
	var errs []error
	for _, p := range s.own {
		if c, ok := p.(io.Closer); ok {
			if err := c.Close(); err != nil {
				errs = append(errs, fmt.Errorf("tidegate: closing service %s: %w", quote(s.name), err))
			}
		}
	}
	return errors.Join(errs...)
}
