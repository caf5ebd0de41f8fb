// Package observability shows what policies decide: as OpenTelemetry spans and
// metrics, and as a history that needs neither.
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
//	rate limit wait             INTERNAL  a limiter held a call back for a millisecond or more
//	breaker rejected            INTERNAL  a breaker refused a call
//	rate limit rejected         INTERNAL  a rate limit refused a call
//	bulkhead wait               INTERNAL  a bulkhead held a call back for a millisecond or more
//	bulkhead rejected           INTERNAL  a bulkhead refused a call
//	{policy} wait               INTERNAL  another policy held a call back
//	{policy} rejected           INTERNAL  another policy refused a call, or one for lack of time
//
// The name of the operation comes from [middleware.WithOperation]; without one the
// span is named after the chain alone. A {method} that HTTP does not know is HTTP.
// In {policy} spaces stand for underscores. A policy that let a call pass has no
// span.
//
// Red (status Error) are the operation whose outcome is failure, rejected or
// timeout, every refusal, and an attempt that failed or was answered with 400 or
// above. A success after retries is not red, nor is what the caller cancelled.
//
// Span events stand on the operation:
//
//	event                                attributes besides tidegate.policy.name and .key
//	tidegate.breaker.state_changed       tidegate.breaker.state.from, tidegate.breaker.state.to,
//	                                     tidegate.reason, tidegate.breaker.open_for, error.type
//	tidegate.breaker.health_check_failed error.type
//	tidegate.policy.would_reject         tidegate.reason, tidegate.retry_after
//	tidegate.retry.scheduled             tidegate.attempt (the failed one), tidegate.retry.delay,
//	                                     tidegate.retry.delay_source, error.type
//	tidegate.retry.stopped               tidegate.attempt, tidegate.retry.stop_reason, error.type
//	tidegate.hedge.started               tidegate.attempt, tidegate.hedge.delay
//	tidegate.hedge.won                   tidegate.attempt
//	tidegate.hedge.refused               tidegate.attempt, tidegate.reason
//	tidegate.timeout.exceeded            tidegate.timeout.limit, tidegate.timeout.scope
//
// What no call brought about, as a breaker that is forced open or a health check, is
// in the metrics and the history only.
//
// One call has at most 100 events, waits and refusals in its trace; what exceeds
// that is counted in tidegate.events.dropped.
//
// # Attributes
//
// Durations are in seconds.
//
//	attribute                      meaning
//	tidegate.chain.name            name of the chain
//	tidegate.operation             name of the operation
//	tidegate.policies              names of the policies of the chain that have one, outermost first
//	tidegate.policy.name           name of the policy that decided
//	tidegate.policy.key            key that it stands for, if there is a policy for each key
//	tidegate.outcome               success, failure, rejected, timeout or cancelled
//	tidegate.attempts              how often the operation ran: 0 when it was refused
//	tidegate.attempt               number of the attempt, from 1
//	tidegate.wait.duration         wait for a turn; of an operation all its waits, before retries too
//	tidegate.events.dropped        how many events are missing in the trace
//	tidegate.reason                why a breaker changed its state or would have refused a call,
//	                               or no attempt began beside the others
//	tidegate.retry_after           when a refused call may come back
//	tidegate.breaker.state         state of the breaker that refused: open, half_open, or closed
//	                               when it has recovered and lets a share of the calls through
//	tidegate.breaker.state.from    state before a transition
//	tidegate.breaker.state.to      state after it
//	tidegate.breaker.open_for      how long an opened breaker stays open
//	tidegate.retry.delay           wait before the next attempt
//	tidegate.retry.delay_source    backoff or retry_after
//	tidegate.retry.stop_reason     why no attempt followed
//	tidegate.hedge.delay           how long after the call the attempt began beside the others
//	tidegate.timeout.limit         the limit that was exceeded
//	tidegate.timeout.scope         attempt or operation, when it is certain which
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
//	tidegate.policy.decisions      counter, {decision}    chain.name, policy.name, decision
//	tidegate.policy.wait.duration  histogram, s           chain.name, policy.name
//	tidegate.breaker.transitions   counter, {transition}  chain.name, policy.name,
//	                                                      breaker.state.from, breaker.state.to
//
// The decisions are rejected_open, rejected_probe_limit, rejected_recovering,
// rejected_rate, rejected_bulkhead, rejected_deadline, rejected, would_reject,
// retry_scheduled, retry_exhausted, retry_not_retryable, retry_budget, retry_deadline,
// retry_canceled, retry_after_exceeded, retry_stopped, hedge_started, hedge_won,
// hedge_refused, timed_out and health_check_failed. A wait
// before a retry counts in full when it is scheduled. In metrics error.type is an
// error type of Tidegate, a status code, the reason of a verdict, or _OTHER. Keys of
// policies are no attributes of metrics: there may be thousands.
//
// The states of a breaker are closed, open, half_open, forced_open, forced_closed,
// disabled, observed_closed, observed_open and observed_half_open.
//
// # Cost
//
// What has no provider is off and costs nothing. Attributes of metrics are made
// once; those of spans only when the span records.
package observability
