package minio

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/tidegate-go/tidegate/middleware"
)

// partTries is how often minio-go sends a request of an upload that cannot be
// repeated as a whole.
const partTries = 3

// A Client has the operations of a minio-go client, inside a chain. It is safe for
// concurrent use. It needs no Close.
type Client struct {
	raw     *minio.Client
	streams *minio.Client // for uploads that only minio-go can repeat, part by part
	chain   *middleware.Chain
	options options
	host    string
	creds   *credentials.Credentials // nil if unknown
	pinned  bool                     // the region is known, so an answer cannot correct it
	repeats bool                     // minio-go may repeat requests by itself
	located sync.Map                 // buckets whose region minio-go has been asked for
	regions sync.Map                 // by bucket: the region that a refusal named last
}

var errNoClient = errors.New("minio: there is no minio-go client: make one with New, or give Wrap one that is not nil")

// New returns a Client for an endpoint, a host with an optional port. A nil chain
// has no policies. The error is minio-go's when it does not accept the endpoint or
// the options, or says that the options and the chain would both repeat requests.
//
// MaxRetries of o is best left 0: then requests are repeated by the chain alone,
// save those of an upload that can only be repeated part by part, see
// [Client.PutObject]. By itself minio-go would send each of the chain's attempts up
// to 10 times. It waits up to 200 ms after a request that it would have repeated even
// when it may not, which a timeout in the chain has to leave room for. New sees a retry
// that stands in the chain itself, not one that is hidden in another policy.
//
// Set o.Region where it is known. Without it the first call to each bucket also
// asks for the bucket's location. An attempt that is told of another region, or that
// its token has expired, is made once more at once, with the region or with
// credentials that o.Creds was asked for anew.
func New(endpoint string, o minio.Options, chain *middleware.Chain, opts ...Option) (*Client, error) {
	if attempts := attemptsOf(chain); o.MaxRetries > 1 && attempts != 1 {
		return nil, fmt.Errorf("minio: Options.MaxRetries is %d, and the retry in the chain %q makes %s: "+
			"they would multiply; leave MaxRetries 0, or take the retry out of the chain",
			o.MaxRetries, chain.Name(), plural(attempts))
	}
	if o.Transport == nil {
		transport, err := minio.DefaultTransport(o.Secure)
		if err != nil {
			return nil, err
		}
		o.Transport = transport
	}
	tries, streamTries := o.MaxRetries, o.MaxRetries
	if o.MaxRetries <= 0 {
		tries, streamTries = 1, partTries
	}
	o.MaxRetries = tries
	raw, err := minio.New(endpoint, &o)
	if err != nil {
		return nil, err
	}
	c := Wrap(raw, chain, opts...)
	c.pinned, c.creds, c.repeats = o.Region != "", o.Creds, tries > 1 // minio-go has filled in the region
	if streamTries != tries {
		o.MaxRetries = streamTries
		if c.streams, err = minio.New(endpoint, &o); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// attemptsOf returns how many attempts the retry in the chain makes, 1 if there is
// none, and not more than 0 if there is no limit.
func attemptsOf(chain *middleware.Chain) int {
	for _, p := range chain.Policies() {
		if retry, ok := p.(interface{ Attempts() int }); ok && retry.Attempts() != 1 {
			return retry.Attempts()
		}
	}
	return 1
}

func plural(attempts int) string {
	if attempts <= 0 {
		return "attempts without a limit"
	}
	return fmt.Sprintf("%d attempts", attempts)
}

// Wrap returns a Client for a minio-go client that exists. A nil chain has no
// policies. Each operation of a Client without a minio-go client fails.
//
// Wrap cannot see the MaxRetries of c. Set it to 1: otherwise every attempt that the
// chain makes is up to so many requests, 10 by default, of which a policy sees only the
// last, and what an earlier one of them did is not told from what was there before.
// Nor can it see the credentials of c, to have expired ones renewed before their
// time.
func Wrap(c *minio.Client, chain *middleware.Chain, opts ...Option) *Client {
	client := &Client{raw: c, streams: c, chain: chain, repeats: true}
	for _, o := range opts {
		o(&client.options)
	}
	if c != nil {
		client.host = c.EndpointURL().Host
	}
	return client
}

// Raw returns the minio-go client, whose operations pass no policy. It is also the
// way to what is a matter of this process alone: TraceOn, SetAppInfo, GetCreds and
// the like. What is set there does not reach uploads that are repeated part by part,
// for which a Client of [New] has a second minio-go client; where it has to, use
// [Wrap].
func (c *Client) Raw() *minio.Client {
	if c == nil {
		return nil
	}
	return c.raw
}

// EndpointURL returns the URL of the endpoint, nil without a minio-go client.
func (c *Client) EndpointURL() *url.URL {
	if c.Raw() == nil {
		return nil
	}
	return c.raw.EndpointURL()
}

// healthBucket is the bucket that a health check asks for. It need not exist.
const healthBucket = "tidegate-health-check"

// HealthCheck asks the server for a bucket, past the policies. Good news is each
// answer that counts as a success of the server, such as that there is no such bucket,
// or AccessDenied. A failure, SlowDown and no answer at all are errors. It is meant for
// policies.BreakerConfig.HealthCheck. (minio-go's own HealthCheck sends nothing when
// a region is set, and MinIO's health endpoint answers before the server is ready.)
func (c *Client) HealthCheck(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	_, err := c.raw.BucketExists(ctx, healthBucket)
	if c.judge(ctx, Read, err).Class == middleware.Success {
		return nil
	}
	return err
}

func (c *Client) check() error {
	if c.Raw() == nil {
		return errNoClient
	}
	return nil
}
