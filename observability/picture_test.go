package observability_test

import (
	"context"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

// A script answers requests one after another: each takes a time and then has a
// status. After the last one it hangs until the request is given up.
type script []answer

var scripts sync.Mutex // guards all of them

type answer struct {
	takes  time.Duration
	status int
}

func (s *script) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
	}
	a := answer{takes: math.MaxInt64}
	scripts.Lock()
	if len(*s) > 0 {
		a, *s = (*s)[0], (*s)[1:]
	}
	scripts.Unlock()
	select {
	case <-time.After(a.takes):
	case <-req.Context().Done():
		return nil, context.Cause(req.Context())
	}
	return &http.Response{
		StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(strings.NewReader("body")), Request: req,
	}, nil
}

const ms = time.Millisecond

// The pictures that a developer sees in a trace viewer: which rows there are, how
// long and how red they are, and what they say.
func TestPictures(t *testing.T) {
	retry := func() middleware.Policy { return policies.NewRetry(policies.RetryConfig{Delay: 200 * ms, Jitter: -1}) }
	breaker := func() middleware.Policy {
		return policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 2, SuccessThreshold: 1, Timeout: 10 * time.Second})
	}
	observing := func() middleware.Policy {
		b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 2, Timeout: 10 * time.Second})
		b.ObserveOnly()
		return b
	}
	keyed := func() middleware.Policy {
		return policies.NewKeyed(policies.KeyedConfig{Key: func(context.Context) string { return "eu" }}, func(key string) *policies.Breaker {
			return policies.NewBreaker(policies.BreakerConfig{Key: key, FailureThreshold: 2, Timeout: 10 * time.Second})
		})
	}
	for _, row := range []struct {
		name     string
		policies []middleware.Policy
		answers  script
		before   int           // calls before the one in the picture
		pause    time.Duration // after them
		within   time.Duration // the deadline of the caller
		cancel   time.Duration // when the caller gives up
		want     string
	}{
		{
			name:     "a success is one operation and one attempt",
			policies: []middleware.Policy{retry(), breaker()},
			answers:  script{{40 * ms, 200}},
			want: `
billing GET /invoices/{id} INTERNAL 40ms attempts=1 breaker.state=closed chain.name=billing operation=GET /invoices/{id} outcome=success policies=["retry","breaker"]
  GET CLIENT 40ms attempt=1 http.response.status_code=200 outcome=success
`,
		},
		{
			name:     "retried, then a success: red are the attempts, not the operation",
			policies: []middleware.Policy{retry()},
			answers:  script{{95 * ms, 503}, {90 * ms, 503}, {40 * ms, 200}},
			want: `
billing GET /invoices/{id} INTERNAL 825ms attempts=3 chain.name=billing operation=GET /invoices/{id} outcome=success policies=["retry"] wait.duration=0.6
  + 95ms tidegate.retry.scheduled attempt=1 error.type=503 policy.name=retry retry.delay=0.2 retry.delay_source=backoff
  + 385ms tidegate.retry.scheduled attempt=2 error.type=503 policy.name=retry retry.delay=0.4 retry.delay_source=backoff
  GET CLIENT 95ms RED attempt=1 error.type=503 http.response.status_code=503 outcome=failure
  GET CLIENT 90ms RED attempt=2 error.type=503 http.request.resend_count=1 http.response.status_code=503 outcome=failure
  GET CLIENT 40ms attempt=3 http.request.resend_count=2 http.response.status_code=200 outcome=success
`,
		},
		{
			name:     "retries spent: the last cause, and why there was no other attempt",
			policies: []middleware.Policy{policies.NewRetry(policies.RetryConfig{Attempts: 2, Delay: 200 * ms, Jitter: -1})},
			answers:  script{{10 * ms, 503}, {10 * ms, 502}},
			want: `
billing GET /invoices/{id} INTERNAL 220ms RED attempts=2 chain.name=billing error.type=502 operation=GET /invoices/{id} outcome=failure policies=["retry"] retry.stop_reason=exhausted wait.duration=0.2
  + 10ms tidegate.retry.scheduled attempt=1 error.type=503 policy.name=retry retry.delay=0.2 retry.delay_source=backoff
  + 220ms tidegate.retry.stopped attempt=2 error.type=502 policy.name=retry retry.stop_reason=exhausted
  GET CLIENT 10ms RED attempt=1 error.type=503 http.response.status_code=503 outcome=failure
  GET CLIENT 10ms RED attempt=2 error.type=502 http.request.resend_count=1 http.response.status_code=502 outcome=failure
`,
		},
		{
			name:     "no time for another attempt: still the last cause",
			policies: []middleware.Policy{retry()},
			answers:  script{{10 * ms, 503}},
			within:   100 * ms,
			want: `
billing GET /invoices/{id} INTERNAL 10ms RED attempts=1 chain.name=billing error.type=503 operation=GET /invoices/{id} outcome=failure policies=["retry"] retry.stop_reason=deadline
  + 10ms tidegate.retry.stopped attempt=1 error.type=503 policy.name=retry retry.stop_reason=deadline
  GET CLIENT 10ms RED attempt=1 error.type=503 http.response.status_code=503 outcome=failure
`,
		},
		{
			name:     "the caller leaves between two attempts: nothing more is red, and the wait is as long as it was",
			policies: []middleware.Policy{retry()},
			answers:  script{{10 * ms, 503}},
			cancel:   60 * ms,
			want: `
billing GET /invoices/{id} INTERNAL 60ms attempts=1 chain.name=billing operation=GET /invoices/{id} outcome=cancelled policies=["retry"] retry.stop_reason=canceled wait.duration=0.05
  + 10ms tidegate.retry.scheduled attempt=1 error.type=503 policy.name=retry retry.delay=0.2 retry.delay_source=backoff
  + 60ms tidegate.retry.stopped attempt=1 error.type=503 policy.name=retry retry.stop_reason=canceled
  GET CLIENT 10ms RED attempt=1 error.type=503 http.response.status_code=503 outcome=failure
`,
		},
		{
			name:   "the caller leaves during an attempt: nothing is red",
			cancel: 60 * ms,
			want: `
billing GET /invoices/{id} INTERNAL 60ms attempts=1 chain.name=billing operation=GET /invoices/{id} outcome=cancelled policies=[]
  GET CLIENT 60ms attempt=1 outcome=cancelled
`,
		},
		{
			name:   "the deadline of the caller passes",
			within: 60 * ms,
			want: `
billing GET /invoices/{id} INTERNAL 60ms RED attempts=1 chain.name=billing error.type=deadline_exceeded operation=GET /invoices/{id} outcome=timeout policies=[]
  GET CLIENT 60ms RED attempt=1 error.type=deadline_exceeded outcome=timeout
`,
		},
		{
			name:     "an attempt opens the breaker, the next one is refused: it never left the process",
			policies: []middleware.Policy{retry(), breaker()},
			answers:  script{{10 * ms, 503}, {10 * ms, 503}},
			want: `
billing GET /invoices/{id} INTERNAL 620ms RED attempts=2 breaker.state=closed chain.name=billing error.type=503 operation=GET /invoices/{id} outcome=failure policies=["retry","breaker"] retry.stop_reason=not_retryable wait.duration=0.6
  + 10ms tidegate.retry.scheduled attempt=1 error.type=503 policy.name=retry retry.delay=0.2 retry.delay_source=backoff
  + 220ms tidegate.breaker.state_changed breaker.open_for=10 breaker.state.from=closed breaker.state.to=open error.type=503 policy.name=breaker reason=consecutive_failures
  + 220ms tidegate.retry.scheduled attempt=2 error.type=503 policy.name=retry retry.delay=0.4 retry.delay_source=backoff
  + 620ms tidegate.retry.stopped attempt=3 error.type=circuit_open policy.name=retry retry.stop_reason=not_retryable
  GET CLIENT 10ms RED attempt=1 error.type=503 http.response.status_code=503 outcome=failure
  GET CLIENT 10ms RED attempt=2 error.type=503 http.request.resend_count=1 http.response.status_code=503 outcome=failure
  breaker rejected INTERNAL 1ns RED breaker.opened_by=this breaker.state=open chain.name=billing error.type=circuit_open policy.name=breaker retry_after=9.6
`,
		},
		{
			name: "two breakers: the state is that of the outermost, a pause is a wait of a limiter",
			policies: []middleware.Policy{observing(), breaker(), emit(middleware.Event{
				Kind: middleware.Waited, Policy: "mine", Reason: "pause", Wait: ms,
			})},
			answers: script{{0, 200}},
			want: `
billing GET /invoices/{id} INTERNAL 0s attempts=1 breaker.state=observed_closed chain.name=billing operation=GET /invoices/{id} outcome=success policies=["breaker","breaker"] wait.duration=0.001
  rate limit wait INTERNAL 1ms chain.name=billing policy.name=mine wait.duration=0.001
  GET CLIENT 0s attempt=1 http.response.status_code=200 outcome=success
`,
		},
		{
			name:     "rejected by an open breaker: no attempt",
			policies: []middleware.Policy{breaker()},
			answers:  script{{10 * ms, 503}, {10 * ms, 503}},
			before:   2,
			pause:    time.Second,
			want: `
billing GET /invoices/{id} INTERNAL 0s RED attempts=0 breaker.opened_by=another breaker.state=open chain.name=billing error.type=circuit_open operation=GET /invoices/{id} outcome=rejected policies=["breaker"]
  breaker rejected INTERNAL 1ns RED breaker.opened_by=another breaker.state=open chain.name=billing error.type=circuit_open policy.name=breaker retry_after=9
`,
		},
		{
			name:     "a probe closes the breaker",
			policies: []middleware.Policy{breaker()},
			answers:  script{{10 * ms, 503}, {10 * ms, 503}, {10 * ms, 200}},
			before:   2,
			pause:    10 * time.Second,
			want: `
billing GET /invoices/{id} INTERNAL 10ms attempts=1 breaker.state=half_open chain.name=billing operation=GET /invoices/{id} outcome=success policies=["breaker"]
  + 0s tidegate.breaker.state_changed breaker.state.from=open breaker.state.to=half_open policy.name=breaker reason=delay_elapsed
  + 10ms tidegate.breaker.state_changed breaker.state.from=half_open breaker.state.to=closed policy.name=breaker reason=probe_succeeded
  GET CLIENT 10ms attempt=1 http.response.status_code=200 outcome=success
`,
		},
		{
			name: "refused by a breaker that has its probe",
			policies: []middleware.Policy{emit(middleware.Event{
				Kind: middleware.Rejected, Policy: "breaker", Reason: "probe_limit", Attempt: 1,
			})},
			answers: script{{0, 200}},
			want: `
billing GET /invoices/{id} INTERNAL 0s attempts=1 chain.name=billing operation=GET /invoices/{id} outcome=success policies=[]
  breaker rejected INTERNAL 1ns RED breaker.state=half_open chain.name=billing error.type=probe_limit policy.name=breaker
  GET CLIENT 0s attempt=1 http.response.status_code=200 outcome=success
`,
		},
		{
			name: "refused by a breaker that has closed again and lets a share through",
			policies: []middleware.Policy{emit(middleware.Event{
				Kind: middleware.Rejected, Policy: "fuse", Reason: "recovering", Wait: 9 * time.Second,
			})},
			answers: script{{0, 200}},
			want: `
billing GET /invoices/{id} INTERNAL 0s attempts=1 chain.name=billing operation=GET /invoices/{id} outcome=success policies=[]
  breaker rejected INTERNAL 1ns RED breaker.state=closed chain.name=billing error.type=recovering policy.name=fuse retry_after=9
  GET CLIENT 0s attempt=1 http.response.status_code=200 outcome=success
`,
		},
		{
			name:     "a breaker that only observes would have rejected: an event, an attempt and nothing red",
			policies: []middleware.Policy{observing()},
			answers:  script{{10 * ms, 503}, {10 * ms, 503}, {10 * ms, 200}},
			before:   2,
			pause:    time.Second,
			want: `
billing GET /invoices/{id} INTERNAL 10ms attempts=1 breaker.state=observed_open chain.name=billing operation=GET /invoices/{id} outcome=success policies=["breaker"]
  + 0s tidegate.policy.would_reject breaker.opened_by=another policy.name=breaker reason=circuit_open retry_after=9
  GET CLIENT 10ms attempt=1 http.response.status_code=200 outcome=success
`,
		},
		{
			name:     "a breaker for each key: its events and its row name the key",
			policies: []middleware.Policy{retry(), keyed()},
			answers:  script{{10 * ms, 503}, {10 * ms, 503}},
			want: `
billing GET /invoices/{id} INTERNAL 620ms RED attempts=2 chain.name=billing error.type=503 operation=GET /invoices/{id} outcome=failure policies=["retry","keyed"] retry.stop_reason=not_retryable wait.duration=0.6
  + 10ms tidegate.retry.scheduled attempt=1 error.type=503 policy.name=retry retry.delay=0.2 retry.delay_source=backoff
  + 220ms tidegate.breaker.state_changed breaker.open_for=10 breaker.state.from=closed breaker.state.to=open error.type=503 policy.key=eu policy.name=breaker reason=consecutive_failures
  + 220ms tidegate.retry.scheduled attempt=2 error.type=503 policy.name=retry retry.delay=0.4 retry.delay_source=backoff
  + 620ms tidegate.retry.stopped attempt=3 error.type=circuit_open policy.name=retry retry.stop_reason=not_retryable
  GET CLIENT 10ms RED attempt=1 error.type=503 http.response.status_code=503 outcome=failure
  GET CLIENT 10ms RED attempt=2 error.type=503 http.request.resend_count=1 http.response.status_code=503 outcome=failure
  breaker rejected INTERNAL 1ns RED breaker.opened_by=this breaker.state=open chain.name=billing error.type=circuit_open policy.key=eu policy.name=breaker retry_after=9.6
`,
		},
		{
			name: "whatever else a policy for each key does",
			policies: []middleware.Policy{emit(
				middleware.Event{Kind: middleware.Waited, Policy: "bulkhead", Key: "eu", Wait: 2 * ms},
				middleware.Event{Kind: middleware.TimedOut, Policy: "timeout", Key: "eu", Wait: time.Second},
				middleware.Event{Kind: middleware.RetryStopped, Policy: "retry", Key: "eu", Attempt: 1, Reason: "exhausted"},
				middleware.Event{Kind: middleware.HealthCheckFailed, Policy: "breaker", Key: "eu", Err: codedError{503}},
				middleware.Event{Kind: middleware.WouldReject, Policy: "breaker", Key: "eu", Reason: "probe_limit"},
			)},
			answers: script{{10 * ms, 200}},
			want: `
billing GET /invoices/{id} INTERNAL 10ms attempts=1 chain.name=billing operation=GET /invoices/{id} outcome=success policies=[] retry.stop_reason=exhausted wait.duration=0.002
  + 0s tidegate.timeout.exceeded policy.key=eu policy.name=timeout timeout.limit=1
  + 0s tidegate.retry.stopped attempt=1 error.type=_OTHER policy.key=eu policy.name=retry retry.stop_reason=exhausted
  + 0s tidegate.breaker.health_check_failed error.type=503 policy.key=eu policy.name=breaker
  + 0s tidegate.policy.would_reject policy.key=eu policy.name=breaker reason=probe_limit
  bulkhead wait INTERNAL 2ms chain.name=billing policy.key=eu policy.name=bulkhead wait.duration=0.002
  GET CLIENT 10ms attempt=1 http.response.status_code=200 outcome=success
`,
		},
		{
			name:     "waited in a limiter: the wait is a row before the attempt",
			policies: []middleware.Policy{policies.NewRateLimit(policies.RateLimitConfig{Rate: 2, Burst: 1, MaxWait: time.Second})},
			answers:  script{{10 * ms, 200}, {10 * ms, 200}},
			before:   1,
			pause:    140 * ms,
			want: `
billing GET /invoices/{id} INTERNAL 360ms attempts=1 chain.name=billing operation=GET /invoices/{id} outcome=success policies=["rate_limit"] wait.duration=0.35
  rate limit wait INTERNAL 350ms chain.name=billing policy.name=rate_limit wait.duration=0.35
  GET CLIENT 10ms attempt=1 http.response.status_code=200 outcome=success
`,
		},
		{
			name:     "a wait below a millisecond has no row",
			policies: []middleware.Policy{policies.NewRateLimit(policies.RateLimitConfig{Rate: 2000, Burst: 1, MaxWait: time.Second})},
			answers:  script{{0, 200}, {0, 200}},
			before:   1,
			want: `
billing GET /invoices/{id} INTERNAL 500µs attempts=1 chain.name=billing operation=GET /invoices/{id} outcome=success policies=["rate_limit"] wait.duration=0.0005
  GET CLIENT 0s attempt=1 http.response.status_code=200 outcome=success
`,
		},
		{
			name:     "a wait of a millisecond has one",
			policies: []middleware.Policy{policies.NewRateLimit(policies.RateLimitConfig{Rate: 1000, Burst: 1, MaxWait: time.Second})},
			answers:  script{{0, 200}, {0, 200}},
			before:   1,
			want: `
billing GET /invoices/{id} INTERNAL 1ms attempts=1 chain.name=billing operation=GET /invoices/{id} outcome=success policies=["rate_limit"] wait.duration=0.001
  rate limit wait INTERNAL 1ms chain.name=billing policy.name=rate_limit wait.duration=0.001
  GET CLIENT 0s attempt=1 http.response.status_code=200 outcome=success
`,
		},
		{
			name:     "refused by a limiter",
			policies: []middleware.Policy{policies.NewRateLimit(policies.RateLimitConfig{Rate: 1, Burst: 1})},
			answers:  script{{0, 200}},
			before:   1,
			want: `
billing GET /invoices/{id} INTERNAL 0s RED attempts=0 chain.name=billing error.type=rate_limited operation=GET /invoices/{id} outcome=rejected policies=["rate_limit"]
  rate limit rejected INTERNAL 1ns RED chain.name=billing error.type=rate_limited policy.name=rate_limit retry_after=1
`,
		},
		{
			name:     "refused because the turn comes after the deadline",
			policies: []middleware.Policy{policies.NewRateLimit(policies.RateLimitConfig{Name: "quota_of_ours", Rate: 1, Burst: 1, MaxWait: time.Minute})},
			answers:  script{{0, 200}},
			before:   1,
			within:   100 * ms,
			want: `
billing GET /invoices/{id} INTERNAL 0s RED attempts=0 chain.name=billing error.type=deadline_too_short operation=GET /invoices/{id} outcome=rejected policies=["quota_of_ours"]
  rate limit rejected INTERNAL 1ns RED chain.name=billing error.type=deadline_too_short policy.name=quota_of_ours retry_after=1
`,
		},
		{
			name: "held back by an adaptive limit, refused by it, by a throttle and by a deadline",
			policies: []middleware.Policy{emit(
				middleware.Event{Kind: middleware.Waited, Policy: "mine", Reason: "adaptive_limit", Wait: 5 * ms},
				middleware.Event{Kind: middleware.Rejected, Policy: "mine", Reason: "concurrency_limited"},
				middleware.Event{Kind: middleware.Rejected, Policy: "yours", Reason: "client_throttled"},
				middleware.Event{Kind: middleware.Rejected, Policy: "theirs", Reason: "deadline_too_short"},
				middleware.Event{Kind: middleware.Waited, Policy: "adaptive_limit", Reason: "other", Wait: 5 * ms},
			), teller{{Type: "deadline", Name: "theirs"}, {Type: "adaptive_limit", Name: "adaptive_limit"}}},
			answers: script{{10 * ms, 200}},
			want: `
billing GET /invoices/{id} INTERNAL 10ms attempts=1 chain.name=billing operation=GET /invoices/{id} outcome=success policies=[] wait.duration=0.01
  adaptive limit wait INTERNAL 5ms chain.name=billing policy.name=mine wait.duration=0.005
  adaptive limit wait INTERNAL 5ms chain.name=billing policy.name=adaptive_limit wait.duration=0.005
  adaptive limit rejected INTERNAL 1ns RED chain.name=billing error.type=concurrency_limited policy.name=mine
  throttle rejected INTERNAL 1ns RED chain.name=billing error.type=client_throttled policy.name=yours
  deadline rejected INTERNAL 1ns RED chain.name=billing error.type=deadline_too_short policy.name=theirs
  GET CLIENT 10ms attempt=1 http.response.status_code=200 outcome=success
`,
		},
		{
			name: "disturbed, nested, held for too long, and the fallback failed too: only that row is red",
			policies: []middleware.Policy{emit(
				middleware.Event{Kind: middleware.Injected, Policy: "chaos", Attempt: 1, Reason: "error", Err: codedError{503}},
				middleware.Event{Kind: middleware.NestedRetry, Policy: "retry", Attempt: 2, Reason: "context", Err: codedError{503}},
				middleware.Event{Kind: middleware.LeaseExpired, Policy: "bulkhead", Key: "eu", Wait: time.Minute},
				middleware.Event{Kind: middleware.FallbackUsed, Policy: "fallback", Err: codedError{503}, Reason: "failed"},
			)},
			answers: script{{10 * ms, 200}},
			want: `
billing GET /invoices/{id} INTERNAL 10ms attempts=1 chain.name=billing operation=GET /invoices/{id} outcome=success policies=[]
  + 0s tidegate.chaos.injected attempt=1 chaos.fault=error error.type=503 policy.name=chaos
  + 0s tidegate.retry.nested error.type=503 policy.name=retry retry.outer_attempt=2 retry.outer_source=context
  + 0s tidegate.policy.lease_expired lease.held=60 policy.key=eu policy.name=bulkhead
  + 0s tidegate.fallback.used error.type=503 policy.name=fallback reason=failed
  fallback INTERNAL 0s RED chain.name=billing error.type=503 policy.name=fallback reason=failed
  GET CLIENT 10ms attempt=1 http.response.status_code=200 outcome=success
`,
		},
		{
			name: "attempts time out, then the whole operation",
			policies: []middleware.Policy{
				policies.NewTimeout(policies.TimeoutConfig{Limit: 500 * ms}), retry(), policies.NewTimeout(policies.TimeoutConfig{Limit: 100 * ms}),
			},
			want: `
billing GET /invoices/{id} INTERNAL 400ms RED attempts=2 chain.name=billing error.type=timeout operation=GET /invoices/{id} outcome=timeout policies=["timeout","retry","timeout"] retry.stop_reason=deadline wait.duration=0.2
  + 100ms tidegate.timeout.exceeded policy.name=timeout timeout.limit=0.1 timeout.scope=attempt
  + 100ms tidegate.retry.scheduled attempt=1 error.type=timeout policy.name=retry retry.delay=0.2 retry.delay_source=backoff
  + 400ms tidegate.timeout.exceeded policy.name=timeout timeout.limit=0.1 timeout.scope=attempt
  + 400ms tidegate.retry.stopped attempt=2 error.type=timeout policy.name=retry retry.stop_reason=deadline
  GET CLIENT 100ms RED attempt=1 error.type=timeout outcome=timeout
  GET CLIENT 100ms RED attempt=2 error.type=timeout http.request.resend_count=1 outcome=timeout
`,
		},
		{
			name:     "the whole operation times out",
			policies: []middleware.Policy{policies.NewTimeout(policies.TimeoutConfig{Limit: 500 * ms}), retry()},
			want: `
billing GET /invoices/{id} INTERNAL 500ms RED attempts=1 chain.name=billing error.type=timeout operation=GET /invoices/{id} outcome=timeout policies=["timeout","retry"] retry.stop_reason=canceled
  + 500ms tidegate.retry.stopped attempt=1 error.type=timeout policy.name=retry retry.stop_reason=canceled
  + 500ms tidegate.timeout.exceeded policy.name=timeout timeout.limit=0.5 timeout.scope=operation
  GET CLIENT 500ms RED attempt=1 error.type=timeout outcome=timeout
`,
		},
		{
			name:     "hedged: two attempts at once, the loser is not red",
			policies: []middleware.Policy{policies.NewHedge(policies.HedgeConfig{Delay: 50 * ms})},
			answers:  script{{500 * ms, 200}, {20 * ms, 200}},
			want: `
billing GET /invoices/{id} INTERNAL 70ms attempts=2 chain.name=billing operation=GET /invoices/{id} outcome=success policies=["hedge"]
  + 50ms tidegate.hedge.started attempt=2 hedge.delay=0.05 policy.name=hedge
  + 70ms tidegate.hedge.won attempt=2 policy.name=hedge
  GET CLIENT 70ms attempt=1 outcome=cancelled
  GET CLIENT 20ms attempt=2 hedge=true http.request.resend_count=1 http.response.status_code=200 outcome=success
`,
		},
		{
			name: "something else was done instead: a row of how long it took, and an event",
			policies: []middleware.Policy{emit(middleware.Event{
				Kind: middleware.FallbackUsed, Policy: "fallback", Err: codedError{503}, Wait: 0,
			}, middleware.Event{Kind: middleware.LimitChanged, Policy: "adaptive", From: "10", To: "8", Reason: "latency"})},
			answers: script{{10 * ms, 200}},
			want: `
billing GET /invoices/{id} INTERNAL 10ms attempts=1 chain.name=billing operation=GET /invoices/{id} outcome=success policies=[]
  + 0s tidegate.fallback.used error.type=503 policy.name=fallback
  + 0s tidegate.policy.limit_changed limit.from=10 limit.to=8 policy.name=adaptive reason=latency
  fallback INTERNAL 0s chain.name=billing error.type=503 policy.name=fallback
  GET CLIENT 10ms attempt=1 http.response.status_code=200 outcome=success
`,
		},
		{
			name:     "opened by a rate of failures: the event tells the rate",
			policies: []middleware.Policy{policies.NewBreaker(policies.BreakerConfig{FailureRate: 0.5, MinCalls: 2, Timeout: 10 * time.Second})},
			answers:  script{{10 * ms, 200}, {10 * ms, 503}},
			before:   1,
			want: `
billing GET /invoices/{id} INTERNAL 10ms RED attempts=1 breaker.state=closed chain.name=billing error.type=503 operation=GET /invoices/{id} outcome=failure policies=["breaker"]
  + 10ms tidegate.breaker.state_changed breaker.failure_rate=0.5 breaker.open_for=10 breaker.state.from=closed breaker.state.to=open error.type=503 policy.name=breaker reason=failure_rate
  GET CLIENT 10ms RED attempt=1 error.type=503 http.response.status_code=503 outcome=failure
`,
		},
		{
			name:     "an error of the caller is a success of the dependency",
			policies: []middleware.Policy{retry()},
			answers:  script{{10 * ms, 404}},
			want: `
billing GET /invoices/{id} INTERNAL 10ms attempts=1 chain.name=billing operation=GET /invoices/{id} outcome=success policies=["retry"]
  GET CLIENT 10ms RED attempt=1 error.type=404 http.response.status_code=404 outcome=failure
`,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRecorder()
				o := r.observer()
				chain := middleware.NewChain("billing", append([]middleware.Policy{o}, row.policies...)...)
				transport := transports.New(o.Transport(&row.answers), chain)
				for range row.before {
					get(t.Context(), t, transport)
				}
				time.Sleep(row.pause)
				r.spans.Reset()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if row.within > 0 {
					ctx, cancel = context.WithTimeout(ctx, row.within)
					defer cancel()
				}
				if row.cancel > 0 {
					defer time.AfterFunc(row.cancel, cancel).Stop()
				}
				get(ctx, t, transport)
				if got := "\n" + r.picture(); got != row.want {
					t.Errorf("got%s\nwant%s", got, row.want)
				}
			})
		})
	}
}

func get(ctx context.Context, t *testing.T, transport http.RoundTripper) {
	t.Helper()
	ctx = middleware.WithOperation(ctx, middleware.Operation{Name: "GET /invoices/{id}"})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://billing.example/invoices/7", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := transport.RoundTrip(req); err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}
