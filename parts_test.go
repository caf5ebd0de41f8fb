package tidegate

import (
	"context"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// Of the policies that share the budget of a service one counts the calls, whichever of them
// come and go.
func TestABudgetCountsEachCallOnceWhateverChanges(t *testing.T) {
	m := manager(t, configured(t, "services: {a: {}}"))
	a := service(t, m, "a")
	for i, text := range []string{
		"hedge: {delay: 1s}",
		"hedge: {delay: 1s}, retry: off",
		"hedge: {delay: 2s}, retry: {attempts: 2}",
		"hedge: {delay: 2s}, retry: {attempts: 4}",
		"",
		"retry: off, hedge: {delay: 1s}",
	} {
		if err := m.Apply(configured(t, "services: {a: {"+text+"}}")); err != nil {
			t.Fatal(err)
		}
		calls(a, "sss")
		if got, want := a.parts.budget.Status().Calls, 3*(i+1); got != want {
			t.Errorf("after {%s} %d calls were counted, want %d", text, got, want)
		}
	}
}

func TestAServiceRunsTheAlternativesOfItsCalls(t *testing.T) {
	m := manager(t, configured(t, "services: {a: {retry: off}}"))
	got, err := middleware.CallOr(t.Context(), service(t, m, "a").Chain(),
		func(context.Context) (string, error) { return "", errDown },
		func(context.Context, error) (string, error) { return "a copy", nil })
	if got != "a copy" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// What a policy can be told a service can tell it: by a key of the file, or in code.
func TestEveryFieldOfAPolicyHasItsPlace(t *testing.T) {
	var c ServiceConfig
	places := map[any]bool{&c.Chaos.Enabled: true} // which is what For says
	for _, g := range c.groups() {
		for _, s := range g.settings {
			places[s.value] = true
		}
		for _, v := range g.inCode {
			places[v] = true
		}
	}
	v := reflect.ValueOf(&c).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		if f.Kind() != reflect.Struct {
			continue
		}
		for j := range f.NumField() {
			if !places[f.Field(j).Addr().Interface()] {
				t.Errorf("%s.%s is lost", v.Type().Field(i).Name, f.Type().Field(j).Name)
			}
		}
	}
}

// A service may observe only, or one of its policies.
func TestEachPolicyMayObserveOnly(t *testing.T) {
	for policy, settings := range map[string]string{
		"rate_limit":     "rate: 1, burst: 1",
		"breaker":        "failure_threshold: 1, timeout: 1h",
		"bulkhead":       "max_concurrent: 1",
		"adaptive_limit": "initial: 1, max: 1",
		"throttle":       "k: 1, min_calls: 1",
		"deadline":       "quantile: 0.5, min_calls: 1",
	} {
		rest := "retry: off"
		if policy != "breaker" {
			rest += ", breaker: off"
		}
		for _, text := range []string{
			rest + ", " + policy + ": {" + settings + ", observe_only: true}",
			rest + ", " + policy + ": {" + settings + "}, observe_only: true",
		} {
			synctest.Test(t, func(t *testing.T) { observesOnly(t, policy, "services: {a: {"+text+"}}") })
		}
	}
	c := services("a", ServiceConfig{RateLimit: policies.RateLimitConfig{Rate: 1, ObserveOnly: true}})
	if !effective(t, c, "a").RateLimit.ObserveOnly {
		t.Error("what is given in code is lost")
	}
}

// observesOnly makes calls that the policy would reject.
func observesOnly(t *testing.T, policy, text string) {
	var events recording
	m, err := New(configured(t, text), WithObserver(&events), WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	a := service(t, m, "a")
	for range 10 {
		_ = a.Do(t.Context(), func(context.Context) error { time.Sleep(5 * time.Millisecond); return nil })
		calls(a, "ff")
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		err := a.Do(ctx, func(context.Context) error {
			return a.Do(context.WithoutCancel(ctx), ok)
		})
		if cancel(); IsRejected(err) {
			t.Errorf("%s: a call returned %v", text, err)
		}
	}
	if !slices.ContainsFunc(events.all(), func(e middleware.Event) bool {
		return e.Kind == middleware.WouldReject && e.Policy == policy
	}) {
		t.Errorf("%s: nothing would have been rejected by %s", text, policy)
	}
}
