package tidegate

import (
	"log/slog"
	"math"

	"github.com/tidegate-go/tidegate/internal/advice"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// WithLogger makes l hear of what is doubtful in how the policies of a service go together
// (see [middleware.Chain.Check]), when the service is made or changed. Without it that is
// [slog.Default]; with a nil l nothing is logged.
func WithLogger(l *slog.Logger) Option { return func(m *Manager) { m.logger = l } }

// compose returns a problem for what is impossible about the policies that c, which is
// resolved, asks for.
func (c ServiceConfig) compose(name string) []problem {
	for _, b := range []**policies.Budget{&c.Retry.Budget, &c.Hedge.Budget} {
		if *b != nil { // which would take the policies that are about to be made for its users
			like := policies.BudgetConfig{}
			if (*b).Status().Left == math.MaxInt {
				like.Ratio = -1
			}
			*b = policies.NewBudget(like)
		}
	}
	p := new(parts)
	p.fit(c)
	findings := middleware.NewChain(name, &p.slot).Check()
	for i, f := range findings { // which the settings have brought about
		findings[i].Fix = advice.Fix(f)
	}
	return impossible(name, findings)
}

func impossible(name string, findings []middleware.Finding) []problem {
	var problems []problem
	for _, f := range findings {
		if f.Severity == middleware.Impossible {
			problems = append(problems, problem{service: name, says: f.Problem, fix: f.Fix, rule: f.Rule, settings: advice.Settings(f)})
		}
	}
	return problems
}

// warn tells of what is doubtful about the policies of a service, and was not before.
func (s *Service) warn(l *slog.Logger) {
	if l == nil {
		return
	}
	doubts := map[string]bool{}
	before := s.doubts.Load()
	for _, f := range s.chain.Check() {
		if f.Severity != middleware.Doubtful {
			continue
		}
		doubts[f.String()] = true
		if before == nil || !(*before)[f.String()] {
			l.Warn("tidegate: doubtful policies", "service", s.name, "rule", f.Rule, "policies", f.Policies, "problem", f.Problem, "fix", f.Fix)
		}
	}
	s.doubts.Store(&doubts)
}
