package tidegate

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// A Manager holds named services. Look a service up once and keep it: calls go
// through the [Service], not through the Manager.
//
// The zero Manager has no services and is ready to have some added. A Manager is
// safe for concurrent use.
type Manager struct {
	observers []middleware.Observer
	chaos     bool         // WithChaos
	applying  atomic.Bool  // Apply runs
	logger    *slog.Logger // for what is doubtful

	mu       sync.RWMutex
	common   common
	services map[string]*Service // nil while the service is being made
	closed   bool
}

// An Option changes what [New] makes. A nil Option changes nothing.
type Option func(*Manager)

// WithObserver makes o hear the events of every service. If o is a policy too, as
// the Observer of package observability is, it stands outermost in every chain.
// If it has a method Transport(http.RoundTripper) http.RoundTripper, then
// [Service.HTTPClient] uses it to watch each attempt. Of several observers the
// first is outermost. A nil o changes nothing.
func WithObserver(o middleware.Observer) Option {
	return func(m *Manager) {
		if !isNil(o) {
			m.observers = append(m.observers, o)
		}
	}
}

// WithChaos lets services have a Chaos, which disturbs their calls. Without it a [Config]
// that has one is refused: it must not come into production by a line in a file.
func WithChaos() Option { return func(m *Manager) { m.chaos = true } }

func isNil(o middleware.Observer) bool {
	switch v := reflect.ValueOf(o); v.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Pointer, reflect.Func, reflect.Map, reflect.Slice, reflect.Chan:
		return v.IsNil()
	default:
		return false
	}
}

// New returns a Manager with the services that config names, and no others. The
// presets stand by for [Manager.Add].
//
// The error is one or several *[ConfigError], joined. A Config that [LoadConfig]
// returned gives none.
func New(config Config, opts ...Option) (*Manager, error) {
	m := &Manager{logger: slog.Default()}
	for _, opt := range opts {
		if opt != nil {
			opt(m)
		}
	}
	if err := m.Apply(config); err != nil {
		return nil, err
	}
	return m, nil
}

func joinProblems(problems []problem) error {
	var errs []error
	said := map[string]bool{}
	for _, p := range problems {
		e := p.configError(inCode)
		if text := e.Error(); !said[text] { // of a template for each service that has it
			said[text] = true
			errs = append(errs, e)
		}
	}
	return errors.Join(errs...)
}

// Add makes a service and returns it. The zero ServiceConfig is a preset, see
// [ServiceConfig].
//
// The error says that there is such a service already, that the Manager is
// closed, or, as one or several *[ConfigError], what is wrong with config.
func (m *Manager) Add(name string, config ServiceConfig) (*Service, error) {
	m.mu.RLock()
	common := m.common
	m.mu.RUnlock()
	resolved, problems := config.resolve(name, common)
	if len(problems) == 0 {
		problems = append(resolved.compose(name), m.refuse(name, resolved)...)
	}
	if err := joinProblems(problems); err != nil {
		return nil, err
	}
	s, err := m.add(name, &settled{given: config, config: resolved, byHand: true}, nil)
	if err == nil {
		s.warn(m.logger)
	}
	return s, err
}

// AddChain makes a service of policies that the program has put together, the
// first one outermost, as [middleware.NewChain] does. The observers of the
// Manager and its counters come before them.
func (m *Manager) AddChain(name string, chain ...middleware.Policy) (*Service, error) {
	if says := checkName(name); says != "" {
		return nil, &ConfigError{Key: join("services", name), Problem: says, Allowed: allowedName}
	}
	s, err := m.add(name, nil, chain)
	if err == nil {
		s.warn(m.logger)
	}
	return s, err
}

// add makes the service outside the lock, because observers and policies hear of
// its chain meanwhile.
func (m *Manager) add(name string, by *settled, chain []middleware.Policy) (*Service, error) {
	if err := m.reserve(name); err != nil {
		return nil, err
	}
	made := false
	defer func() {
		if !made { // they do not go together, or one of them panicked
			m.free(name)
		}
	}()
	s := newService(name, by, m.observers, chain)
	if by == nil {
		if err := joinProblems(impossible(name, s.chain.Check())); err != nil {
			return nil, err
		}
	}
	made = true
	if !m.publish(name, s) {
		return nil, errors.Join(errClosed, s.close())
	}
	return s, nil
}

var errClosed = errors.New("tidegate: the manager is closed")

func (m *Manager) reserve(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return errClosed
	}
	if _, ok := m.services[name]; ok {
		return fmt.Errorf("tidegate: there is a service %s already: use another name, or Service to get it", quote(name))
	}
	if m.services == nil {
		m.services = make(map[string]*Service)
	}
	m.services[name] = nil
	return nil
}

func (m *Manager) free(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.services, name)
}

