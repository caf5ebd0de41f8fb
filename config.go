package tidegate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/tidegate-go/tidegate/policies"
)

// Off switches a policy off when it is the value of the setting that
// [ServiceConfig] names for it.
const Off = -1

// Config are the settings of a [Manager]: plain data, written in code or loaded
// by [LoadConfig]. The zero Config is valid and has no services.
//
// The value of a setting is the first that is given by, in this order:
//
//  1. the environment, when the Config was loaded,
//  2. the service: services.<name> in the file,
//  3. the template that is its Base: templates.<name>, and then the Base of that,
//  4. for breakers, Config.Breaker: the section retries in the file,
//  5. the preset of the service,
//  6. the default that package policies documents.
//
// So the environment wins over everything that a file says, each service included:
// it is the operator's. The variables for the breakers of all services do not switch one on
// that is off.
//
// Where two settings limit each other and only one is given by 1 to 4, the other
// gives way to it: Timeout, RecoveryTime and MaxRecoveryTime of a breaker, its
// MaxProbes and SuccessThreshold, Delay and MaxDelay of a retry, Initial, Min and Max of
// an adaptive limit, and so on. AttemptTimeout becomes each attempt's share of a Timeout that
// leaves it no time, and Timeout the sum for all attempts. And FailureRate or
// SlowCall of a breaker take the place of a FailureThreshold that is not given: there
// is none then, whatever the preset says. Two given settings that contradict each
// other are an error.
type Config struct {
	// Breaker are settings for the breaker of every service, the ones that are
	// added later too.
	Breaker policies.BreakerConfig

	// Templates are settings that services have in common, by name. They are checked, and
	// otherwise mean nothing to who does not name them as his Base.
	Templates map[string]ServiceConfig

	// Services are the services to make, by name.
	Services map[string]ServiceConfig
}

// ServiceConfig are the settings of a [Service], or of a template. A setting that is zero,
// or false, is that of the Base or the preset, so the zero ServiceConfig is the preset
// unchanged. (In the file what is written counts when it is zero, too, unless zero
// is the default.)
//
// A policy is switched off by [Off] in its first setting: Timeout, AttemptTimeout,
// Throttle.K, Retry.Attempts, Hedge.MaxHedges, Budget.Ratio, Breaker.FailureThreshold,
// Deadline.Quantile, RateLimit.Rate, Bulkhead.MaxConcurrent, AdaptiveLimit.Initial, Chaos.For
// or PerKey.Max. A policy that the preset has off is switched on by giving any of its
// settings; the others are then the defaults of package policies. Negative settings other
// than these are errors, except that Off means none in Retry.Jitter, Budget.MinPerSecond,
// Bulkhead.MaxQueue and Lease, MaxQueue and SlowCall of AdaptiveLimit, the rates of Chaos, and
// MaxWait, MaxPause and MinRate of RateLimit.
type ServiceConfig struct {
	// Base is the name of a template whose settings hold where these say nothing.
	Base string

	// Preset is the name of a preset. Empty means that of the Base, or else the preset that
	// has the name of the service, if there is one, and else the defaults of package
	// policies for Retry, Budget, Breaker and AttemptTimeout, without the other policies and
	// without a limit for the whole call.
	Preset Preset

	// ObserveOnly makes all policies decide and report, and reject nothing: neither do they
	// hold a call back, nor end it. Retries and hedges go on. It is the same as ObserveOnly
	// of each of them.
	ObserveOnly bool

	// Timeout limits the whole call, with all its attempts and waits; TimeoutScope says
	// what of a streamed result belongs to it.
	Timeout      time.Duration
	TimeoutScope policies.TimeoutScope

	Throttle policies.ThrottleConfig

	// Retry may have a Budget, an Engine and a Name, for which the file has no keys: set
	// them in the Config that was loaded. Services may share a Budget.
	Retry policies.RetryConfig

	// Hedge may have a Budget too, a When and a Name.
	Hedge policies.HedgeConfig

	// Budget is for Retry and Hedge together, where they have none of their own.
	Budget policies.BudgetConfig

	// Breaker may have a HealthCheck, a Name and a Key, for which the file has no
	// keys: set them in the Config that was loaded.
	Breaker policies.BreakerConfig

	Deadline      policies.DeadlineConfig
	RateLimit     policies.RateLimitConfig
	Bulkhead      policies.BulkheadConfig
	AdaptiveLimit policies.AdaptiveLimitConfig

	// AttemptTimeout limits each attempt.
	AttemptTimeout      time.Duration
	AttemptTimeoutScope policies.TimeoutScope

	// Chaos is refused unless the Manager has [WithChaos]. For must be given; Enabled need not.
	// It begins when the service is made, also by a new start of the process, when Chaos is
	// switched on, and when For changes: that is how to have it once more. Other settings do
	// not make it begin again.
	Chaos policies.ChaosConfig

	// PerKey makes one of some policies for each key of a call.
	PerKey PerKeyConfig

	said []string // what the file gives that is zero, where that is not the default; sorted
}

