package transports

import (
	"math/big"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

var noon = time.Date(2026, time.March, 4, 12, 0, 0, 0, time.UTC)

func stamp(d time.Duration) string { return noon.Add(d).Format(http.TimeFormat) }

func TestR1R2R3RetryAfter(t *testing.T) {
	const longest = 9223372036 * time.Second
	for _, row := range []struct {
		name, value, date string
		want              time.Duration
	}{
		{"R1 seconds", "120", "", 2 * time.Minute},
		{"R1 zero", "0", "", 0},
		{"R1 leading zeros", "007", "", 7 * time.Second},
		{"R1 spaces", " 5\t", "", 5 * time.Second},
		{"R1 RFC 1123", stamp(90 * time.Second), "", 90 * time.Second},
		{"R1 RFC 850", noon.Add(time.Minute).Format("Monday, 02-Jan-06 15:04:05 GMT"), "", time.Minute},
		{"R1 asctime", noon.Add(time.Minute).Format(time.ANSIC), "", time.Minute},
		{"R2 the last before overflow", "9223372036", "", longest},
		{"R2 overflow of nanoseconds", "9223372037", "", longest},
		{"R2 overflow to a small number", "18446744074", "", longest},
		{"R2 overflow of 64 bits", "99999999999999999999999999", "", longest},
		{"R3 past", stamp(-time.Second), "", 0},
		{"R3 the server's clock is behind", stamp(-time.Hour + time.Minute), stamp(-time.Hour), time.Minute},
		{"R3 the server's clock is ahead", stamp(time.Hour + time.Minute), stamp(time.Hour), time.Minute},
		{"R3 past by the server's clock", stamp(time.Minute), stamp(time.Hour), 0},
		{"R3 Date is out of its mind", stamp(time.Minute), stamp(-48 * time.Hour), time.Minute},
		{"R3 Date is garbage", stamp(time.Minute), "now", time.Minute},
		{"R3 seconds need no Date", "60", stamp(time.Hour), time.Minute},
		{"R6 missing", "", "", 0},
		{"R6 negative", "-5", "", 0},
		{"R6 plus", "+5", "", 0},
		{"R6 fraction", "1.5", "", 0},
		{"R6 unit", "5s", "", 0},
		{"R6 list", "5, 10", "", 0},
		{"R6 other digits", "٥", "", 0},
		{"R6 words", "in a while", "", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := make(http.Header)
			if row.value != "" {
				h.Set("Retry-After", row.value)
			}
			if row.date != "" {
				h.Set("Date", row.date)
			}
			if got := retryAfter(h, noon); got != row.want {
				t.Errorf("%q with the date %q: %s, want %s", row.value, row.date, got, row.want)
			}
		})
	}
}

func TestR6TheFirstValueWins(t *testing.T) {
	h := http.Header{"Retry-After": {"5", "10"}}
	if got := retryAfter(h, noon); got != 5*time.Second {
		t.Errorf("%s", got)
	}
	h = http.Header{"Retry-After": {"soon", "10"}}
	if got := retryAfter(h, noon); got != 0 {
		t.Errorf("after garbage %s", got)
	}
}

func TestR6OnlySomeStatuses(t *testing.T) {
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://example.com", nil)
	for status := 100; status < 600; status++ {
		want := time.Duration(0)
		if status == 429 || status == 503 {
			want = 7 * time.Second
		}
		resp := &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {"7"}}}
		if got := Classify(req, resp, nil).After; got != want {
			t.Errorf("%d: %s, want %s", status, got, want)
		}
	}
}

// Both in virtual time: what Retry makes of the hint.
func TestR4R5RetryAfterInAChain(t *testing.T) {
	for _, row := range []struct {
		name, after string
		requests    int
		took        time.Duration
	}{
		{"R5 longer than the back-off", "20", 2, 20 * time.Second},
		{"R5 shorter than the back-off", "1", 2, 5 * time.Second},
		{"R4 at the cap", "60", 2, time.Minute},
		{"R4 beyond the cap", "61", 1, 0},
		{"R4 an hour", "3600", 1, 0},
		{"R4 for ever", strings.Repeat("9", 30), 1, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				requests := 0
				rt := New(roundTripper(func(*http.Request) (*http.Response, error) {
					requests++
					return &http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {row.after}}}, nil
				}), middleware.NewChain("", policies.NewRetry(policies.RetryConfig{Attempts: 2, Delay: 5 * time.Second, Jitter: -1})))
				begin := time.Now()
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://example.com", nil)
				resp, err := rt.RoundTrip(req)
				if err != nil || resp.StatusCode != 429 {
					t.Fatalf("%v, %v", resp, err)
				}
				if took := time.Since(begin); requests != row.requests || took != row.took {
					t.Errorf("%d requests in %s, want %d in %s", requests, took, row.requests, row.took)
				}
			})
		})
	}
}

// R5: chance makes the wait longer than the server asked for, never shorter.
func TestR5JitterComesOnTopOfRetryAfter(t *testing.T) {
	seen := make(map[time.Duration]bool)
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			rt := New(roundTripper(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {"20"}}}, nil
			}), middleware.NewChain("", policies.NewRetry(policies.RetryConfig{Attempts: 2, Delay: 2 * time.Second})))
			begin := time.Now()
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://example.com", nil)
			if _, err := rt.RoundTrip(req); err != nil {
				t.Fatal(err)
			}
			took := time.Since(begin)
			if took < 20*time.Second || took > 20*time.Second+3*time.Second/2 {
				t.Errorf("it took %s, want 20 s and at most half of the back-off of 3 s more", took)
			}
			seen[took] = true
		})
	}
	if len(seen) < 50 {
		t.Errorf("only %d different waits", len(seen))
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"", "0", "120", "-1", "99999999999999999999", "Wed, 04 Mar 2026 12:01:00 GMT", "Wednesday, 04-Mar-26 12:00:00 GMT", "5, 5", "\x00"} {
		f.Add(seed, "")
		f.Add("120", seed)
		f.Add(stamp(time.Minute), seed)
	}
	f.Fuzz(func(t *testing.T, value, date string) {
		got := retryAfter(http.Header{"Retry-After": {value}, "Date": {date}}, noon)
		if got < 0 {
			t.Fatalf("%q, %q: %s is negative", value, date, got)
		}
		digits := strings.Trim(value, " \t")
		if digits == "" || strings.Trim(digits, "0123456789") != "" {
			return
		}
		want, _ := new(big.Int).SetString(digits, 10)
		if most := big.NewInt(int64(maxSeconds)); want.Cmp(most) > 0 {
			want = most
		}
		if got != time.Duration(want.Int64())*time.Second {
			t.Fatalf("%q: %s, want %s s", value, got, want)
		}
	})
}