// publish reports false when the Manager was closed meanwhile.
func (m *Manager) publish(name string, s *Service) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		delete(m.services, name)
		return false
	}
	m.services[name] = s
	return true
}

// Service returns the service of that name. The error for one that does not exist
// lists those that do.
func (m *Manager) Service(name string) (*Service, error) {
	m.mu.RLock()
	s := m.services[name]
	m.mu.RUnlock()
	if s != nil {
		return s, nil
	}
	var names []string
	for _, s := range m.Services() {
		names = append(names, s.name)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("tidegate: there is no service %s, nor any other", quote(name))
	}
	return nil, fmt.Errorf("tidegate: there is no service %s%s; there are: %s", quote(name), suggest(name, names), strings.Join(names, ", "))
}

// Services returns all services, sorted by name.
func (m *Manager) Services() []*Service {
	m.mu.RLock()
	defer m.mu.RUnlock()
	all := make([]*Service, 0, len(m.services))
	for _, name := range sortedKeys(m.services) {
		if s := m.services[name]; s != nil {
			all = append(all, s)
		}
	}
	return all
}

// Chains returns the chains of all services, sorted by name: what package observability
// shows of a Manager.
func (m *Manager) Chains() []*middleware.Chain {
	services := m.Services()
	chains := make([]*middleware.Chain, len(services))
	for i, s := range services {
		chains[i] = s.chain
	}
	return chains
}

// States returns the state of the breaker of each service, by name. A service
// without a breaker is Closed: it lets calls through. Of several breakers it is that
// of the one which [ServiceHealth] shows.
func (m *Manager) States() map[string]policies.State {
	states := make(map[string]policies.State)
	for _, s := range m.Services() {
		states[s.name] = s.status().State
	}
	return states
}

// Metrics returns what the calls of each service came to, by name.
func (m *Manager) Metrics() map[string]Metrics {
	metrics := make(map[string]Metrics)
	for _, s := range m.Services() {
		metrics[s.name] = s.meter.metrics()
	}
	return metrics
}

// ForceOpen makes a service reject every call until Release or Reset. It acts on
// each breaker of the service. Of a [policies.Keyed] these are the ones that there
// are: the breaker of a key that comes later is closed.
//
// The error says that there is no such service, or that it has no breaker, as one
// with a Keyed has none before its first call.
func (m *Manager) ForceOpen(name string) error {
	return m.eachBreaker(name, (*policies.Breaker).ForceOpen)
}

// ForceClose makes a service let every call pass until Release or Reset. Calls are
// counted, but no count opens the breaker. Otherwise it is like ForceOpen.
func (m *Manager) ForceClose(name string) error {
	return m.eachBreaker(name, (*policies.Breaker).ForceClose)
}

// Disable makes a service let every call pass until Release or Reset, as if it had
// no breaker. Otherwise it is like ForceOpen.
func (m *Manager) Disable(name string) error { return m.eachBreaker(name, (*policies.Breaker).Disable) }

// ObserveOnly makes the breaker of a service reject nothing until Release, and only
// emit [middleware.WouldReject] instead. Otherwise it is like ForceOpen.
func (m *Manager) ObserveOnly(name string) error {
	return m.eachBreaker(name, (*policies.Breaker).ObserveOnly)
}

// Release ends ForceOpen, ForceClose, Disable and ObserveOnly. Otherwise it is like
// ForceOpen.
func (m *Manager) Release(name string) error { return m.eachBreaker(name, (*policies.Breaker).Release) }

// Reset closes the breaker of a service, whatever its state, and makes it forget
// what it has counted; one that only observes goes on observing. [Manager.Metrics]
// go on. Otherwise it is like ForceOpen.
func (m *Manager) Reset(name string) error { return m.eachBreaker(name, (*policies.Breaker).Reset) }

// ResetAll is Reset for every service that has a breaker.
func (m *Manager) ResetAll() {
	for _, s := range m.Services() {
		for b := range s.breakers {
			b.Reset()
		}
	}
}

func (m *Manager) eachBreaker(name string, do func(*policies.Breaker)) error {
	s, err := m.Service(name)
	if err != nil {
		return err
	}
	found := false
	for b := range s.breakers {
		found = true
		do(b)
	}
	if !found {
		return fmt.Errorf("tidegate: service %s has no breaker", quote(name))
	}
	return nil
}

// Close ends what the services run in the background: it calls Close on each of
// their policies that has it, once for each service that the policy is part of, and
// returns the errors, joined. Afterwards nothing can be added; calls still pass.
// Observers are not closed, they are the caller's. Further calls do nothing.
func (m *Manager) Close() error {
	m.mu.Lock()
	closed := m.closed
	m.closed = true
	m.mu.Unlock()
	if closed {
		return nil
	}
	var errs []error
	for _, s := range m.Services() {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}
