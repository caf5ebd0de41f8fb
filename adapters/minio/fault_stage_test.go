package minio

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/tidegate-go/tidegate/internal/injector"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

const (
	openAfter = 5                      // failures in a row
	openFor   = 250 * time.Millisecond // what the breaker is kept open
)

// A stage is where one row is played: a server, the injector before it, a client
// with every policy, and one without that goes past the injector.
type stage struct {
	*testing.T

	row      fault
	server   faultServer
	injector *injector.Injector
	began    int // goroutines of the row before anything was done

	transport *http.Transport
	direct    *http.Transport
	breaker   *policies.Breaker
	bulkhead  *policies.Bulkhead
	witness   *witness
	client    atomic.Pointer[Client]
	wrong     *Client
	bare      *minio.Client

	bucket, versions string
	workers          []*worker
	operations       int64         // under the fault
	done             atomic.Int64  // of them
	back             chan struct{} // closed when the server is back; nil if it does not go

	during, after tally
}

// A tally says what became of operations.
type tally struct {
	succeeded, failed, rejected atomic.Int64
	saw                         atomic.Int64 // an attempt that failed, or a rejection
}

func (t *tally) String() string {
	return fmt.Sprintf("%d succeeded, %d failed, %d rejected, %d saw the fault",
		t.succeeded.Load(), t.failed.Load(), t.rejected.Load(), t.saw.Load())
}

func newStage(t *testing.T, row fault, server faultServer) *stage {
	t.Helper()
	s := &stage{T: t, row: row, server: server, injector: injector.New(), began: goroutinesOf(t)}
	if err := s.injector.Start(server.address); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.injector.Close)
	limit := orElse(row.limit, server.limit)
	// minio-go aborts uploads without a deadline of ours.
	s.transport = &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 128, ResponseHeaderTimeout: limit + time.Second}
	s.direct = &http.Transport{DisableCompression: true, ResponseHeaderTimeout: time.Minute}
	s.witness = &witness{reasons: map[string]int{}, examples: map[string]error{}, classes: map[middleware.Class]int{}}
	s.breaker = policies.NewBreaker(policies.BreakerConfig{
		FailureThreshold: openAfter, SuccessThreshold: 1, Timeout: openFor, RecoveryBackoff: 1,
	})
	s.bulkhead = policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 64, MaxQueue: 1000, MaxWait: time.Minute})
	chain := middleware.NewChain("s3",
		policies.NewRetry(policies.RetryConfig{
			Attempts: orElse(row.attempts, 4), Delay: 100 * time.Millisecond, MaxDelay: time.Second,
			Budget: policies.NewBudget(policies.BudgetConfig{Ratio: -1}),
		}),
		s.breaker, s.bulkhead,
		policies.NewTimeout(policies.TimeoutConfig{Limit: limit}),
		s.witness,
	)
	s.client.Store(s.connect(s.injector.Addr(), server.creds, s.transport, chain))
	s.bare = s.connect(server.address, server.creds, s.direct, nil).Raw()
	s.wrong = s.connect(s.injector.Addr(), credentials.NewStaticV4(accessKey, "wrong", ""), s.transport, chain)
	return s
}

func (s *stage) connect(address string, creds *credentials.Credentials, transport *http.Transport, chain *middleware.Chain) *Client {
	s.Helper()
	c, err := New(address, minio.Options{Creds: creds, Region: "us-east-1", Transport: transport}, chain)
	if err != nil {
		s.Fatal(err)
	}
	return c
}

// prepare makes the buckets, and through the policies the first objects of every worker.
func (s *stage) prepare(operations int) {
	s.bucket = fmt.Sprintf("b-%x", rand.Uint64())
	s.versions = s.bucket + "-v"
	for _, bucket := range []string{s.bucket, s.versions} {
		if err := s.bare.MakeBucket(s.Context(), bucket, minio.MakeBucketOptions{}); err != nil {
			s.Fatal(err)
		}
	}
	if err := s.bare.EnableVersioning(s.Context(), s.versions); err != nil {
		s.Fatal(err)
	}
	for n := range min(orElse(s.row.workers, 16), operations/2) {
		s.workers = append(s.workers, newWorker(s, n))
	}
	s.each(func(w *worker) {
		if err := w.prepare(); err != nil {
			s.Errorf("before the fault: %v", err)
		}
	})
	if s.Failed() {
		s.FailNow()
	}
	s.witness.forget()
}

