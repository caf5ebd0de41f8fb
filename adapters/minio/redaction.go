package minio

import (
	"errors"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7"
)

const redactedName = "[object]"

// redact returns err without the name of the object, if that is wanted.
func (c *Client) redact(err error) error {
	if c == nil || !c.options.redacted || err == nil {
		return err
	}
	switch e := err.(type) { //nolint:errorlint // what wraps one of them is for the cases below
	case minio.ErrorResponse:
		return redactResponse(e)
	case *url.Error:
		return redactRequest(e)
	case *AmbiguousError:
		return &AmbiguousError{Op: e.Op, Err: c.redact(e.Err)}
	case *redacted:
		return e
	}
	if response, ok := errors.AsType[minio.ErrorResponse](err); ok {
		return &redacted{err, strings.ReplaceAll(err.Error(), response.Error(), redactResponse(response).Error())}
	}
	if request, ok := errors.AsType[*url.Error](err); ok {
		return &redacted{err, strings.ReplaceAll(err.Error(), request.Error(), redactRequest(request).Error())}
	}
	return err
}

// A redacted is an error that wraps one with the name of an object in it.
type redacted struct {
	error

	text string
}

func (r *redacted) Error() string { return r.text }
func (r *redacted) Unwrap() error { return r.error }

// As finds what has names in it without them.
func (r *redacted) As(target any) bool {
	switch t := target.(type) {
	case *minio.ErrorResponse:
		response, ok := errors.AsType[minio.ErrorResponse](r.error)
		*t = redactResponse(response)
		return ok
	case **url.Error:
		request, ok := errors.AsType[*url.Error](r.error)
		if ok {
			*t = redactRequest(request)
		}
		return ok
	default:
		return false
	}
}

func redactResponse(r minio.ErrorResponse) minio.ErrorResponse {
	for _, name := range []string{r.Resource, r.Key, url.PathEscape(r.Key)} {
		if name != "" && name != "/" {
			r.Message = strings.ReplaceAll(r.Message, name, redactedName)
		}
	}
	if r.Key != "" {
		r.Key = redactedName
	}
	if r.Resource != "" {
		r.Resource = "/" + r.BucketName
	}
	return r
}

// redactRequest leaves the server of the URL. With some endpoints its host has the
// name of the bucket, never that of an object.
func redactRequest(e *url.Error) *url.Error {
	server := "[URL]"
	if u, err := url.Parse(e.URL); err == nil {
		server = (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}).String()
	}
	cause := e.Err
	if text := cause.Error(); e.URL != "" && strings.Contains(text, e.URL) { // minio-go repeats it in an error of its own
		cause = errors.New(strings.ReplaceAll(text, e.URL, server))
	}
	return &url.Error{Op: e.Op, URL: server, Err: cause}
}
