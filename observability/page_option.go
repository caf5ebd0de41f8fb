package observability

import (
	"net/http"
	"net/url"
	"strings"
)

// DefaultTraceLink is the link to a trace that [Page] shows unless [WithTraceLink] says
// otherwise: that of a Jaeger on the reader's own machine.
const DefaultTraceLink = "http://localhost:16686/trace/" + traceIDPlace

// traceIDPlace stands for the id in the template of a link.
const traceIDPlace = "{trace_id}"

// A PageOption configures a [Page].
type PageOption func(*page)

// WithMonitor makes the page show the alerts of m. Without one, or with nil, the page
// finds out by itself while somebody looks at it, which it tells the reader.
func WithMonitor(m *Monitor) PageOption {
	return func(p *page) { p.monitor = m }
}

// WithTraceLink sets where a trace can be seen: the URL of a tracing system with
// {trace_id} in the place of the id. The default is [DefaultTraceLink]; an empty template
// means no links, and so does one that is no http or https URL or has no {trace_id}.
func WithTraceLink(template string) PageOption {
	return func(p *page) { p.traceLink = checkedTraceLink(template) }
}

// checkedTraceLink returns the template, or "" for one that a page must not link to, as
// a javascript URL is.
func checkedTraceLink(template string) string {
	u, err := url.Parse(strings.ReplaceAll(template, traceIDPlace, "0"))
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "", !strings.Contains(template, traceIDPlace):
		return ""
	default:
		return template
	}
}

// AllowControl lets readers of the page reset a service, force its breakers open and
// release them, each time that auth reports true of the request. Without it, or with a
// nil auth, the page cannot change anything and there is no route that could.
//
// auth is called for each such request, concurrently. [http.CrossOriginProtection] has
// refused those that a browser sends for other sites before; a program that is no browser
// gets as far as auth. A page that can be reached by any name is open to DNS rebinding, so
// auth should ask for a credential, or for the Host. Who may read the page is for the
// handler around it to say.
func AllowControl(auth func(*http.Request) bool) PageOption {
	return func(p *page) { p.auth = auth }
}
