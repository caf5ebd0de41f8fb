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
//	timeout          limits the whole call
//	retry            repeats what may be repeated
//	breaker          stops calls to a dependency that fails
//	rate_limit       holds the rate of attempts
//	attempt_timeout  limits each attempt
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
//	services:
//	  minio: {}                             # the preset of that name, as it is
//	  archive:
//	    preset: minio                       # or http, git, kubernetes, scanner
//	    timeout: 10m                        # of the whole call, or off
//	    attempt_timeout: 2m                 # or off
//	    retry:                              # or off
//	      attempts: 5
//	      delay: 200ms
//	      multiplier: 2
//	      max_delay: 10s
//	      jitter: 0.5                       # 0: none
//	      max_after: 1m
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
//	    rate_limit:                         # or off
//	      rate: 50
//	      burst: 100
//	      max_wait: 1s                      # 0: none
//	      max_pause: 1m                     # of all calls, when one is told to come back later; 0: none
//	  mirror:
//	    breaker:
//	      failure_rate: 0.5                 # and no failure_threshold then
//	      min_calls: 20
//	      window_calls: 100                 # the newest calls, instead of window and buckets
//
// The keys are the fields of [ServiceConfig] and of the settings in package
// policies, where each is explained. The variables CIRCUIT_BREAKER_THRESHOLD,
// CIRCUIT_BREAKER_TIMEOUT and CIRCUIT_BREAKER_RECOVERY_TIME win over the file;
// [Config] has the whole order.
//
// Durations are written with their unit. A number that is 0 means the default,
// unless it says none above. Anchors, aliases and merge keys of YAML work.
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
