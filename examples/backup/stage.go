package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"

	"github.com/tidegate-go/tidegate/examples/backup/internal/ledger"
	"github.com/tidegate-go/tidegate/examples/backup/internal/loopback"
	"github.com/tidegate-go/tidegate/examples/backup/internal/repository"
	"github.com/tidegate-go/tidegate/examples/backup/internal/vault"
	"github.com/tidegate-go/tidegate/internal/injector"
)

const (
	project  = "github.com/tidegate-go/tidegate"
	repoName = "project.git"
)

// A stage is everything that the program talks to: four servers of this process
// on loopback, each behind an injector of faults.
type stage struct {
	repository            *repository.Repository
	ledger                *ledger.Ledger
	certificate           *loopback.Certificate
	git, s3, standby, web *dependency
}

// A dependency is a server and the only way to it.
type dependency struct {
	*injector.Injector
	name   string // of the service that calls it
	server *loopback.Server
}

// newStage starts the servers. dir holds the repository. On an error nothing runs.
func newStage(ctx context.Context, dir, source, module string) (*stage, error) {
	s := &stage{ledger: ledger.New()}
	var err error
	if s.repository, err = repository.Open(ctx, dir, repoName, source, module); err != nil {
		return nil, err
	}
	backend, err := s.repository.Backend(ctx)
	if err != nil {
		return nil, err
	}
	if s.certificate, err = loopback.NewCertificate(); err != nil {
		return nil, err
	}
	for _, d := range []struct {
		to      **dependency
		name    string
		handler http.Handler
		config  *tls.Config
	}{
		{&s.git, "git", backend, nil},
		{&s.s3, "s3", vault.Handler(), s.certificate.Server()},
		{&s.standby, "standby", vault.Handler(), s.certificate.Server()},
		{&s.web, "http", s.ledger.Handler(), nil},
	} {
		if *d.to, err = start(d.name, d.handler, d.config); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, nil
}

func start(name string, handler http.Handler, config *tls.Config) (*dependency, error) {
	d := &dependency{Injector: injector.New(), name: name}
	var err error
	if d.server, err = loopback.Serve(d.Handler(handler), config); err != nil {
		return nil, err
	}
	if err := d.Start(d.server.Addr()); err != nil {
		return nil, errors.Join(err, d.server.Close())
	}
	return d, nil
}

// close stops the servers and waits for their ends.
func (s *stage) close() error {
	var errs []error
	for _, d := range []*dependency{s.git, s.s3, s.standby, s.web} {
		if d != nil {
			d.Close()
			errs = append(errs, d.server.Close())
		}
	}
	return errors.Join(errs...)
}
