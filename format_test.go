package tidegate

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// What YAML writes, ParseConfig reads.
func TestAConfigRoundTrips(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		config := randomConfig(random)
		text := config.YAML()
		d := newDecoder("x.yaml")
		if got := d.file(text); !alike(got, config) || len(d.errs) > 0 {
			t.Fatalf("%s\nis read as %+v %v\nwant %+v", text, got, d.errs, config)
		}
	}
	if text := (Config{}).YAML(); len(text) != 0 {
		t.Errorf("the zero Config is %q", text)
	}
}

func randomConfig(random *rand.Rand) Config {
	var config Config
	all := map[string]*map[string]ServiceConfig{"templates": &config.Templates, "services": &config.Services}
	for _, section := range sortedKeys(all) {
		for _, name := range []string{"a", "no: 1", "true", "12", "#", "ü", "a.b"}[:random.IntN(8)] {
			if *all[section] == nil {
				*all[section] = map[string]ServiceConfig{}
			}
			(*all[section])[name] = randomService(random)
		}
	}
	if random.IntN(2) == 0 {
		config.Breaker.FailureThreshold, config.Breaker.Timeout = 1+random.IntN(9), time.Duration(random.Int64N(1e12))
	}
	return config
}

func randomService(random *rand.Rand) ServiceConfig {
	var c ServiceConfig
	if random.IntN(3) == 0 {
		c.Base, c.Preset = "no", MinIO
	}
	for _, g := range c.groups() {
		if !g.flag && random.IntN(5) == 0 {
			g.switchOff()
			continue
		}
		for _, s := range g.settings {
			if random.IntN(3) != 0 {
				continue
			}
			switch {
			case s.zero != "" && random.IntN(4) == 0:
			case s.words != nil:
				s.set(random.IntN(len(s.words)))
			case s.allowed == aBool:
				s.set(random.IntN(2) == 0)
			case s.none && random.IntN(2) == 0:
				s.set(Off)
			case s.elem().CanFloat():
				s.set(math.Pow(10, random.NormFloat64()*9))
			case s.allowed == aDuration:
				s.set(time.Duration(random.Int64N(1e14)))
			default:
				s.set(random.IntN(1e6))
			}
			g.say(s)
		}
	}
	return c
}

func TestNumbersAreWrittenAsPeopleDo(t *testing.T) {
	for v, want := range map[float64]string{1e6: "1000000", 0.00002: "0.00002", 2.5: "2.5", 1e300: "1e300", 1e-300: "1e-300"} {
		if got := numberText(v); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
