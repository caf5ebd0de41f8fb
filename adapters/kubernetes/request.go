package kubernetes

import (
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An apiRequest is what a request asks of an API server.
type apiRequest struct {
	verb        string // as in RBAC rules, or a method in lower case where no resource is named
	group       string // "/apis/apps", "/api" for the core group, "" where none is named
	resource    string
	name        string
	subresource string
	initial     bool // a watch that begins with all objects, and so has no place to keep
	long        bool
}

// parse reads a request to an API server whose paths begin with prefix.
func parse(req *http.Request, prefix string) apiRequest {
	a := apiRequest{verb: strings.ToLower(req.Method)}
	if a.verb == "" {
		a.verb = "get"
	}
	path, query := "", url.Values{}
	if req.URL != nil {
		path, query = req.URL.Path, req.URL.Query()
	}
	watchPath := a.parsePath(strings.TrimPrefix(path, strings.TrimSuffix(prefix, "/")))
	switch {
	case a.resource == "":
	case a.verb == "get" && (watchPath || isTrue(query, "watch")):
		a.verb = "watch"
	default:
		a.verb = verbOf(a.verb, a.name != "")
	}
	a.initial = isTrue(query, "sendInitialEvents")
	a.long = upgrades(req.Header) || a.verb == "watch" || slices.Contains(tunnels, a.subresource) ||
		a.subresource == "log" && isTrue(query, "follow")
	return a
}

// tunnels are the subresources that carry a conversation of their own.
var tunnels = []string{"exec", "attach", "portforward", "proxy"}

// parsePath reads a path: /api/v1/... or /apis/GROUP/VERSION/..., and then
// [watch/][namespaces/NAMESPACE/]RESOURCE[/NAME[/SUBRESOURCE/...]]. It reports whether that
// watch is there.
func (a *apiRequest) parsePath(path string) (watch bool) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case parts[0] == "api":
		a.group, parts = "/api", parts[1:]
	case parts[0] == "apis" && len(parts) > 1:
		a.group, parts = "/apis/"+parts[1], parts[2:]
	default:
		return false
	}
	if len(parts) < 2 { // discovery
		return false
	}
	parts = parts[1:]
	if parts[0] == "watch" && len(parts) > 1 {
		watch, parts = true, parts[1:]
	}
	// What follows a namespace's name is in the namespace, but for its own subresources.
	if parts[0] == "namespaces" && len(parts) > 2 && parts[2] != "status" && parts[2] != "finalize" {
		parts = parts[2:]
	}
	a.resource = parts[0]
	if len(parts) > 1 {
		a.name = parts[1]
	}
	if len(parts) > 2 {
		a.subresource = parts[2]
	}
	return watch
}

func verbOf(method string, named bool) string {
	switch method {
	case "get", "head":
		if named {
			return "get"
		}
		return "list"
	case "post":
		return "create"
	case "put":
		return "update"
	case "delete":
		if named {
			return "delete"
		}
		return "deletecollection"
	default:
		return method
	}
}

// isTrue reads a query parameter as the API server does: all but "false" and "0" is true.
func isTrue(query url.Values, name string) bool {
	values := query[name]
	return len(values) > 0 && values[0] != "0" && !strings.EqualFold(values[0], "false")
}

// upgrades reports whether a request asks for another protocol on its connection.
func upgrades(h http.Header) bool {
	if h.Get("Upgrade") != "" {
		return true
	}
	for _, line := range h.Values("Connection") {
		for word := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(word), "upgrade") {
				return true
			}
		}
	}
	return false
}

// operation names the request in spans, without identifiers: "list pods".
func (a apiRequest) operation() string {
	name := a.verb
	if a.resource != "" {
		name += " " + a.resource
	}
	if a.subresource != "" {
		name += "/" + a.subresource
	}
	return name
}

// class is the class of the verb.
func (a apiRequest) class() string {
	switch {
	case a.long:
		return "watch"
	case a.verb == "get" || a.verb == "list" || a.verb == "head" || a.verb == "options":
		return "read"
	default:
		return "write"
	}
}

// key names the part of the server that the request goes to: what fails together.
func (a apiRequest) key(server string) string { return server + a.group + " " + a.class() }

// mayRepeat reports whether the request does the same when it is carried out twice: it
// changes nothing, is a dry run, or is a server-side apply.
func (a apiRequest) mayRepeat(req *http.Request) bool {
	switch {
	case a.long:
		return false
	case a.class() == "read":
		return true
	case req.URL != nil && req.URL.Query().Get("dryRun") != "":
		return true
	case a.verb == "patch":
		kind, _, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
		return err == nil && strings.HasPrefix(kind, "application/apply-patch")
	default:
		return false
	}
}

// serverOf names a server by scheme, host and port.
func serverOf(u *url.URL) string {
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "http":
		port = "80"
	default:
		port = "443"
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// retryAfter returns how long an answer asks to wait, as client-go reads it: in whole
// seconds.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.ParseUint(h.Get("Retry-After"), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
