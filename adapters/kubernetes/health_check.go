package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"k8s.io/client-go/rest"
)

const maxReadyz = 64 << 10 // bytes of an answer that are read

// HealthCheck returns a function that asks the API server once whether it is ready, past
// all policies and limits, for the HealthCheck of a breaker. It returns nil when /readyz
// answers with 200, and otherwise says which of the server's own checks failed. The error
// is of a config of which client-go can make no client. config may be wrapped or not. The
// function is safe for concurrent use.
func HealthCheck(config *rest.Config) (func(context.Context) error, error) {
	if config == nil {
		return nil, errors.New("kubernetes: HealthCheck: the config is nil")
	}
	client, err := rest.HTTPClientFor(Exempt(config))
	if err != nil {
		return nil, fmt.Errorf("kubernetes: HealthCheck: %w", err)
	}
	// Another server that answers does not say that this one is ready.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	server, _, err := rest.DefaultServerUrlFor(config)
	if err != nil { // its text has the whole of the host, which may have a password
		return nil, errors.New("kubernetes: HealthCheck: config.Host is neither a URL nor a host and a port")
	}
	ask := server.JoinPath("readyz").String()
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, ask, http.NoBody)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(io.LimitReader(resp.Body, maxReadyz))
		if resp.StatusCode == http.StatusOK {
			return err
		}
		return notReady(resp.StatusCode, string(text))
	}, nil
}

// notReady is the error of an answer, with the checks in it that failed: the lines that
// begin with "[-]".
func notReady(status int, text string) error {
	what := fmt.Sprintf("kubernetes: /readyz answered with status %d (%s)", status, http.StatusText(status))
	failed := slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return !strings.HasPrefix(line, "[-]") })
	for i, line := range failed {
		failed[i] = strings.TrimSpace(strings.TrimPrefix(line, "[-]"))
	}
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		what += ": the credentials of the config may not ask"
	case len(failed) > 0:
		what += ": " + strings.Join(failed, ", ")
	}
	return errors.New(what)
}
