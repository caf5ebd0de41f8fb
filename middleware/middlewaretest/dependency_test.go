package middlewaretest_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/middleware/middlewaretest"
)

// A queue with one server, random arrivals and exponential service times (M/M/1): how long a
// request takes is exponential too, with the mean 1 / (rate of service - rate of arrival).
func TestDependencyIsAnMM1Queue(t *testing.T) {
	r := middlewaretest.Scenario{
		Duration: 4 * time.Hour,
		Load:     middlewaretest.Load{Rate: 7},
		Dependency: middlewaretest.Dependency{
			Latency: middlewaretest.Exponential(100 * time.Millisecond),
			Servers: 1,
		},
	}.Run(t, bare)
	for _, share := range []float64{0.5, 0.9, 0.99} {
		want := -math.Log(1-share) / (10 - 7)
		if got := r.Latency(share).Seconds(); !near(got, want, 0.1) {
			t.Errorf("%v of the calls take %.3f s, want %.3f s", share, got, want)
		}
	}
}

// Without a queue it is Erlang's loss system (M/M/c/c): the share that is refused is Erlang's
// formula B of the load and the number of servers.
func TestDependencyRefusesAsErlangB(t *testing.T) {
	const servers, erlangs = 5, 4.0
	blocked := 1.0
	for n := 1.0; n <= servers; n++ {
		blocked = erlangs * blocked / (n + erlangs*blocked)
	}
	r := middlewaretest.Scenario{
		Duration: time.Hour,
		Load:     middlewaretest.Load{Rate: 10 * erlangs},
		Dependency: middlewaretest.Dependency{
			Latency: middlewaretest.Exponential(100 * time.Millisecond),
			Servers: servers,
			Queue:   -1,
		},
	}.Run(t, bare)
	if got := float64(r.Outcomes["overloaded"]) / float64(r.Calls); !near(got, blocked, 0.03) || r.Peak != servers {
		t.Errorf("%.4f of the calls are refused, at most %d run, want %.4f and %d", got, r.Peak, blocked, servers)
	}
}

// With a bounded queue as many wait as may, and those that may not are refused at once.
func TestDependencyBoundsItsQueue(t *testing.T) {
	r := middlewaretest.Scenario{
		Load: middlewaretest.Load{Rate: 100, Even: true},
		Dependency: middlewaretest.Dependency{
			Latency: middlewaretest.Fixed(100 * time.Millisecond),
			Servers: 2, Queue: 6, // 20 requests in a second, and 400 ms for who comes last
		},
	}.Run(t, bare)
	if r.Peak != 8 || !near(r.Goodput(), 20, 0.02) || !near(r.Latency(1).Seconds(), 0.4, 0.03) {
		t.Errorf("at most %d requests at a time, %.1f answers in a second, each within %v, want 8, 20 and 400ms", r.Peak, r.Goodput(), r.Latency(1))
	}
}

// Clients that make one call at a time slow down with the dependency. How much they get done
// follows from mean value analysis (Reiser and Lavenberg, JACM 27(2), 1980), which is exact here.
func TestDependencyWithClientsIsAClosedQueue(t *testing.T) {
	const (
		clients = 12
		think   = 1.0
		service = 0.1
	)
	var queue, throughput float64
	for n := 1.0; n <= clients; n++ {
		response := service * (1 + queue)
		throughput = n / (think + response)
		queue = throughput * response
	}
	r := middlewaretest.Scenario{
		Duration: time.Hour,
		Load:     middlewaretest.Load{Clients: clients, Think: middlewaretest.Exponential(time.Second)},
		Dependency: middlewaretest.Dependency{
			Latency: middlewaretest.Exponential(100 * time.Millisecond),
			Servers: 1,
		},
	}.Run(t, bare)
	if got := r.Goodput(); !near(got, throughput, 0.02) {
		t.Errorf("the clients get %.3f answers in a second, want %.3f", got, throughput)
	}
}

// What nobody waits for any longer is worked on, unless the dependency notices: under more
// load than it can do, all the work is in vain otherwise.
func TestDependencyThatNoticesWorksForThoseWhoWait(t *testing.T) {
	for notices, want := range map[bool]float64{false: 0, true: 9.5} {
		r := middlewaretest.Scenario{
			Duration: 10 * time.Minute,
			Load:     middlewaretest.Load{Rate: 12, Timeout: time.Second},
			Dependency: middlewaretest.Dependency{
				Latency: middlewaretest.Exponential(100 * time.Millisecond), // 10 in a second
				Servers: 1,
				Notices: notices,
			},
		}.Run(t, bare)
		if got := r.Between(2*time.Minute, 10*time.Minute).Goodput(); math.Abs(got-want) > 1 {
			t.Errorf("notices %v: %.1f answers in a second, want about %v", notices, got, want)
		}
	}
}

