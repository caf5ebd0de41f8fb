// Package tidegate keeps a program working when the services it calls do not.
// It makes named services, each a chain of policies around the calls to one
// dependency, from presets, a configuration file and the environment.
//
//	config, err := tidegate.LoadConfig("tidegate.yaml")
//	...
//	manager, err := tidegate.New(config)
//	...
//	defer manager.Close()
//
//	billing, err := manager.Service("billing") // once, not on each call
//	...
//	err = billing.Do(ctx, func(ctx context.Context) error { return send(ctx) })
//	if tidegate.IsRejected(err) {
//		return later(err) // a policy refused the call
//	}
//
// For HTTP, [Service.HTTPClient] wraps a client, and every request through it
// passes the chain. For MinIO and Git give [Service.Chain] to the packages under
// adapters. For a call with a result there is [middleware.Call]
// with the same chain.
//
// # Services
//
// The policies of a service, outermost first:
//
//	observers        see WithObserver
//	counters         see Manager.Metrics
//	fallback         does something else, for calls that say what: see middleware.CallOr
//	timeout          limits the whole call
//	throttle         sheds calls that the dependency would refuse
//	retry            repeats what may be repeated
//	hedge            repeats beside itself what takes long
//	breaker          stops calls to a dependency that fails
//	deadline         refuses what has too little time left
//	rate_limit       holds the rate of attempts
//	bulkhead         bounds how many attempts run at the same time
//	adaptive_limit   does so by how long they take
//	attempt_timeout  limits each attempt
//	chaos            disturbs attempts, if the program permits that
//
// A [Preset] gives the settings of one kind of dependency: [MinIO], [HTTP],
// [Git], [Kubernetes] and [Scanner]; its comments say why they are what they
// are. A service with the name of a preset has that preset. [ServiceConfig] says what a
// service without one has. Services that no setting describes are made in code,
// with [Manager.Add] or, policy by policy, with [Manager.AddChain].
//
// # Configuration
//
// Every key of the file, with examples of values:
//
//	retries:                                # for the breaker of every service
//	  circuit_breaker_threshold: 5
//	  circuit_breaker_timeout: 30s
//	  circuit_breaker_recovery_time: 2m
//	templates:                              # what services have in common
//	  careful:
//	    throttle:                           # or off, as each policy
//	      k: 2                              # calls for each that is accepted
//	      window: 2m
//	      max_rejection: 0.9
//	      min_calls: 10
//	      observe_only: false               # as that of the service, for one policy
//	    budget:                             # of retry and hedge together
//	      ratio: 0.2                        # of the calls
//	      min_per_second: 10                # 0: none
//	      window: 10s
//	    deadline:
//	      quantile: 0.5                     # of how long calls take
//	      min_calls: 20
//	      observe_only: true
//	services:
//	  minio: {}                             # the preset of that name, as it is
//	  archive:
//	    base: careful                       # a template, which may have one itself
//	    preset: minio                       # or http, git, kubernetes, scanner
//	    observe_only: false                 # true: decide and report, reject nothing
//	    timeout: 10m                        # of the whole call, or off
//	    attempt_timeout: 2m                 # or off
//	    retry:                              # or off
//	      attempts: 5
//	      delay: 200ms
//	      multiplier: 2
//	      max_delay: 10s
//	      jitter: 0.5                       # 0: none
//	      max_after: 1m
//	      nested_attempts: 1                # within an attempt that another retry repeats
//	    breaker:                            # or off
//	      failure_threshold: 10             # in a row
//	      failure_rate: 0.5                 # of the calls in the window
//	      slow_call: 30s                    # what is slow, and
//	      slow_rate: 0.8                    # the share of slow calls
//	      min_calls: 20                     # before a rate says anything
//	      window: 1m
//	      buckets: 10
//	      trip_on_throttle: true
//	      timeout: 2m
//	      recovery_time: 5m
//	      recovery_backoff: 2               # 1: none
//	      max_recovery_time: 15m
//	      health_interval: 10s              # the check itself is set in code
//	      success_threshold: 3
//	      max_probes: 1                     # at a time
//	      probe_lease: 5m
//	      ramp: 1m
//	      observe_only: false
//	    rate_limit:                         # or off
//	      rate: 50
//	      burst: 100
//	      max_wait: 1s                      # 0: none
//	      max_pause: 1m                     # of all calls, when one is told to come back later; 0: none
//	      min_rate: 5                       # adapts, between this and rate; 0: none
//	      decrease: 0.7                     # with each throttling
//	      recovery: 30s                     # from min_rate to rate
//	      observe_only: false
//	    bulkhead:                           # or off
//	      max_concurrent: 25
//	      max_queue: 100                    # 0: none
//	      max_wait: 1s
//	      order: fifo                       # or lifo
//	      lease: 10m                        # of a place; 0: none
//	      until_result: false               # true: a place is free when the headers have come
//	      observe_only: false
//	  mirror:
//	    timeout:
//	      limit: 1m
//	      scope: until_end                  # or until_result, each_read
//	    attempt_timeout:
//	      limit: 5s
//	      scope: each_read
//	    hedge:                              # or off
//	      max_hedges: 1
//	      quantile: 0.95                    # of how long calls take
//	      min_calls: 100
//	    breaker:
//	      failure_rate: 0.5                 # and no failure_threshold then
//	      min_calls: 20
//	      window_calls: 100                 # the newest calls, instead of window and buckets
//	    adaptive_limit:                     # or off
//	      initial: 20
//	      min: 1
//	      max: 200
//	      algorithm: gradient               # or vegas, aimd
//	      window: 1s
//	      min_calls: 10
//	      tolerance: 1.5                    # of a gradient
//	      max_queue: 100                    # 0: none
//	      max_wait: 1s
//	      order: fifo                       # or lifo
//	      until_result: false
//	      observe_only: false
//	    per_key:                            # one for each key, such as a host; or off
//	      max: 1000
//	      idle: 10m
//	      breaker: true
//	      rate_limit: false
//	      bulkhead: false
//	      adaptive_limit: true
//	  rehearsal:
//	    adaptive_limit:
//	      algorithm: aimd
//	      slow_call: 2s                     # is as good as failed; 0: none
//	      decrease: 0.9
//	    hedge:
//	      delay: 50ms                       # instead of the quantile
//	    chaos:                              # refused without WithChaos
//	      for: 10m
//	      seed: 1                           # 0: another one each time
//	      latency_rate: 0.1                 # of the calls; 0: none
//	      latency: 2s
//	      error_rate: 0.05                  # 0: none
//	      hang_rate: 0.01                   # 0: none
//	      cut_rate: 0.01                    # 0: none
//	      cut_after: 1s
//
// The keys are the fields of [ServiceConfig] and of the settings in package
// policies, where each is explained.
//
// For each key there is an environment variable, which wins over the file: its path in
// capitals behind TIDEGATE, with an underscore for what is no letter and no digit. See
// [Variable]. TIDEGATE_SERVICES_ARCHIVE_BREAKER_TIMEOUT=5m is one, and
// TIDEGATE_SERVICES_ARCHIVE_RETRY=off switches the policy off. The variables
// CIRCUIT_BREAKER_THRESHOLD, CIRCUIT_BREAKER_TIMEOUT and CIRCUIT_BREAKER_RECOVERY_TIME hold
// for the breakers of all services. [Config] has the whole order. No key is for a secret.
//
// Durations are written with their unit. A number that is 0 means the default, as if it were
// not there, unless it says something else above or for failure_rate, slow_call,
// window_calls, ramp and the delay of a hedge, where it means none and wins over a template. Anchors, aliases and merge keys of YAML work.
// Whatever is wrong (a key that is not known or stands twice, a malformed or
// negative value, a recovery_time below the timeout, a rate without min_calls) is a
// [ConfigError] with its line, and all of them are reported at once; then nothing
// of the file is used.
//
// # What one sees
//
// [Manager.Health] tells how every service is, since when, why it last changed and
// when the next probe is due; it can be encoded as JSON. [Manager.States] and
// [Manager.Metrics] give the parts. [Manager.ForceOpen], [Manager.ForceClose],
// [Manager.Disable] and [Manager.ObserveOnly], until [Manager.Release], and
// [Manager.Reset] act on a breaker by hand. [WithObserver] adds the spans,
// events and metrics of package observability, whose health, alerts and live page are
// about a Manager.
//
// # Concurrency
//
// Manager and Service are safe for concurrent use. A call through a service takes
// no lock of the manager. The package has no global state. It starts no goroutine;
// the HealthCheck of an open breaker runs on one, until [Manager.Close].
package tidegate
