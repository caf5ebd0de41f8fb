package observability

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"fmt"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync/atomic"
	"time"
)

// Page returns a live page about the services of a manager: a web page that shows how
// each service is, the alerts, the history of events, the newest calls as waterfalls, and
// how the chain of a service is put together. It consists of what is in this package, and
// asks no other host for anything.
//
//	mux.Handle("/tidegate/", http.StripPrefix("/tidegate", observability.Page(manager)))
//
// Beside the page are healthz, events and alerts, the answers of [HealthHandler],
// [EventsHandler] and [AlertsHandler].
//
// It shows everything that the [Observer] in the chains keeps. With [WithLive] these are
// rates, latencies and calls too; without it, or without an Observer, the page says what
// it cannot show. A nil manager has no services.
//
// The page holds no secrets that the services do not have in their names and keys, but it
// is not for everybody: the handler that it is mounted on decides who may read it. It
// changes nothing unless [AllowControl] is given.
//
// An open page has a request that lasts, and that ends with the request's context. A
// server that shuts down waits for it, so end the context that the server was given as
// BaseContext first. Nothing runs while nobody looks. A Page is safe for concurrent use.
func Page(m Manager, opts ...PageOption) http.Handler {
	p := &page{manager: m, traceLink: DefaultTraceLink}
	if isNilManager(m) {
		p.manager = nil
	}
	for _, opt := range opts {
		if opt != nil {
			opt(p)
		}
	}
	p.evaluator = newEvaluator(p.manager, Thresholds{})
	p.routes()
	return p
}

type page struct {
	manager   Manager // nil is none
	monitor   *Monitor
	traceLink string
	auth      func(*http.Request) bool // nil allows no control
	mux       http.ServeMux
	newest    atomic.Pointer[snapshot]
	evaluator *evaluator // of alerts, without a monitor
	found     atomic.Pointer[foundAlerts]
}

func (p *page) routes() {
	index := readAsset("index.html")
	p.mux.HandleFunc("GET /{$}", index.serve)
	entries, err := assets.ReadDir("assets")
	if err != nil {
		panic(err) // they are part of the program
	}
	for _, e := range entries {
		if e.Name() != "index.html" {
			p.mux.HandleFunc("GET /assets/"+e.Name(), readAsset(e.Name()).serve)
		}
	}
	p.mux.HandleFunc("GET /stream", p.stream)
	p.mux.HandleFunc("GET /chain", p.chain)
	p.mux.HandleFunc("GET /trace", p.trace)
	p.mux.Handle("GET /healthz", HealthHandler(p.manager))
	p.mux.Handle("GET /events", EventsHandler(p.manager))
	p.mux.HandleFunc("GET /alerts", p.listAlerts)
	if p.auth != nil {
		p.mux.Handle("POST /control", http.NewCrossOriginProtection().Handler(http.HandlerFunc(p.control)))
	}
}

// ServeHTTP implements [http.Handler].
func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	at := r.URL.Path
	if !strings.HasPrefix(at, "/") { // a prefix was stripped, the slash with it
		asked, _, _ := strings.Cut(r.RequestURI, "?")
		if at == "" && !strings.HasSuffix(asked, "/") {
			// Links are relative, so the page must be at a path that ends with a slash.
			h.Set("Location", "./"+path.Base(asked)+"/")
			w.WriteHeader(http.StatusMovedPermanently)
			return
		}
		clone := *r
		u := *r.URL
		u.Path, u.RawPath = "/"+at, ""
		clone.URL = &u
		r = &clone
	}
	p.mux.ServeHTTP(w, r)
}

// contentPolicy lets a browser load what the page brings with it, and no more.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

//go:embed assets
var assets embed.FS

// An asset is a file of the page.
type asset struct {
	name, kind, tag string
	text            []byte
}

func readAsset(name string) asset {
	text, err := assets.ReadFile("assets/" + name)
	if err != nil {
		panic(err) // it is part of the program
	}
	sum := sha256.Sum256(text)
	kind := map[string]string{".js": "text/javascript; charset=utf-8"}[path.Ext(name)]
	if kind == "" { // the machine's list of types may have another one for scripts, which browsers refuse
		kind = mime.TypeByExtension(path.Ext(name))
	}
	return asset{name: name, kind: kind, tag: fmt.Sprintf(`"%x"`, sum[:8]), text: text}
}

// serve answers with the file. A browser keeps it, and asks whether it is still the same.
func (a asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("ETag", a.tag)
	h.Set("Cache-Control", "no-cache")
	http.ServeContent(w, r, a.name, time.Time{}, bytes.NewReader(a.text))
}

// listAlerts answers with the alerts that the page shows.
func (p *page) listAlerts(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string][]Alert{"alerts": p.alerts(time.Now())})
}

func writeJSON(w http.ResponseWriter, status int, v any) { answer(w, status, "application/json", v) }

// A refusal is what the page gives as the reason of an error.
type refusal struct {
	Error string `json:"error"`
}
