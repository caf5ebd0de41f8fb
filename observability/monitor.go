package observability

import (
	"context"
	"slices"
	"sync"
	"time"
)

// DefaultMonitorInterval is how often a [Monitor] looks unless [WithInterval] says otherwise.
const DefaultMonitorInterval = 10 * time.Second

// A MonitorOption configures a [Monitor].
type MonitorOption func(*monitorConfig)

type monitorConfig struct {
	interval   time.Duration
	thresholds Thresholds
	hooks      []func(context.Context, Alert)
}

// WithInterval sets how often the Monitor looks. Zero and less mean DefaultMonitorInterval.
func WithInterval(d time.Duration) MonitorOption {
	return func(c *monitorConfig) { c.interval = d }
}

// WithThresholds sets what there are alerts for.
func WithThresholds(t Thresholds) MonitorOption {
	return func(c *monitorConfig) { c.thresholds = t }
}

// WithAlertHook makes the Monitor call hook when an alert begins, and when it has ended:
// then its Ended is set. It may be used several times. The context is that of
// [StartMonitoring] and ends with Close.
//
// hook runs on the goroutine of the Monitor, which looks again when it has returned, so it
// should hand on what takes long. A panic of it is dropped. It must not call Close, which
// waits for it.
func WithAlertHook(hook func(ctx context.Context, a Alert)) MonitorOption {
	return func(c *monitorConfig) {
		if hook != nil {
			c.hooks = append(c.hooks, hook)
		}
	}
}

// A Monitor finds the alerts of a [Manager] every now and then. [StartMonitoring] makes one; a
// nil one has no alerts. It is safe for concurrent use.
type Monitor struct {
	config    monitorConfig
	evaluator *evaluator
	cancel    context.CancelFunc
	done      chan struct{}

	mu     sync.Mutex
	alerts []Alert
}

// StartMonitoring returns a Monitor that looks at once, and then until ctx ends or it is
// closed. A nil ctx does not end.
//
// What is wrong with breakers it knows from the breakers. For flapping ones, and for all
// alerts about calls, the chains need an [Observer] with [WithLive]; without one there are
// no such alerts.
func StartMonitoring(ctx context.Context, m Manager, opts ...MonitorOption) *Monitor {
	if ctx == nil {
		ctx = context.Background()
	}
	w := &Monitor{done: make(chan struct{})}
	for _, opt := range opts {
		if opt != nil {
			opt(&w.config)
		}
	}
	if w.config.interval <= 0 {
		w.config.interval = DefaultMonitorInterval
	}
	w.evaluator = newEvaluator(m, w.config.thresholds)
	ctx, w.cancel = context.WithCancel(ctx)
	go w.run(ctx)
	return w
}

// Alerts returns the alerts that there were when the Monitor looked last, critical ones
// first and then the oldest first.
func (m *Monitor) Alerts() []Alert {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.alerts)
}

// Close ends the Monitor and waits until it has ended. The alerts stay as they were found
// last. Further calls do nothing.
func (m *Monitor) Close() {
	if m == nil || m.cancel == nil { // nobody has started it
		return
	}
	m.cancel()
	<-m.done
}

func (m *Monitor) run(ctx context.Context) {
	defer close(m.done)
	defer m.cancel()
	ticker := time.NewTicker(m.config.interval)
	defer ticker.Stop()
	for ctx.Err() == nil {
		m.look(ctx)
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

// look finds the alerts and tells the hooks. A manager of somebody else's that panics must
// not end the program: then nothing changes.
func (m *Monitor) look(ctx context.Context) {
	defer func() { _ = recover() }()
	now := time.Now()
	for _, o := range observersOf(chainsOf(m.evaluator.manager)) {
		o.logger.flush(now)
	}
	active, begun, ended := m.evaluator.step(now)
	m.mu.Lock()
	m.alerts = active
	m.mu.Unlock()
	for _, a := range slices.Concat(ended, begun) {
		for _, hook := range m.config.hooks {
			if ctx.Err() != nil {
				return
			}
			tell(ctx, hook, a)
		}
	}
}

func tell(ctx context.Context, hook func(context.Context, Alert), a Alert) {
	defer func() { _ = recover() }()
	hook(ctx, a)
}
