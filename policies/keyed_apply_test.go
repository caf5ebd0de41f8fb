package policies_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/policies"
)

func TestApplyChangesHowManyKeysThereMayBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := perKey(policies.KeyedConfig{Name: "hosts", Max: 1, Idle: time.Minute}, policies.BreakerConfig{})
		k.For("a")
		k.For("b")
		most := func() (value string) {
			for r := range k.Reports {
				for _, s := range r.Settings {
					if r.Type == "keyed" && s.Name == "Max" {
						value = s.Value
					}
				}
			}
			return value
		}
		first := most()
		if err := k.Apply(policies.KeyedConfig{Name: "other", Max: 2, Idle: time.Hour}); err != nil {
			t.Fatal(err)
		}
		if second := most(); first != "1" || second != "2" {
			t.Errorf("the report says %s, and then %s", first, second)
		}
		k.For("b")
		if got := list(k); got != "_overflow a b" || k.Name() != "hosts" {
			t.Errorf("with a larger Max there are %q of %q", got, k.Name())
		}
		err := k.Apply(policies.KeyedConfig{Max: -1, Idle: 1})
		if e, ok := errors.AsType[*policies.SettingError](err); !ok || e.Field != "Max" {
			t.Errorf("the error is %v", err)
		}
		if err := k.Apply(policies.KeyedConfig{Max: 1, Idle: time.Minute}); err != nil {
			t.Fatal(err)
		}
		k.For("c")
		if got := list(k); got != "_overflow a b" {
			t.Errorf("with a smaller Max there are %q", got)
		}
		for range 2 { // the overflow has no turn in this
			time.Sleep(time.Minute)
			k.For("c")
		}
		if got := list(k); got != "_overflow c" {
			t.Errorf("once they are idle there are %q", got)
		}
	})
}

// threshold returns the FailureThreshold that a breaker reports.
func threshold(b *policies.Breaker) (value string) {
	for r := range b.Reports {
		for _, s := range r.Settings {
			if s.Name == "FailureThreshold" {
				value = s.Value
			}
		}
	}
	return value
}

// A policy that is being made during a change has the newest settings in the end, although it is made
// of those before, and although another change comes meanwhile.
func TestAChangeReachesThePoliciesThatAreBeingMade(t *testing.T) {
	var k *policies.Keyed[*policies.Breaker]
	var change func(n, more int)
	change = func(n, more int) {
		k.Change(func(key string, b *policies.Breaker) {
			if key == "made" && more > 0 {
				next := more
				more = 0
				change(n+1, next-1)
			}
			if err := b.Apply(policies.BreakerConfig{FailureThreshold: n}); err != nil {
				t.Error(err)
			}
		})
	}
	k = policies.NewKeyed(policies.KeyedConfig{}, func(key string) *policies.Breaker {
		if key == "made" {
			change(10, 2)
		}
		return policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
	})
	if got := threshold(k.For("made")); got != "12" {
		t.Errorf("the threshold of the one that was being made is %s, want 12", got)
	}
	if got := threshold(k.For("later")); got != "1" {
		t.Errorf("the threshold of one that is made later is %s: a change is not for it", got)
	}
}

func TestChangesWhileKeysCome(t *testing.T) {
	const last = 300
	var mu sync.Mutex
	now := 1
	settings := func() policies.BreakerConfig {
		mu.Lock()
		defer mu.Unlock()
		return policies.BreakerConfig{FailureThreshold: now}
	}
	k := policies.NewKeyed(policies.KeyedConfig{Max: 5000}, func(string) *policies.Breaker {
		return policies.NewBreaker(settings())
	})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 1000 {
				k.For(fmt.Sprint(i, "-", j))
			}
		})
	}
	for i := 2; i <= last; i++ {
		mu.Lock()
		now = i
		mu.Unlock()
		c := settings()
		k.Change(func(_ string, b *policies.Breaker) { _ = b.Apply(c) })
	}
	wg.Wait()
	for key, b := range k.All() {
		if got := threshold(b); got != fmt.Sprint(last) {
			t.Errorf("the threshold of %s is %s, want %d", key, got, last)
		}
	}
}
