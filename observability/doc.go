// Package observability shows what policies decide: as OpenTelemetry spans, metrics and
// log records, as alerts and a health report, on a live page, and as a history that needs
// none of them.
//
//	observer := observability.New(
//		observability.WithTracerProvider(tracers),
//		observability.WithMeterProvider(meters),
//	)
//	chain := middleware.NewChain("billing", observer, retry, breaker)
//	client := &http.Client{Transport: transports.New(observer.Transport(nil), chain)}
//
// # Spans
//
//	span                        kind      when
//	{chain} {operation}         INTERNAL  each call through a chain
//	{method}                    CLIENT    each HTTP request sent by an [Observer.Transport]
//	{operation} attempt         INTERNAL  each attempt that sent no such request
//	rate limit wait             INTERNAL  a limiter held a call back for a millisecond or more
//	breaker rejected            INTERNAL  a breaker refused a call
//	rate limit rejected         INTERNAL  a rate limit refused a call, also for lack of time
//	bulkhead wait               INTERNAL  a bulkhead held a call back for a millisecond or more
//	bulkhead rejected           INTERNAL  a bulkhead refused a call
//	adaptive limit wait         INTERNAL  an adaptive limit held a call back for a millisecond or more
//	adaptive limit rejected     INTERNAL  an adaptive limit refused a call
//	throttle rejected           INTERNAL  a throttle refused a call
//	deadline rejected           INTERNAL  a deadline refused a call that has too little time
//	fallback                    INTERNAL  something else was done in place of what failed
//	breaker probe               INTERNAL  a health check of an open breaker; a trace of its own, with
//	                                      a link to the call that opened the breaker
//	{policy} wait               INTERNAL  another policy held a call back
//	{policy} rejected           INTERNAL  another policy refused a call
//
// The name of the operation comes from [middleware.WithOperation]; without one the
// span is named after the chain alone, and that of an attempt is attempt. A sampler sees
// the name of an operation's span and no attributes, and those of a request unless the trace
// that it belongs to is not sampled. A {method} that HTTP does not know is HTTP.
// In {policy} spaces stand for underscores. A policy that let a call pass has no
// span.
//
// Red (status Error) are the operation whose outcome is failure, rejected or
// timeout, every refusal, a fallback that failed too, a health check that failed, and an attempt that failed or was
// answered with 400 or above. A success after retries is not red, nor is what the caller
// cancelled, nor an attempt that was given up because another one won.
//
// Span events stand on the operation. With [WithLoggerProvider] they are log records in
// its place, with the severity in brackets:
//
//	event                                attributes besides tidegate.policy.name and .key
//	tidegate.breaker.state_changed       tidegate.breaker.state.from, tidegate.breaker.state.to,
//	[WARN to open, else INFO]            tidegate.reason, tidegate.breaker.open_for,
//	                                     tidegate.breaker.failure_rate, error.type
//	tidegate.breaker.health_check_failed error.type
//	[INFO]
//	tidegate.breaker.health_check_passed
//	[INFO]
//	tidegate.policy.would_reject         tidegate.reason, tidegate.retry_after,
//	[INFO]                               tidegate.breaker.opened_by
//	tidegate.policy.limit_changed        tidegate.limit.from, tidegate.limit.to, tidegate.reason
//	[INFO]
//	tidegate.retry.scheduled             tidegate.attempt (the failed one), tidegate.retry.delay,
//	[DEBUG]                              tidegate.retry.delay_source, error.type
//	tidegate.retry.stopped               tidegate.attempt, tidegate.retry.stop_reason, error.type
//	[WARN of the budget, else INFO]
//	tidegate.hedge.started [DEBUG]       tidegate.attempt, tidegate.hedge.delay
//	tidegate.hedge.won [DEBUG]           tidegate.attempt
//	tidegate.hedge.refused [INFO]        tidegate.attempt, tidegate.reason
//	tidegate.timeout.exceeded [WARN]     tidegate.timeout.limit, tidegate.timeout.scope
//	tidegate.retry.nested [INFO]         tidegate.retry.outer_attempt, tidegate.retry.outer_source,
//	                                     error.type
//	tidegate.fallback.used               error.type of what it replaced, tidegate.reason
//	[WARN if it failed too, else INFO]
//	tidegate.policy.lease_expired [WARN] tidegate.lease.held
//	tidegate.chaos.injected [WARN]       tidegate.chaos.fault, tidegate.chaos.duration,
//	                                     tidegate.attempt, error.type
//
// Log records have tidegate.chain.name as well, and two more names for what is a row in a
// trace:
//
//	tidegate.policy.waited [DEBUG]       tidegate.wait.duration
//	tidegate.policy.rejected [WARN]      those of the row
//
// What no call brought about, as a breaker that is forced open, is on no span, but in
// the log records, the metrics and the history.
//
// One call has at most 100 events, waits and refusals in its trace; what exceeds
// that is counted in tidegate.events.dropped. Of attempts that sent no request the first
// 100 have a span.
//
// # Beside otelhttp
//
// Put the transport of this package inside of otelhttp's, and both inside of the chain:
//
//	client.Transport = transports.New(otelhttp.NewTransport(observer.Transport(nil)), chain)
//
// Then the requests have otelhttp's spans only, with tidegate.attempt and
// http.request.resend_count from here. otelhttp shows the queries of URLs as they are,
// signatures of presigned URLs included, and makes the attempts that a hedge gave up red.
// [WithAttemptSpans] has the other ways.
//
// # Attributes
//
// Durations are in seconds.
//
//	attribute                      meaning
//	tidegate.chain.name            name of the chain
//	tidegate.operation             name of the operation
//	tidegate.operation.key         key of the operation: the instance of the dependency
//	tidegate.policies              names of the policies of the chain that have one, outermost first
//	tidegate.policy.name           name of the policy that decided
//	tidegate.policy.type           kind of that policy, as it says itself: breaker, retry, ...
//	tidegate.policy.key            key that it stands for, if there is a policy for each key
//	tidegate.outcome               success, failure, rejected, timeout or cancelled
//	tidegate.attempts              how often the operation ran: 0 when it was refused
//	tidegate.attempt               number of the attempt, from 1
//	tidegate.hedge                 true of an attempt that began beside others
//	tidegate.wait.duration         wait for a turn; of an operation all its waits, before retries too
//	tidegate.events.dropped        how many events are missing in the trace
//	tidegate.reason                why a breaker changed its state, a limit was changed, a call
//	                               would have been refused or held back, or no attempt began beside
//	                               the others; failed of a fallback that failed too
//	tidegate.retry_after           when a refused call may come back
//	tidegate.breaker.state         state of the breaker that refused: open, half_open, or closed
//	                               when it has recovered and lets a share of the calls through;
//	                               of an operation the state of its breaker when it began
//	tidegate.breaker.opened_by     id of the trace of the call that opened the breaker which
//	                               refused; of an operation too
//	tidegate.breaker.state.from    state before a transition
//	tidegate.breaker.state.to      state after it
//	tidegate.breaker.failure_rate  share of calls, from 0 to 1, that an opening by a rate was about
//	tidegate.breaker.open_for      how long an opened breaker stays open
//	tidegate.retry.delay           wait before the next attempt
//	tidegate.retry.delay_source    backoff or retry_after
//	tidegate.retry.stop_reason     why no attempt followed
//	tidegate.retry.outer_attempt   attempt of an outer retry that this one is a part of, and so
//	                               does not repeat
//	tidegate.retry.outer_source    context, or header when the outer retry is in another process
//	tidegate.hedge.delay           how long after the call the attempt began beside the others
//	tidegate.timeout.limit         the limit that was exceeded
//	tidegate.timeout.scope         attempt or operation, when it is certain which
//	tidegate.limit.from            a limit before it was changed
//	tidegate.limit.to              and after
//	tidegate.lease.held            how long a call held a place that others got then
//	tidegate.chaos.fault           latency, error, outcome, hang or cut
//	tidegate.chaos.duration        how long the latency is, or after how long the call was cut
//	tidegate.call.state            running or waiting
//	tidegate.decision              see the metrics
//	error.type                     what the method ErrorType of the error says, or else its status
//	                               code, the reason of its verdict, the kind of a network
//	                               failure, or its Go type
//	http.request.method            of an attempt, as are those below
//	http.request.method_original   when the method is not a known one
//	http.request.resend_count      how many attempts came before, from the second attempt on
//	http.response.status_code
//	network.protocol.version
//	server.address
//	server.port
//	url.full                       without credentials: userinfo, signatures, tokens, fragment
//
// An outcome of timeout is that of a policy (error.type is timeout) or of the
// caller's own deadline (deadline_exceeded). The text of an error stands nowhere:
// it may hold a secret. A key is shown as it is.
//
// # Metrics
//
//	instrument                     kind, unit             attributes
//	tidegate.operation.duration    histogram, s           chain.name, outcome, error.type
//	tidegate.operation.attempts    histogram, {attempt}   chain.name, outcome
//	tidegate.attempt.duration      histogram, s           chain.name, outcome, error.type
//	tidegate.policy.decisions      counter, {decision}    chain.name, policy.type, policy.name, decision
//	tidegate.policy.wait.duration  histogram, s           chain.name, policy.type, policy.name
//	tidegate.policy.active         up-down, {call}        chain.name, policy.type, policy.name, call.state
//	tidegate.breaker.status        up-down, 1             chain.name, policy.name, breaker.state
//	tidegate.breaker.state.time    counter, s             chain.name, policy.name, breaker.state
//	tidegate.breaker.transitions   counter, {transition}  chain.name, policy.name,
//	                                                      breaker.state.from, breaker.state.to
//	tidegate.policy.limit          up-down, {call}        chain.name, policy.type, policy.name
//	tidegate.rate_limit.rate       gauge, {call}/s        chain.name, policy.name
//	tidegate.throttle.rejection    gauge, 1               chain.name, policy.name
//	tidegate.chaos.armed           up-down, 1             chain.name, policy.name
//
// Attempts by calls are the count of attempt.duration by that of operation.duration.
// breaker.status is 1 for the state that a breaker is in and 0 for others; where there is
// a breaker for each key it counts them. policy.limit is that of a bulkhead or an adaptive
// limit, and rate_limit.rate the rate just now, of one that adapts too; throttle.rejection is the share
// of the calls that a throttle refuses, or would if it did not only observe, from 0 to 1. Of
// policies for keys policy.limit and chaos.armed are sums, the rate is the lowest and the
// rejection the highest. These, breaker.state.time and policy.active are read off the policies,
// which tell them by [middleware.Reporter], when somebody collects.
// The decision retry_budget of a retry and the transition of a breaker from closed to open
// begin at 0 with their chain; other series begin with their first event.
//
// The decisions are rejected_open, rejected_probe_limit, rejected_recovering,
// rejected_rate, rejected_bulkhead, rejected_concurrency, rejected_throttle,
// rejected_deadline, rejected, would_reject, retry_scheduled, retry_exhausted,
// retry_not_retryable, retry_budget, retry_deadline, retry_canceled, retry_nested,
// retry_after_exceeded, retry_stopped, hedge_started, hedge_won, hedge_refused, timed_out,
// fallback_used, fallback_failed, limit_changed, lease_expired, injected, health_check_failed and
// health_check_passed. A wait before a retry counts in full when it is scheduled. In
// metrics error.type is an error type of Tidegate, a status code, the reason of a verdict,
// or _OTHER. Keys of policies are no attributes of metrics: there may be thousands.
//
// The states of a breaker are closed, open, half_open, forced_open, forced_closed,
// disabled, observed_closed, observed_open and observed_half_open.
//
// # Log
//
// [WithLogger] writes the same events to log/slog, for programs without OpenTelemetry. The
// message is the name of the event and the attributes are those above, all without
// "tidegate."; trace_id is there when the trace is sampled. What calls repeat at INFO and
// above is folded: the first one is logged at once, then, until the chain has a transition,
// one record a minute at the most, which says in repeated for how many it stands.
//
// # Health, alerts and the page
//
// [Health] and [HealthHandler] tell how the breakers, limits and queues of a [Manager] are, and
// whether a throttle sheds load or chaos is armed.
// They read the policies, and need no Observer. [EventsHandler] answers with the history,
// and [Page] is for a browser.
//
// [WithLive] keeps statistics of each chain in memory: counts of ten minutes and durations
// of five, in buckets of ten seconds, of the first 1024 chains. Quantiles are off by a
// sixteenth at the most. [StartMonitoring] finds alerts in them, and [AlertsHandler] answers
// with those:
//
//	alert                 severity  when
//	BreakerOpen           warning   a circuit has not been closed for a minute
//	BreakerStuckOpen      critical  for ten minutes
//	BreakerFlapping       warning   a closed breaker opened more than twice in ten minutes
//	SeveralBreakersOpen   critical  circuits of 3 chains have not been closed for a minute
//	RetryStorm            warning   more than 1.5 attempts for each operation in five minutes, at
//	                                one operation a second or more
//	RetryBudgetExhausted  warning   a budget refused a retry in the last five minutes
//	RateLimiterSaturated  warning   rate limits refused more than 5 % of the operations of five
//	                                minutes, 20 or more
//	LoadShedding          warning   throttles and adaptive limits refused more than 5 % of the
//	                                operations of five minutes, 20 or more
//	QueueWaitHigh         warning   95 % of the waits of five minutes in rate limits, bulkheads and
//	                                adaptive limits took more than 0.5 s, 20 or more
//	OperationErrorsHigh   warning   more than 5 % of the operations of five minutes failed, were
//	                                refused or timed out; cancelled ones do not count; 20 or more
//	TimeoutsHigh          warning   time limits cut more than 5 % of the attempts of five minutes,
//	                                20 or more
//	ChaosActive           warning   a chaos policy is armed
//
// Without WithLive there are only the alerts of circuits that are not closed and of chaos. [Thresholds]
// moves the limits. The folder prometheus has the same alerts as rules for Prometheus, and
// docs/runbook.md says what to do about each.
//
// # Cost
//
// What has no provider is off and costs nothing. A call that no tracer samples costs the
// two allocations of the tracer's SDK; a call that is measured costs one more. One that is
// sampled has a span for the operation and one for each attempt, and none for a policy that
// let it pass. Attributes of metrics are made once; those of spans only when the span records.
// [Observer.Transport] adds to a request that is not sampled a span of the SDK and the header
// that tells the server so, nine allocations in all. [WithLive] copies what spans say, whether
// or not they are sampled: some 15 allocations for a call with one attempt.
package observability