func (s *stage) each(f func(*worker)) {
	var all sync.WaitGroup
	for _, w := range s.workers {
		all.Go(func() { f(w) })
	}
	all.Wait()
}

// run runs so many operations of the mix, shared out among the workers.
func (s *stage) run(operations int, t *tally, mayBegin func(n int64)) {
	work := make(chan operation, operations)
	for _, op := range mixOf(operations) {
		work <- op
	}
	close(work)
	var begun atomic.Int64
	s.each(func(w *worker) {
		for op := range work {
			mayBegin(begun.Add(1))
			w.do(op, t)
			s.done.Add(1)
		}
	})
}

func (s *stage) runUnderFault(operations int) {
	s.operations = int64(operations)
	s.awaitNoConnections() // one that is cut while it is idle is not what a row is about
	s.row.strike(s)
	s.run(operations, &s.during, func(n int64) {
		if n > s.operations/2 && s.back != nil {
			<-s.back
		}
	})

	s.checkOutcome(int64(operations))
	s.checkReasons()
	s.checkBreaker()
}

// runAfterFault lifts the fault, waits for the breaker and sees every operation succeed.
func (s *stage) runAfterFault(operations int) {
	s.client.Store(s.connect(s.injector.Addr(), s.server.creds, s.transport, s.client.Load().chain))
	s.set(injector.Fault{})
	await(s.Context(), s.T, func() error {
		_, err := s.client.Load().StatObject(s.Context(), s.bucket, s.workers[0].first, minio.StatObjectOptions{})
		return err
	})
	s.run(operations, &s.after, func(int64) {})
	if bad := s.after.failed.Load() + s.after.rejected.Load(); bad > 0 {
		s.Errorf("after the fault: %v", &s.after)
	}
	if state := s.breaker.State(); state != policies.Closed {
		s.Errorf("after the fault the breaker is %v", state)
	}
}

func (s *stage) awaitNoConnections() {
	await(s.Context(), s.T, func() error {
		s.transport.CloseIdleConnections()
		if n := s.injector.Open(); n > 0 {
			return fmt.Errorf("%d connections are open", n)
		}
		return nil
	})
}

// set sets a fault, which cuts the open connections.
func (s *stage) set(f injector.Fault) {
	s.transport.CloseIdleConnections()
	if err := s.injector.Set(f); err != nil {
		s.Error(err)
	}
}

// inject returns what strikes with a fault of the injector.
func inject(f injector.Fault) func(*stage) { return func(s *stage) { s.set(f) } }

// restart kills the server, and starts it when a third of the operations are over. The
// last half of them waits for it.
func (s *stage) restart() {
	s.server.kill()
	s.back = make(chan struct{})
	go func() {
		defer close(s.back)
		pprof.SetGoroutineLabels(context.Background()) // the server outlives the row
		for s.done.Load() < s.operations/3 {
			<-time.After(10 * time.Millisecond)
		}
		s.server.start()
	}()
}

func (s *stage) useWrongSecret() { s.client.Store(s.wrong) }

func (s *stage) checkOutcome(operations int64) {
	d := &s.during
	succeeded, failed := d.succeeded.Load(), d.failed.Load()+d.rejected.Load()
	switch {
	case succeeded+failed != operations:
		s.Errorf("of %d operations %v", operations, d)
	case s.row.outcome == allFail && succeeded > 0:
		s.Errorf("not all failed: %v", d)
	case s.row.outcome == someFail && (succeeded == 0 || failed == 0):
		s.Errorf("not some of both: %v", d)
	case s.row.outcome == onlyStreamsFail:
		// The workers have reported everything else that failed.
		if d.rejected.Load() > 0 || succeeded == 0 {
			s.Errorf("%v", d)
		}
	}
	enough := int64(3) // which operations meet a fault that strikes some is a matter of chance
	if s.row.breaker == opens {
		enough = openAfter
	}
	if d.saw.Load() < enough {
		s.Errorf("too few operations saw the fault: %v", d)
	}
}

