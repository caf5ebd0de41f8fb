package policies

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// What the reports of the policies are called. A Budget is no policy: a Retry and a Hedge
// report theirs.
const (
	timeoutType   = "timeout"
	retryType     = "retry"
	hedgeType     = "hedge"
	budgetType    = "budget"
	rateLimitType = "rate_limit"
	breakerType   = "breaker"
	bulkheadType  = "bulkhead"
	keyedType     = "keyed"
	throttleType  = "throttle"
	adaptiveType  = "adaptive_limit"
	deadlineType  = "deadline"
	chaosType     = "chaos"
	fallbackType  = "fallback"
)

// A description keeps the settings of a policy as text. They are made when somebody asks
// for the first time, or after forget.
type description struct {
	settings atomic.Pointer[[]middleware.Setting] // nil or empty: not made
}

// of returns the settings in force, which complete returns as a struct.
func (d *description) of(complete func() any) []middleware.Setting {
	known := d.settings.Load()
	if known != nil && len(*known) > 0 {
		return *known
	}
	s := describe(complete())
	d.settings.CompareAndSwap(known, &s) // unless they have changed meanwhile
	return s
}

// forget is for when the settings have changed.
func (d *description) forget() { d.settings.Store(new([]middleware.Setting)) }

// describe returns the fields of a struct of settings as text. Left out are the name and
// the key, which reports have anyway, text of any other kind, which could be a secret,
// functions that are not set, and ObserveOnly where it is not.
func describe(config any) []middleware.Setting {
	v := reflect.ValueOf(config)
	var settings []middleware.Setting
	for i := range v.NumField() {
		name, text := v.Type().Field(i).Name, settingText(v.Field(i))
		if text == "" || name == "ObserveOnly" && text == "off" {
			continue
		}
		settings = append(settings, middleware.Setting{Name: name, Value: text})
	}
	return settings
}

// settingText returns "" for what shall not be shown.
func settingText(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return durationText(x)
	case *Budget:
		return switchText(x != nil && !x.off.Load())
	}
	switch v.Kind() {
	case reflect.Uint8: // a word of a fixed set
		return fmt.Sprint(v.Interface())
	case reflect.Bool:
		return switchText(v.Bool())
	case reflect.Int:
		if v.Int() <= 0 {
			return "off"
		}
		return strconv.FormatInt(v.Int(), 10)
	case reflect.Float64:
		if v.Float() <= 0 {
			return "off"
		}
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	case reflect.Func, reflect.Interface:
		if v.IsNil() {
			return ""
		}
		return "set"
	default:
		return ""
	}
}

func switchText(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// durationText leaves out what a Duration prints of units that are zero: "5m", not "5m0s".
func durationText(d time.Duration) string {
	if d <= 0 {
		return "off"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
