package policies

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// A SettingError says that one setting of a policy is outside its range. Validate
// methods return all of them, joined.
type SettingError struct {
	Config  string // the struct, such as "RetryConfig"
	Field   string // the field, such as "Attempts"
	Value   any    // what it is
	Allowed string // what it may be
}

// Error names the setting, its value and what is allowed.
func (e *SettingError) Error() string {
	return fmt.Sprintf("policies: %s.%s is %v: it must be %s", e.Config, e.Field, e.Value, e.Allowed)
}

// A check collects what is wrong with the settings of one struct.
type check struct {
	config string
	errs   []error
}

func (c *check) that(ok bool, field string, value any, allowed string) {
	if !ok {
		c.errs = append(c.errs, &SettingError{Config: c.config, Field: field, Value: value, Allowed: allowed})
	}
}

func (c *check) duration(field string, d time.Duration) {
	c.that(d >= 0, field, d, "a positive duration, or 0 for the default")
}

func (c *check) count(field string, n int) {
	c.that(n >= 0 && n <= math.MaxInt32, field, n, "between 1 and 2147483647, or 0 for the default")
}

func (c *check) err() error { return errors.Join(c.errs...) }

// must panics with the error that Validate returned.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// or returns v, or the default when v is zero.
func or[T comparable](v, byDefault T) T {
	var zero T
	if v == zero {
		return byDefault
	}
	return v
}
