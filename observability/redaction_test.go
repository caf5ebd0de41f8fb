package observability_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

const canary = "c4n4ry"

func TestCredentialsAreInNoSpan(t *testing.T) {
	for _, row := range []struct{ name, url, want string }{
		{"userinfo", "https://c4n4ry:c4n4ry@example.com/a", "https://REDACTED:REDACTED@example.com/a"},
		{"a token as the user", "https://c4n4ry@example.com/a", "https://REDACTED:REDACTED@example.com/a"},
		{"X-Amz-Signature", "https://example.com/a?X-Amz-Date=1&X-Amz-Signature=c4n4ry", "https://example.com/a?X-Amz-Date=1&X-Amz-Signature=REDACTED"},
		{"X-Amz-Credential", "https://example.com/?X-Amz-Credential=c4n4ry%2Faws4&b=2", "https://example.com/?X-Amz-Credential=REDACTED&b=2"},
		{"X-Amz-Security-Token", "https://example.com/?X-Amz-Security-Token=c4n4ry==", "https://example.com/?X-Amz-Security-Token=REDACTED"},
		{"AWSAccessKeyId", "https://example.com/?AWSAccessKeyId=c4n4ry", "https://example.com/?AWSAccessKeyId=REDACTED"},
		{"Signature", "https://example.com/?Signature=c4n4ry", "https://example.com/?Signature=REDACTED"},
		{"sig", "https://example.com/?sig=c4n4ry", "https://example.com/?sig=REDACTED"},
		{"X-Goog-Signature", "https://example.com/?X-Goog-Signature=c4n4ry", "https://example.com/?X-Goog-Signature=REDACTED"},
		{"the key in other letters", "https://example.com/?x-amz-SIGNATURE=c4n4ry", "https://example.com/?x-amz-SIGNATURE=REDACTED"},
		{"the key escaped", "https://example.com/?X%2dAmz%2dSignature=c4n4ry", "https://example.com/?X%2dAmz%2dSignature=REDACTED"},
		{"the key unreadable", "https://example.com/?X-Amz-Signature%zz=c4n4ry", "https://example.com/?X-Amz-Signature%zz=REDACTED"},
		{"the key twice", "https://example.com/?sig=c4n4ry&sig=c4n4ry", "https://example.com/?sig=REDACTED&sig=REDACTED"},
		{"after a semicolon", "https://example.com/?a=1;sig=c4n4ry", "https://example.com/?a=1;sig=REDACTED"},
		{"other names of credentials", "https://example.com/?key=c4n4ry&auth=c4n4ry&code=c4n4ry&jwt=c4n4ry&id_token=c4n4ry&pwd=c4n4ry&X-Api-Key=c4n4ry&session=c4n4ry",
			"https://example.com/?key=REDACTED&auth=REDACTED&code=REDACTED&jwt=REDACTED&id_token=REDACTED&pwd=REDACTED&X-Api-Key=REDACTED&session=REDACTED"},
		{"an access token", "https://example.com/?access_token=c4n4ry", "https://example.com/?access_token=REDACTED"},
		{"a fragment", "https://example.com/a#token=c4n4ry", "https://example.com/a"},
		{"opaque", "https:c4n4ry", "https:///REDACTED"},
		{"nothing to hide", "https://example.com/a%2Fb?list-type=2&prefix=x%20y&designature=1&=&", "https://example.com/a%2Fb?list-type=2&prefix=x%20y&designature=1&=&"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRecorder()
			o := r.observer()
			u, err := url.Parse(row.url)
			if err != nil {
				t.Fatal(err)
			}
			req := request(t, http.MethodGet, "https://example.com")
			req.URL = u
			before := u.String()
			// The error of a transport often says the URL.
			base := roundTrip(func(req *http.Request) (*http.Response, error) {
				if got := req.URL.String(); got != before {
					t.Errorf("sent to %s", got)
				}
				return nil, &url.Error{Op: "Get", URL: req.URL.String(), Err: errors.New(canary)}
			})
			chain := middleware.NewChain("x", o,
				policies.NewRetry(policies.RetryConfig{Attempts: 2, Delay: 1}),
				policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1}))
			if _, err := transports.New(o.Transport(base), chain).RoundTrip(req); err == nil {
				t.Fatal("no error")
			}
			span := r.span(t, "GET")
			if !has(span.Attributes, "url.full", row.want) {
				t.Errorf("got %s, want url.full=%s", text(span.Attributes), row.want)
			}
			if all := everything(r.spans.GetSpans()); strings.Contains(all, canary) {
				t.Errorf("the secret is in the spans:\n%s", all)
			}
			if all := fmt.Sprintf("%+v", o.History()); strings.Contains(all, canary) {
				t.Errorf("the secret is in the history:\n%s", all)
			}
			for _, m := range r.metrics(t) {
				if all := fmt.Sprintf("%+v", m); strings.Contains(all, canary) {
					t.Errorf("the secret is in a metric:\n%s", all)
				}
			}
		})
	}
}

// everything writes all that is exported of the spans.
func everything(spans tracetest.SpanStubs) string {
	var b strings.Builder
	for _, s := range spans {
		fmt.Fprintf(&b, "%s %+v %s\n", s.Name, s.Status, text(s.Attributes))
		for _, e := range s.Events {
			fmt.Fprintf(&b, "  %s %s\n", e.Name, text(e.Attributes))
		}
	}
	return b.String()
}
