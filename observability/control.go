package observability

import (
	"encoding/json"
	"mime"
	"net/http"
	"slices"

	"github.com/tidegate-go/tidegate/middleware"
)

// An order is what a reader of the page may ask for.
type order struct {
	Service string `json:"service"`
	Action  string `json:"action"`
}

// orderLimit is how many bytes an order may have.
const orderLimit = 4 << 10

// control does what a reader has ordered. What comes of it is in the history, as the
// transition of the breaker.
func (p *page) control(w http.ResponseWriter, r *http.Request) {
	if !p.auth(r) {
		writeJSON(w, http.StatusForbidden, refusal{"you are not authorised to control services"})
		return
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" { // no form can send it
		writeJSON(w, http.StatusUnsupportedMediaType, refusal{"an order is application/json"})
		return
	}
	var o order
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, orderLimit))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&o); err != nil {
		writeJSON(w, http.StatusBadRequest, refusal{`an order is {"service": "...", "action": "..."}`})
		return
	}
	act, chain := actions[o.Action], p.chainOf(o.Service)
	switch {
	case act == nil:
		writeJSON(w, http.StatusBadRequest, refusal{"action must be reset, force_open or release"})
	case chain == nil:
		writeJSON(w, http.StatusNotFound, refusal{"there is no such service"})
	case !hasBreaker(chain):
		writeJSON(w, http.StatusConflict, refusal{"the service has no breaker, or none yet"})
	case act(p.manager, o.Service) != nil: // the text of an error may hold a secret
		writeJSON(w, http.StatusConflict, refusal{"the service did not do it"})
	default:
		writeJSON(w, http.StatusOK, o)
	}
}

func hasBreaker(c *middleware.Chain) bool {
	return slices.ContainsFunc(reportsOf(c), func(r middleware.Report) bool { return r.Breaker != nil })
}

var actions = map[string]func(Manager, string) error{
	"reset":      Manager.Reset,
	"force_open": Manager.ForceOpen,
	"release":    Manager.Release,
}

// chains returns the chains of the manager, one for each name.
func (p *page) chains() []*middleware.Chain {
	seen := make(map[string]bool)
	var all []*middleware.Chain
	for _, c := range chainsOf(p.manager) {
		if c != nil && !seen[c.Name()] {
			seen[c.Name()] = true
			all = append(all, c)
		}
	}
	return all
}

func (p *page) chainOf(service string) *middleware.Chain {
	for _, c := range p.chains() {
		if c.Name() == service {
			return c
		}
	}
	return nil
}
