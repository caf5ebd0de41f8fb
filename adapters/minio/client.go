package minio

import (
	"context"
	"errors"

	"github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/middleware"
)

// A Client runs the operations of a minio-go client inside a chain. It is safe for
// concurrent use. It needs no Close.
type Client struct {
	raw    *minio.Client
	chain  *middleware.Chain
	host   string
	pinned bool // the region is known, so an answer cannot correct it
}

var errNoClient = errors.New("minio: there is no minio-go client: make one with New, or give Wrap one that is not nil")

// New returns a Client for an endpoint, a host with an optional port. A nil chain
// has no policies. The error is minio-go's when it does not accept the endpoint or
// the options.
//
// MaxRetries is 1 unless o says otherwise: minio-go repeats requests by itself, 10
// times unless told, and would multiply with the attempts of a retry in the chain.
// Even so it waits up to 200 ms after a request that it would have repeated, which
// a timeout in the chain has to leave room for.
//
// Set o.Region where it is known. Without it the first call to each bucket also
// asks for the bucket's location, and a call that went to the wrong region is put
// right by a second attempt, so it needs a retry in the chain.
func New(endpoint string, o minio.Options, chain *middleware.Chain) (*Client, error) {
	if o.MaxRetries <= 0 {
		o.MaxRetries = 1
	}
	raw, err := minio.New(endpoint, &o)
	if err != nil {
		return nil, err
	}
	c := Wrap(raw, chain)
	c.pinned = o.Region != ""
	return c, nil
}

// Wrap returns a Client for a minio-go client that exists. A nil chain has no
// policies. Each operation of a Client without a minio-go client fails.
//
// Wrap cannot see the MaxRetries of c. Unless it was set to 1, every attempt that
// the chain makes is up to 10 requests, and a policy sees only the last of them.
func Wrap(c *minio.Client, chain *middleware.Chain) *Client {
	if c == nil {
		return &Client{chain: chain}
	}
	return &Client{raw: c, chain: chain, host: c.EndpointURL().Host}
}

// Raw returns the minio-go client, whose operations pass no policy.
func (c *Client) Raw() *minio.Client {
	if c == nil {
		return nil
	}
	return c.raw
}

func (c *Client) check() error {
	if c.Raw() == nil {
		return errNoClient
	}
	return nil
}

// enter returns the context of a call of op.
func (c *Client) enter(ctx context.Context, op Op) context.Context {
	return middleware.WithOperation(ctx, middleware.Operation{Name: op.Name, Key: c.host})
}

// judged returns the error of an attempt with its verdict. ctx is the context that
// the attempt was given by the chain.
func (c *Client) judged(ctx context.Context, kind Kind, err error) error {
	if err == nil {
		return nil
	}
	return middleware.Judged(err, c.judge(ctx, kind, err))
}

func (c *Client) judge(ctx context.Context, kind Kind, err error) middleware.Verdict {
	if _, answered := errors.AsType[minio.ErrorResponse](err); !answered && ctx.Err() != nil {
		if errors.Is(context.Cause(ctx), middleware.ErrTimeout) {
			return timedOut.verdict(kind)
		}
		return canceled.verdict(kind)
	}
	m := meaningOf(err)
	v := m.verdict(kind)
	if m.once && (middleware.Attempt(ctx) > 1 || m == wrongRegion && c.pinned) {
		v.Retry = false
	}
	return v
}
