package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// A trouble is what is wrong with a service.
type trouble int

const (
	none       trouble = iota
	flaky              // a third of the calls fails
	failing            // every call fails, at once
	slow               // calls take twenty times as long
	throttling         // most calls are answered that there are too many
)

// Each service in turn has its trouble for as long as it takes to see what comes of it.
// Of many services several have it at the same time.
const (
	turnLasts = 30 * time.Second
	turnEvery = 35 * time.Second
)

// hasTurn reports whether it is the turn of a service, elapsed after the beginning.
func hasTurn(elapsed time.Duration, service, services int) bool {
	groups := max(1, min(services, len(dozen)))
	round := time.Duration(groups) * turnEvery
	at := (elapsed - time.Duration(service%groups)*turnEvery) % round
	return at >= 0 && at < turnLasts
}

var (
	errDown     = unavailable("503")
	errTooMany  = errors.New("too many requests")
	mostlyWaits = time.Second
)

// An unavailable is an error with the status that a server answered with.
type unavailable string

func (e unavailable) Error() string     { return "the service answers " + string(e) }
func (e unavailable) ErrorType() string { return string(e) }

// answer takes as long as a call does, and returns what comes of it.
func (t trouble) answer(ctx context.Context, takes time.Duration) error {
	switch {
	case t == failing:
		takes /= 4
	case t == slow:
		takes *= 20
	case t == flaky && rand.IntN(3) == 0:
		return t.fail(ctx, takes, errDown)
	case t == throttling && rand.IntN(3) > 0:
		return t.fail(ctx, takes/2, middleware.Judged(errTooMany, middleware.Verdict{
			Class: middleware.Throttled, Retry: true, After: mostlyWaits, Reason: "throttled",
		}))
	case rand.IntN(400) == 0: // nothing is perfect
		return t.fail(ctx, takes, errDown)
	}
	if t == failing {
		return t.fail(ctx, takes, errDown)
	}
	return t.fail(ctx, takes, nil)
}

func (t trouble) fail(ctx context.Context, takes time.Duration, err error) error {
	if !sleep(ctx, around(takes)) {
		return context.Cause(ctx)
	}
	return err
}
