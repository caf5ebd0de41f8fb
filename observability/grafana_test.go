package observability

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

// A dashboard is what the tests look at in the JSON.
type dashboard struct {
	UID           string `json:"uid"`
	SchemaVersion int    `json:"schemaVersion"`
	Inputs        []struct {
		Name     string `json:"name"`
		PluginID string `json:"pluginId"`
	} `json:"__inputs"`
	Requires []struct {
		Type string `json:"type"`
		ID   string `json:"id"`
	} `json:"__requires"`
	Templating struct {
		List []struct {
			Name string `json:"name"`
		} `json:"list"`
	} `json:"templating"`
	Panels []gridPanel `json:"panels"`
}

type gridPanel struct {
	ID    int    `json:"id"`
	Type  string `json:"type"`
	Title string `json:"title"`
	Grid  grid   `json:"gridPos"`

	Targets []struct {
		Expr     string `json:"expr"`
		Exemplar bool   `json:"exemplar"`
	} `json:"targets"`
}

// A grid is 24 columns wide.
type grid struct {
	X int `json:"x"`
	Y int `json:"y"`
	W int `json:"w"`
	H int `json:"h"`
}

func (g grid) overlaps(o grid) bool {
	return g.X < o.X+o.W && o.X < g.X+g.W && g.Y < o.Y+o.H && o.Y < g.Y+g.H
}

func TestDashboard(t *testing.T) {
	text := readText(t, dashboardFile)
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if d.UID != "tidegate" || d.SchemaVersion != 41 {
		t.Errorf("uid %q and schemaVersion %d: links of users and imports rely on them", d.UID, d.SchemaVersion)
	}
	if len(d.Inputs) != 1 || d.Inputs[0].Name != "DS_PROMETHEUS" || d.Inputs[0].PluginID != "prometheus" {
		t.Errorf("inputs %+v", d.Inputs)
	}
	required := map[string]bool{"row": true}
	for _, r := range d.Requires {
		if r.Type == "panel" {
			required[r.ID] = true
		}
	}
	ids := map[int]string{}
	for i, p := range d.Panels {
		if other, ok := ids[p.ID]; ok || p.ID == 0 {
			t.Errorf("%q has the id %d, as %q", p.Title, p.ID, other)
		}
		ids[p.ID] = p.Title
		if p.Title == "" || !required[p.Type] {
			t.Errorf("panel %d has the title %q and the type %q, which the dashboard must require", p.ID, p.Title, p.Type)
		}
		if g := p.Grid; g.W < 1 || g.H < 1 || g.X < 0 || g.Y < 0 || g.X+g.W > 24 {
			t.Errorf("%q is at %+v", p.Title, g)
		}
		for _, o := range d.Panels[:i] {
			if p.Grid.overlaps(o.Grid) {
				t.Errorf("%q and %q overlap", p.Title, o.Title)
			}
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("%q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			if target.Exemplar != (strings.Contains(target.Expr, "0.95") && strings.Contains(target.Expr, "_duration_seconds_bucket") && !strings.Contains(target.Expr, "wait")) {
				t.Errorf("%q: %s: exemplars are %v; the latency has them, once", p.Title, target.Expr, target.Exemplar)
			}
		}
	}
	variables := map[string]bool{"__value": true, "__rate_interval": true, "__range": true, "__all": true}
	for _, v := range d.Templating.List {
		variables[v.Name] = true
	}
	for _, m := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(string(text), -1) {
		if !variables[m[1]] {
			t.Errorf("there is no variable %s", m[0])
		}
	}
	if want := `"${jaeger}/trace/${__value.raw}"`; !strings.Contains(string(text), want) {
		t.Errorf("no link has the URL %s", want)
	}
}

// Whatever is measured is shown.
func TestDashboardShowsEachInstrument(t *testing.T) {
	text := readText(t, dashboardFile)
	families := regexp.MustCompile(`(?m)^# TYPE (\w+) `).FindAllStringSubmatch(string(readText(t, "prometheus/metrics.golden")), -1)
	if len(families) != 13 {
		t.Errorf("there are %d instruments, want 13", len(families))
	}
	for _, m := range families {
		if !regexp.MustCompile(`\b` + m[1] + `(_bucket|_sum|_count)?\{`).Match(text) {
			t.Errorf("the dashboard does not show %s", m[1])
		}
	}
}
