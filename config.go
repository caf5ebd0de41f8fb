package tidegate

import (
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
//  3. for breakers, Config.Breaker: the section retries in the file,
//  4. the preset of the service,
//  5. the default that package policies documents.
//
// So the environment wins over everything that a file says, each service included:
// it is the operator's. It does not switch a policy on that is off.
//
// Where two settings limit each other and only one is given by 1 to 3, the other
// gives way to it: Timeout, RecoveryTime and MaxRecoveryTime of a breaker, its
// MaxProbes and SuccessThreshold, Delay and MaxDelay of a retry. And FailureRate or
// SlowCall of a breaker take the place of a FailureThreshold that is not given: there
// is none then, whatever the preset says. Two given settings that contradict each
// other are an error.
type Config struct {
	// Breaker are settings for the breaker of every service, the ones that are
	// added later too.
	Breaker policies.BreakerConfig

	// Services are the services to make, by name.
	Services map[string]ServiceConfig
}

// ServiceConfig are the settings of a [Service]. A setting that is zero, or false,
// is the preset's, so the zero ServiceConfig is the preset unchanged.
//
// A policy is switched off by [Off] in Timeout, AttemptTimeout, Retry.Attempts,
// Breaker.FailureThreshold or RateLimit.Rate. A policy that the preset has off is
// switched on by giving any of its settings; the others are then the defaults of
// package policies. Negative settings other than these are errors, except
// that Off means none in Retry.Jitter, RateLimit.MaxWait and
// RateLimit.MaxPause.
type ServiceConfig struct {
	// Preset is the name of a preset. Empty means the preset that has the name of
	// the service, if there is one, and else the defaults of package policies for
	// Retry, Breaker and AttemptTimeout, without a rate limit and without a limit
	// for the whole call.
	Preset Preset

	// Timeout limits the whole call, with all its attempts and waits.
	Timeout time.Duration

	// AttemptTimeout limits each attempt.
	AttemptTimeout time.Duration

	// Retry may have a Budget, an Engine and a Name, for which the file has no keys: set
	// them in the Config that was loaded. Services may share a Budget.
	Retry policies.RetryConfig

	// Breaker may have a HealthCheck, a Name and a Key, for which the file has no
	// keys: set them in the Config that was loaded.
	Breaker policies.BreakerConfig

	RateLimit policies.RateLimitConfig
}

// maxConfigSize is far above any configuration that was meant to be one.
const maxConfigSize = 1 << 20

// LoadConfig reads the YAML file at path, and the environment of the process.
// The package comment lists the keys and the variables.
//
// The error is one or several *[ConfigError], joined, or the one of the file
// system. The Config is then the zero Config.
func LoadConfig(path string) (Config, error) {
	text, err := readConfig(path)
	if err != nil {
		return Config{}, fmt.Errorf("tidegate: configuration: %w", err)
	}
	return ParseConfig(path, text, os.LookupEnv)
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