// A request that is worked on when its caller goes leaves its server to the next one.
func TestDependencyThatNoticesStopsItsWork(t *testing.T) {
	r := middlewaretest.Scenario{
		Duration: 10 * time.Second,
		Load:     middlewaretest.Load{Rate: 2, Even: true, Timeout: 900 * time.Millisecond},
		Dependency: middlewaretest.Dependency{
			Latency: middlewaretest.Fixed(100 * time.Millisecond),
			Servers: 1,
			Notices: true,
			Outages: []middlewaretest.Outage{{Until: 600 * time.Millisecond, Slow: 100}},
		},
	}.Run(t, bare)
	// The first one comes at 0.5 s and goes at 1.4 s, the second one comes at 1 s.
	if r.Outcomes["deadline"] != 1 || r.Succeeded != r.Calls-1 || r.Peak != 2 || r.Latency(1) > 501*time.Millisecond {
		t.Errorf("got %v, at most %d at a time and %v, want the slow request to be cut and the next one to begin then", r.Outcomes, r.Peak, r.Latency(1))
	}
}

// Those who go while they wait are not worked on later.
func TestDependencyThatNoticesForgetsThoseWhoWaited(t *testing.T) {
	type key struct{}
	r := middlewaretest.Scenario{
		Duration: 650 * time.Millisecond,
		Load: middlewaretest.Load{Rate: 10, Even: true, Context: func(ctx context.Context, call int) context.Context {
			return context.WithValue(ctx, key{}, call)
		}},
		Dependency: middlewaretest.Dependency{
			Latency: middlewaretest.Fixed(time.Second),
			Servers: 1,
			Notices: true,
		},
	}.Run(t, chain(func(ctx context.Context, next middleware.Next) error {
		if call := ctx.Value(key{}).(int); call == 0 || call > 3 {
			return next.Do(ctx)
		}
		ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		return next.Do(ctx)
	}))
	// Of six calls three wait for the others: the last one comes at 0.6 s and is served at 3.1 s.
	if r.Succeeded != 3 || !near(r.Latency(1).Seconds(), 2.5, 0.01) {
		t.Errorf("%d of %d calls succeeded within %v, want 3 of 6 within 2.5s", r.Succeeded, r.Calls, r.Latency(1))
	}
}

// What is wrong during an outage, and only then.
func TestDependencyOutages(t *testing.T) {
	const from, until = 20 * time.Second, 40 * time.Second
	for _, row := range []struct {
		name    string
		outage  middlewaretest.Outage
		success float64
		median  time.Duration // of those that succeed
	}{
		{"down", middlewaretest.Outage{}, 0, 0},
		{"errors", middlewaretest.Outage{Errors: 0.3}, 0.7, 10 * time.Millisecond},
		{"hangs", middlewaretest.Outage{Hangs: 0.4}, 0.6, 10 * time.Millisecond},
		{"slow", middlewaretest.Outage{Slow: 5}, 1, 50 * time.Millisecond},
		{"errors and slow", middlewaretest.Outage{Errors: 0.5, Slow: 3}, 0.5, 30 * time.Millisecond},
		{"fewer servers", middlewaretest.Outage{Servers: 1}, 1, 10 * time.Millisecond},
		{"the first one counts", middlewaretest.Outage{Errors: 1}, 0, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.outage.From, row.outage.Until = from, until
			r := middlewaretest.Scenario{
				Load: middlewaretest.Load{Rate: 100, Even: true, Timeout: time.Second},
				Dependency: middlewaretest.Dependency{
					Latency: middlewaretest.Fixed(10 * time.Millisecond),
					Servers: 10,
					Outages: []middlewaretest.Outage{row.outage, {From: 25 * time.Second, Until: 30 * time.Second, Slow: 1}},
				},
			}.Run(t, bare)
			during := r.Between(from, until)
			if math.Abs(during.Success()-row.success) > 0.03 {
				t.Errorf("%.3f of the calls succeed, want %v", during.Success(), row.success)
			}
			if got := during.Latency(0.5); got < row.median || got > row.median+time.Millisecond {
				t.Errorf("they take %v, want %v", got, row.median)
			}
			for _, other := range []middlewaretest.Stats{r.Between(0, from-100*time.Millisecond), r.Between(until+100*time.Millisecond, time.Hour)} {
				if other.Success() != 1 || other.Latency(1) > 11*time.Millisecond {
					t.Errorf("before or afterwards %.3f succeed within %v, want all within 10ms", other.Success(), other.Latency(1))
				}
			}
		})
	}
}

