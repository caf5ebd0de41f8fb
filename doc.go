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
//	      failure_threshold: 10
//	      success_threshold: 2
//	      timeout: 2m
//	      recovery_time: 5m
//	    rate_limit:                         # or off
//	      rate: 50
//	      burst: 100
//	      max_wait: 1s                      # 0: none
//
// The keys are the fields of [ServiceConfig] and of the settings in package
// policies, where each is explained. The variables CIRCUIT_BREAKER_THRESHOLD,
// CIRCUIT_BREAKER_TIMEOUT and CIRCUIT_BREAKER_RECOVERY_TIME win over the file;
// [Config] has the whole order.
//
// Durations are written with their unit. A number that is 0 means the default,
// unless it says none above. Anchors, aliases and merge keys of YAML work.
// Whatever is wrong (a key that is not known or stands twice, a malformed or
// negative value, a recovery_time below the timeout) is a [ConfigError] with its
// line, and all of them are reported at once; then nothing of the file is used.
//
// # What one sees
//
// [Manager.Health] tells how every service is, why it last changed and when the
// next probe is due; it can be encoded as JSON. [Manager.States] and
// [Manager.Metrics] give the parts. [Manager.ForceOpen], [Manager.Release] and
// [Manager.Reset] act on a breaker by hand. [WithObserver] adds the spans, events
// and metrics of package observability.
//
// # Concurrency
//
// Manager and Service are safe for concurrent use. A call through a service takes
// no lock of the manager. The package has no global state and starts no goroutine.
package tidegate
