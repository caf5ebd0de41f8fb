package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tidegate-go/tidegate"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

var (
	errOutcome = errors.New("another outcome")
	errStore   = errors.New("the store fails")
)

// callers make one call each, in one of the ways in which programs do.
type callers struct {
	url           string
	plain, backed *http.Client // without and with an alternative
	store         *tidegate.Service
	stale         *policies.Stale[string, string]
	web           atomic.Int64 // requests that were made
}

func newCallers(m *tidegate.Manager, base http.RoundTripper, url string) (*callers, error) {
	web, err := m.Service("soak")
	if err != nil {
		return nil, err
	}
	store, err := m.Service("store")
	if err != nil {
		return nil, err
	}
	c := &callers{
		url: url, store: store, plain: web.HTTPClient(&http.Client{Transport: base}),
		stale: policies.NewStale[string, string](policies.StaleConfig{MaxKeys: 50, SingleFlight: true}),
	}
	c.backed = web.HTTPClient(&http.Client{Transport: base}, transports.WithFallback(alternative))
	return c, nil
}

// alternative answers in place of the server, or fails too.
func alternative(req *http.Request, cause error) (*http.Response, error) {
	if rand.IntN(10) == 0 {
		return nil, cause
	}
	return &http.Response{
		StatusCode: http.StatusNonAuthoritativeInfo, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
		Body: io.NopCloser(strings.NewReader("a copy")), ContentLength: 6, Request: req,
	}, nil
}

// call makes a call, which it gives up now and then.
func (c *callers) call(t *tally) {
	t.begin()
	outcome := "panic"
	defer func() { t.end(outcome) }()
	patience := 3 * time.Second
	if rand.IntN(50) == 0 {
		patience = time.Duration(rand.IntN(int(5 * time.Millisecond)))
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ctx = middleware.WithPriority(ctx, middleware.Priority(rand.IntN(4))+middleware.Sheddable)
	switch rand.IntN(8) {
	case 0:
		outcome = c.keep(ctx)
	case 1:
		outcome = c.copied(ctx, t)
	case 2, 3:
		outcome = c.fetch(ctx, t, c.backed)
	default:
		outcome = c.fetch(ctx, t, c.plain)
	}
}

// fetch makes a request and reads the result.
func (c *callers) fetch(ctx context.Context, t *tally, client *http.Client) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, nil)
	if err != nil {
		t.defect("%v", err)
		return "no request"
	}
	c.web.Add(1)
	resp, err := client.Do(req)
	if err != nil {
		return "error " + kindOf(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Sprint("status ", resp.StatusCode)
	}
	body, err := io.ReadAll(resp.Body)
	sum := sha256.Sum256(body)
	switch {
	case err != nil:
		return "body " + kindOf(err)
	case hex.EncodeToString(sum[:]) != resp.Header.Get("Checksum"):
		t.defect("a body of %d bytes is not what was sent", len(body))
		return "wrong body"
	default:
		return "success"
	}
}

// keep makes a plain call with one of many keys, of which some fail.
func (c *callers) keep(ctx context.Context) string {
	key := rand.IntN(60)
	ctx = middleware.WithOperation(ctx, middleware.Operation{Name: "keep", Key: fmt.Sprint("k", key)})
	err := c.store.Do(ctx, func(context.Context) error {
		if key%7 == 0 && rand.IntN(2) == 0 {
			return errStore
		}
		return nil
	})
	if err != nil {
		return "store " + kindOf(err)
	}
	return "store success"
}

// copied asks for a value, and takes a stale copy if it has to.
func (c *callers) copied(ctx context.Context, t *tally) string {
	key := fmt.Sprint("v", rand.IntN(80))
	ctx = middleware.WithOperation(ctx, middleware.Operation{Name: "read", Key: key})
	got, err := c.stale.Call(ctx, c.store.Chain(), key, func(context.Context) (string, error) {
		if rand.IntN(4) == 0 {
			return "", errStore
		}
		return key, nil
	})
	switch {
	case err != nil:
		return "copy " + kindOf(err)
	case got.Value != key:
		t.defect("for %s there is a copy of %s", key, got.Value)
		return "wrong copy"
	case got.Stale:
		return "copy stale"
	default:
		return "copy fresh"
	}
}