// After an outage in which it had fewer servers, the others work for those who have waited.
func TestDependencyFillsItsServersAfterAnOutage(t *testing.T) {
	r := middlewaretest.Scenario{
		Load: middlewaretest.Load{Rate: 40, Even: true},
		Dependency: middlewaretest.Dependency{
			Latency: middlewaretest.Fixed(100 * time.Millisecond),
			Servers: 8,
			Outages: []middlewaretest.Outage{{From: 10 * time.Second, Until: 20 * time.Second, Servers: 1}},
		},
	}.Run(t, bare)
	// 300 have piled up, of which 80 go in a second; 40 others come.
	late, after := r.Between(19900*time.Millisecond, 20*time.Second), r.Between(28*time.Second, 29*time.Second)
	if !near(late.Latency(0.5).Seconds(), 300.0/80, 0.1) || after.Latency(1) > 110*time.Millisecond {
		t.Errorf("calls take %v at the end of the outage and %v eight seconds later, want 3.75s and 100ms", late.Latency(0.5), after.Latency(1))
	}
}

// The other servers begin at the end of the outage, not when the one that was left is free.
func TestDependencyFillsItsServersAtOnce(t *testing.T) {
	r := middlewaretest.Scenario{
		Duration: time.Second,
		Load:     middlewaretest.Load{Rate: 5, Even: true},
		Dependency: middlewaretest.Dependency{
			Latency: middlewaretest.Fixed(10 * time.Second),
			Servers: 5,
			Outages: []middlewaretest.Outage{{Until: 2 * time.Second, Servers: 1}},
		},
	}.Run(t, bare)
	if got := r.Latency(1); got > 12*time.Second {
		t.Errorf("the last call takes %v, want less than 2s and 10s", got)
	}
}

func TestLatencies(t *testing.T) {
	const ms = time.Millisecond
	table := middlewaretest.Percentiles(
		middlewaretest.Percentile{Percent: 10, Within: ms},
		middlewaretest.Percentile{Percent: 50, Within: 10 * ms},
		middlewaretest.Percentile{Percent: 90, Within: 1000 * ms},
		middlewaretest.Percentile{Percent: 90, Within: 2000 * ms},
		middlewaretest.Percentile{Percent: 99, Within: 4000 * ms})
	for _, row := range []struct {
		name    string
		latency middlewaretest.Latency
		share   float64
		want    time.Duration
	}{
		{"fixed", middlewaretest.Fixed(ms), 0.01, ms},
		{"fixed", middlewaretest.Fixed(ms), 1, ms},
		{"uniform", middlewaretest.Uniform(10*ms, 20*ms), 0.2, 12 * ms},
		{"uniform", middlewaretest.Uniform(10*ms, 20*ms), 1, 20 * ms},
		{"exponential", middlewaretest.Exponential(10 * ms), 0.5, 6931 * time.Microsecond},
		{"exponential", middlewaretest.Exponential(10 * ms), 0.99, 46052 * time.Microsecond},
		{"log-normal", middlewaretest.LogNormal(10*ms, 100*ms), 0.5, 10 * ms},
		{"log-normal", middlewaretest.LogNormal(10*ms, 100*ms), 0.99, 100 * ms},
		{"mixed", middlewaretest.Mixed(0.1, middlewaretest.Fixed(time.Second), middlewaretest.Fixed(ms)), 0.895, ms},
		{"mixed", middlewaretest.Mixed(0.1, middlewaretest.Fixed(time.Second), middlewaretest.Fixed(ms)), 0.905, time.Second},
		{"percentiles", table, 0.05, ms},
		{"percentiles", table, 0.1, ms},
		{"percentiles", table, 0.3, 3162 * time.Microsecond},
		{"percentiles", table, 0.7, 100 * ms},
		{"percentiles", table, 0.895, 944 * ms},
		{"percentiles", table, 0.945, 2828 * ms},
		{"percentiles", table, 0.995, 4000 * ms},
	} {
		random := rand.New(rand.NewPCG(1, 1))
		const n = 200000
		below, at := 0, 0
		for range n {
			switch d := row.latency(random); {
			case float64(d) < 0.98*float64(row.want):
				below++
			case float64(d) <= 1.02*float64(row.want):
				at++
			}
		}
		if most := row.share + 0.005; float64(below) > most*n || float64(below+at) < (row.share-0.005)*n {
			t.Errorf("%s: %d of %d are below %v and %d are about that, want a share of %v", row.name, below, n, row.want, at, row.share)
		}
	}
}

func TestPercentilesMustBeInOrder(t *testing.T) {
	for _, table := range [][]middlewaretest.Percentile{
		{},
		{{Percent: 50}},
		{{Percent: 101, Within: 1}},
		{{Percent: math.NaN(), Within: 1}},
		{{Percent: 50, Within: 2}, {Percent: 40, Within: 3}},
		{{Percent: 50, Within: 2}, {Percent: 60, Within: 1}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("the table %v was taken", table)
				}
			}()
			middlewaretest.Percentiles(table...)
		}()
	}
}