func (s *stage) checkReasons() {
	reasons, _, _, _ := s.witness.seen()
	for reason := range reasons {
		if !s.maySee(reason) && !slices.Contains(answers, reason) {
			s.Errorf("attempts were judged %q, want %q: %v; for instance %v", reason, s.row.reasons, reasons, s.witness.example(reason))
		}
	}
	if reasons[s.row.reasons[0]] == 0 {
		s.Errorf("no attempt was judged %q: %v", s.row.reasons[0], reasons)
	}
}

// answers are the reasons of answers that have nothing to do with a fault.
var answers = []string{"", "not_found", "precondition"}

// maySee reports whether attempts may be judged so under the fault.
func (s *stage) maySee(reason string) bool {
	return slices.Contains(s.row.reasons, reason) || s.server.hasty && reason == "network"
}

func (s *stage) checkBreaker() {
	_, classes, transitions, rejections := s.witness.seen()
	counts := s.breaker.Counts()
	switch s.row.breaker {
	case opens:
		if !slices.Contains(transitions, "closed -> open") || classes[middleware.Failure] < openAfter {
			s.Errorf("the breaker has not opened: %v, %v", transitions, classes)
		}
	case staysClosed:
		early := classes[middleware.Failure] > 0 && !s.maySee("network")
		if len(transitions) > 0 || early || counts.Failures != classes[middleware.Failure] {
			s.Errorf("the breaker has not stayed closed, without a failure: %v, %+v, %v", transitions, counts, classes)
		}
	case mayOpen:
		if slices.Contains(transitions, "closed -> open") && classes[middleware.Failure] < openAfter {
			s.Errorf("the breaker opened without a reason: %v, %v", transitions, classes)
		}
	}
	if opened := len(transitions) > 0; opened != (rejections > 0) {
		s.Errorf("transitions %v, but %d rejections by the breaker", transitions, rejections)
	}
}

// close sees that nothing is left of the row.
func (s *stage) close() {
	s.awaitNoConnections()
	s.direct.CloseIdleConnections()
	if b := s.bulkhead.Status(); b.Running > 0 || b.Waiting > 0 {
		s.Errorf("the bulkhead is not empty: %+v", b)
	}
	if n := s.breaker.Status().InFlight; n > 0 {
		s.Errorf("the breaker sees %d calls in flight", n)
	}
	s.injector.Close()
	await(s.Context(), s.T, func() error {
		s.transport.CloseIdleConnections() // of an upload that was being aborted
		if n := goroutinesOf(s.T); n > s.began {
			return fmt.Errorf("%d goroutines, %d at the start", n, s.began)
		}
		return nil
	})
}

func (s *stage) summary() string {
	reasons, _, transitions, _ := s.witness.seen()
	opened := 0
	for _, t := range transitions {
		if strings.HasSuffix(t, "-> open") {
			opened++
		}
	}
	return fmt.Sprintf("%v; attempts by reason %v; opened %d times; after: %v", &s.during, reasons, opened, &s.after)
}

// inRow runs f with a label that the goroutines which it begins inherit.
func inRow(t *testing.T, f func()) {
	pprof.Do(t.Context(), pprof.Labels("row", t.Name()), func(context.Context) { f() })
}

// goroutinesOf counts the goroutines of the row.
func goroutinesOf(t *testing.T) (n int) {
	t.Helper()
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		t.Fatal(err)
	}
	count := 0
	for line := range strings.Lines(profile.String()) {
		if strings.HasPrefix(line, "# labels:") && strings.Contains(line, fmt.Sprintf("%q", t.Name())) {
			n += count
		}
		if _, err := fmt.Sscanf(line, "%d @", &count); err != nil {
			continue
		}
	}
	return n
}

// await repeats f until it succeeds, for a minute and a half at the most: minio-go aborts
// uploads for up to a minute.
func await(ctx context.Context, t *testing.T, f func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
}

func orElse[T comparable](value, otherwise T) T {
	var none T
	if value == none {
		return otherwise
	}
	return value
}
