package main

import (
	_ "embed"
	"errors"
	"net/http"
	"os"
	"time"

	miniogo "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/tidegate-go/tidegate"
	"github.com/tidegate-go/tidegate/adapters/git"
	"github.com/tidegate-go/tidegate/adapters/minio"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/observability"
	"github.com/tidegate-go/tidegate/policies"
)

//go:embed tidegate.yaml
var settings []byte

// What the program is let in with. The servers take anything, but nothing of it may come
// out in a trace.
const (
	secretKey = "the-secret-key-of-the-demonstration"
	token     = "the-token-of-the-demonstration"
	password  = "the-password-of-the-demonstration"
)

// clients are how the program reaches its dependencies: each through the service
// of that name.
type clients struct {
	manager     *tidegate.Manager
	git         *git.Client
	s3, standby *minio.Client
	web         *http.Client // by way of the service http, to tell the backup service something
	records     *http.Client // to ask it
	transports  []*http.Transport
}

// newClients makes the services from tidegate.yaml and the clients upon them. Time
// limits are slack times as long as it says.
func newClients(s *stage, slack int, observer *observability.Observer, others ...middleware.Observer) (*clients, error) {
	// The variables that Tidegate reads elsewhere could make the breakers wait for minutes.
	config, err := tidegate.ParseConfig("tidegate.yaml", settings, nil)
	if err != nil {
		return nil, err
	}
	for name, service := range config.Services {
		service.AttemptTimeout *= time.Duration(slack)
		service.Breaker.Timeout *= time.Duration(slack)
		service.Breaker.RecoveryTime *= time.Duration(slack)
		config.Services[name] = service
	}
	options := []tidegate.Option{tidegate.WithObserver(observer)}
	for _, o := range others {
		options = append(options, tidegate.WithObserver(o))
	}
	c := new(clients)
	if c.manager, err = tidegate.New(config, options...); err != nil {
		return nil, err
	}
	if err := errors.Join(c.connect(s, observer), c.askRecords(slack)); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func (c *clients) connect(s *stage, observer *observability.Observer) error {
	chains := map[string]*middleware.Chain{}
	for _, service := range c.manager.Services() {
		chains[service.Name()] = service.Chain()
	}
	var err error
	if c.git, err = git.New(chains["git"], git.Config{
		Schemes: []string{"http"}, Grace: time.Second,
		Credentials: git.Credentials{Username: "demo", Password: password},
		// The servers are on this machine, whatever the user's settings say.
		Env: []string{"no_proxy=127.0.0.1", "NO_PROXY=127.0.0.1", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull},
	}); err != nil {
		return err
	}
	bucket := func(d *dependency) (*minio.Client, error) {
		return minio.New(d.Addr(), miniogo.Options{
			Creds:     credentials.NewStaticV4("demo", secretKey, ""),
			Secure:    true,
			Region:    "us-east-1",
			Transport: observer.Transport(c.transport(&http.Transport{TLSClientConfig: s.certificate.Client(), DisableCompression: true})),
		}, chains[d.name])
	}
	if c.s3, err = bucket(s.s3); err != nil {
		return err
	}
	if c.standby, err = bucket(s.standby); err != nil {
		return err
	}
	web, err := c.manager.Service("http")
	if err != nil {
		return err
	}
	c.web = web.HTTPClient(&http.Client{Transport: c.transport(&http.Transport{})})
	return nil
}

// askRecords makes the service for questions. They are cheap and change nothing: one that
// is not answered soon is asked again beside it, and there are 10 in a second at the most.
// The file has no keys for hedges, so its chain is put together here.
func (c *clients) askRecords(slack int) error {
	records, err := c.manager.AddChain("records",
		policies.NewHedge(policies.HedgeConfig{Delay: time.Duration(slack) * 250 * time.Millisecond}),
		policies.NewRateLimit(policies.RateLimitConfig{Rate: 10, Burst: 4, MaxWait: time.Duration(slack) * time.Second}),
		policies.NewTimeout(policies.TimeoutConfig{Name: "attempt_timeout", Limit: time.Duration(slack) * time.Second}),
	)
	if err != nil {
		return err
	}
	c.records = records.HTTPClient(&http.Client{Transport: c.transport(&http.Transport{})})
	return nil
}

func (c *clients) transport(t *http.Transport) *http.Transport {
	c.transports = append(c.transports, t)
	return t
}

// forget closes the connections that no call uses, so that the next call has to
// make one.
func (c *clients) forget() {
	for _, t := range c.transports {
		t.CloseIdleConnections()
	}
}

func (c *clients) close() error {
	c.forget()
	return c.manager.Close()
}
