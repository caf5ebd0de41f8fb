package observability

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/tidegate-go/tidegate/middleware"
)

// A profile is what an observer knows of a chain before its first call.
type profile struct {
	chain    string
	policies attribute.KeyValue
	timeouts []limit
	names    cache[string, *name]
}

// A name is the name of a span with the attributes that a sampler may look at.
type name struct {
	text  string
	start []trace.SpanStartOption
}

// A limit is a timeout of a chain, which may stand around its retries or inside.
type limit struct {
	policy string
	length time.Duration
	inside bool
}

func newProfile(c *middleware.Chain) *profile {
	p := &profile{chain: c.Name()}
	var names []string
	retries := false
	for _, policy := range c.Policies() {
		named, ok := policy.(interface{ Name() string })
		if !ok {
			continue
		}
		names = append(names, named.Name())
		switch policy := policy.(type) {
		case interface{ Attempts() int }:
			retries = true
		case interface{ Limit() time.Duration }:
			p.timeouts = append(p.timeouts, limit{named.Name(), policy.Limit(), retries})
		}
	}
	p.policies = keyPolicies.StringSlice(names)
	return p
}

// name returns the name of the span of an operation.
func (p *profile) name(operation string) *name {
	if n, ok := p.names.load(operation); ok {
		return n
	}
	text, attributes := p.chain, []attribute.KeyValue{keyChain.String(p.chain)}
	if operation != "" {
		text += " " + operation
		attributes = append(attributes, keyOperation.String(operation))
	}
	return p.names.store(operation, &name{text, []trace.SpanStartOption{trace.WithAttributes(attributes...)}})
}

// scope says what the timeout of e limits: an attempt or the whole operation. It
// is empty when two timeouts of the chain cannot be told apart.
func (p *profile) scope(e middleware.Event) string {
	inside, outside := e.Attempt > 1, false
	for _, t := range p.timeouts {
		if t.policy == e.Policy && t.length == e.Wait {
			inside, outside = inside || t.inside, outside || !t.inside
		}
	}
	switch {
	case e.Attempt > 1, inside && !outside:
		return "attempt"
	case outside && !inside:
		return "operation"
	default:
		return ""
	}
}