// PerKeyConfig says which policies of a [Service] there are once for each key of a call, such
// as a host or a bucket, and not once for all. See [policies.Keyed].
type PerKeyConfig struct {
	// Max is how many keys there are at the most, and Idle how long an unused one is kept.
	// Zero means the defaults of [policies.KeyedConfig].
	Max  int
	Idle time.Duration

	// These are the policies; at least one is needed.
	Breaker, RateLimit, Bulkhead, AdaptiveLimit bool

	// Key returns the key of a call. Nil means the Key of its [middleware.Operation]. The
	// file has no key for it.
	Key func(ctx context.Context) string
}

func (c PerKeyConfig) validate() error {
	if !c.Breaker && !c.RateLimit && !c.Bulkhead && !c.AdaptiveLimit {
		return &policies.SettingError{
			Config: "PerKeyConfig", Field: "Max", Value: "per_key without a policy",
			Allowed: "with one of breaker, rate_limit, bulkhead and adaptive_limit that is true",
		}
	}
	return c.keyed("").Validate()
}

func (c PerKeyConfig) keyed(name string) policies.KeyedConfig {
	return policies.KeyedConfig{Name: name, Key: c.Key, Max: c.Max, Idle: c.Idle}
}

// maxConfigSize is far above any configuration that was meant to be one.
const maxConfigSize = 1 << 20

// LoadConfig reads the YAML file at path, and the environment of the process.
// The package comment lists the keys and the variables.
//
// The error is one or several *[ConfigError], joined, or the one of the file
// system. The Config is then the zero Config.
func LoadConfig(path string) (Config, error) {
	text, err := loadText(path)
	if err != nil {
		return Config{}, err
	}
	return ParseConfig(path, text, os.LookupEnv)
}

func loadText(path string) ([]byte, error) {
	text, err := readConfig(path)
	if err != nil {
		return nil, fmt.Errorf("tidegate: configuration: %w", err)
	}
	return text, nil
}

func readConfig(path string) ([]byte, error) {
	if path == "" {
		return nil, errors.New("the path of the file is empty")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s is a directory: name the file in it", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxConfigSize+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxConfigSize {
		return nil, fmt.Errorf("%s is larger than 1 MiB", path)
	}
	return text, nil
}

// ParseConfig is [LoadConfig] for YAML text that is at hand and variables that
// lookup returns, as [os.LookupEnv] does. name stands in errors for the file.
// A nil lookup means no variables. Text without content is the zero Config.
func ParseConfig(name string, text []byte, lookup func(variable string) (string, bool)) (Config, error) {
	d := newDecoder(name)
	config := d.file(text)
	d.environment(&config, lookup)
	_, problems := config.resolve()
	for _, p := range problems {
		if !d.unread(p) {
			d.report(p.configError(d.origin))
		}
	}
	if len(d.errs) > 0 {
		slices.SortStableFunc(d.errs, compareLines)
		errs := make([]error, len(d.errs))
		for i, e := range d.errs {
			errs[i] = e
		}
		return Config{}, errors.Join(errs...)
	}
	return config, nil
}
