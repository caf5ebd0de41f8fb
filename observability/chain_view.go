package observability

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// A chainView is a chain as the page draws it: its policies, outermost first.
type chainView struct {
	Name     string       `json:"name"`
	Policies []policyView `json:"policies"`
}

// A policyView is a policy with its settings and readings.
type policyView struct {
	Type     string        `json:"type"`
	Name     string        `json:"name,omitempty"`
	Settings []settingView `json:"settings,omitempty"`
	Readings []readingView `json:"readings,omitempty"`
	Running  int           `json:"running,omitempty"`
	Waiting  int           `json:"waiting,omitempty"`
	Note     *noteView     `json:"note,omitempty"`
	Circuit  *circuitView  `json:"circuit,omitempty"`

	// Keys are what a policy for each key consists of, those in trouble first; More says
	// how many are left out.
	Keys []keyView `json:"keys,omitempty"`
	More int       `json:"more,omitempty"`
}

type keyView struct {
	Key      string       `json:"key"`
	Policies []policyView `json:"policies"`
}

type settingView struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type readingView struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

// A noteView says what there is to know of a policy that is no circuit.
type noteView struct {
	Text string `json:"text"`
	Warn bool   `json:"warn,omitempty"`
}

type circuitView struct {
	State  string      `json:"state"`
	Since  time.Time   `json:"since,omitzero"`
	Share  float64     `json:"share"`
	Opened time.Time   `json:"opened,omitzero"`
	Until  time.Time   `json:"until,omitzero"`
	Reason string      `json:"reason,omitempty"`
	Opener string      `json:"opened_by,omitempty"`
	Times  []timeInUse `json:"times,omitempty"`
}

type timeInUse struct {
	State   string  `json:"state"`
	Seconds float64 `json:"seconds"`
}

// viewKeys is how many keys of a policy are shown.
const viewKeys = 50

// chain answers with the chain of a service.
func (p *page) chain(w http.ResponseWriter, r *http.Request) {
	c := p.chainOf(r.URL.Query().Get("service"))
	if c == nil {
		writeJSON(w, http.StatusNotFound, refusal{"there is no such service"})
		return
	}
	writeJSON(w, http.StatusOK, viewChain(c))
}

func viewChain(c *middleware.Chain) chainView {
	v := chainView{Name: c.Name(), Policies: []policyView{}}
	for _, policy := range c.Policies() {
		r, ok := policy.(middleware.Reporter)
		if !ok {
			if kind := kindOf(policy); kind != "" {
				v.Policies = append(v.Policies, policyView{Type: kind})
			}
			continue
		}
		first := len(v.Policies)
		for report := range r.Reports {
			if report.Key == "" || len(v.Policies) == first {
				v.Policies = append(v.Policies, viewPolicy(report))
				continue
			}
			outer := &v.Policies[len(v.Policies)-1]
			if n := len(outer.Keys); n == 0 || outer.Keys[n-1].Key != report.Key {
				outer.Keys = append(outer.Keys, keyView{Key: report.Key})
			}
			inner := &outer.Keys[len(outer.Keys)-1]
			inner.Policies = append(inner.Policies, viewPolicy(report))
		}
		for i := range v.Policies[first:] {
			v.Policies[first+i].cutKeys()
		}
	}
	return v
}

// kindOf names a policy that makes no report. It is "" for one of the project's own, which
// are there to observe.
func kindOf(policy middleware.Policy) string {
	t := reflect.TypeOf(policy)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.PkgPath() {
	case reflect.TypeFor[middleware.Chain]().PkgPath(), scope, strings.TrimSuffix(scope, "/observability"):
		if t == reflect.TypeFor[middleware.PolicyFunc]() {
			return "function"
		}
		return ""
	default:
		return t.String()
	}
}

func viewPolicy(r middleware.Report) policyView {
	v := policyView{Type: r.Type, Name: r.Name, Running: r.Running, Waiting: r.Waiting}
	for _, s := range r.Settings {
		v.Settings = append(v.Settings, settingView(s))
	}
	for _, n := range r.Readings {
		if n.Value-n.Value == 0 { // neither infinite nor no number
			v.Readings = append(v.Readings, readingView(n))
		}
	}
	if text, status := noteOf(r); text != "" {
		v.Note = &noteView{text, status != Pass}
	}
	if c := r.Breaker; c != nil {
		v.Circuit = &circuitView{
			State: c.State, Since: c.Since, Share: c.Share, Opened: c.Opened, Until: c.Until, Reason: c.Reason, Opener: c.Opener,
		}
		for _, t := range c.Times {
			v.Circuit.Times = append(v.Circuit.Times, timeInUse{t.State, t.Time.Seconds()})
		}
	}
	return v
}

// cutKeys sorts the keys, those in trouble first, and leaves out what is too much.
func (v *policyView) cutKeys() {
	slices.SortStableFunc(v.Keys, func(a, b keyView) int {
		return b.trouble() - a.trouble()
	})
	if len(v.Keys) > viewKeys {
		v.More = len(v.Keys) - viewKeys
		v.Keys = v.Keys[:viewKeys]
	}
}

func (k keyView) trouble() int {
	trouble := 0
	for _, p := range k.Policies {
		if p.Circuit != nil && (p.Circuit.State != stateClosed || p.Circuit.Share < 1) {
			trouble = 2
		}
		if p.Note != nil && p.Note.Warn {
			trouble = 2
		}
		if p.Waiting > 0 {
			trouble = max(trouble, 1)
		}
	}
	return trouble
}
