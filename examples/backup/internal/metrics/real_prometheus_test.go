//go:build real

package metrics_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/internal/pinned"
)

// A prometheus is a real one, on a port of the loopback interface until the test ends.
type prometheus struct {
	url    string
	client *http.Client

	mu  sync.Mutex
	log strings.Builder
}

// startPrometheus lets it scrape target and evaluate the rules, both five times a second.
func startPrometheus(t *testing.T, target string, rules []byte) *prometheus {
	t.Helper()
	dir := t.TempDir()
	config := fmt.Sprintf(`
global: {scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}
rule_files: [rules.yaml]
scrape_configs: [{job_name: staged, static_configs: [{targets: [%q]}]}]
`, target)
	for name, text := range map[string][]byte{"rules.yaml": rules, "prometheus.yaml": []byte(config)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	program := exec.CommandContext(ctx, pinned.Program(t, "prometheus"),
		"--config.file="+filepath.Join(dir, "prometheus.yaml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address=127.0.0.1:0")
	program.Cancel = func() error { return program.Process.Signal(syscall.SIGTERM) }
	program.WaitDelay = 10 * time.Second
	stderr, err := program.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	p := &prometheus{client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}}
	address := make(chan string, 1)
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(address)
		listening := regexp.MustCompile(`msg="Listening on".* address=(\S+)`)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			p.mu.Lock()
			p.log.WriteString(lines.Text() + "\n")
			p.mu.Unlock()
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				select {
				case address <- m[1]:
				default:
				}
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-read
		_ = program.Wait()
		if t.Failed() {
			t.Log(p.said())
		}
	})
	a, ok := <-address
	if !ok {
		t.Fatalf("prometheus has ended:\n%s", p.said())
	}
	p.url = "http://" + a
	return p
}

func (p *prometheus) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// get asks the API. It is an error too when Prometheus is not ready yet.
func (p *prometheus) get(ctx context.Context, path string, query url.Values, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/api/v1/"+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, text)
	}
	return json.Unmarshal(text, &struct {
		Data any `json:"data"`
	}{into})
}

// firing returns the alerts that fire, as "name chain policy".
func (p *prometheus) firing(ctx context.Context) (map[string]bool, error) {
	var answer struct {
		Alerts []struct {
			State  string            `json:"state"`
			Labels map[string]string `json:"labels"`
		} `json:"alerts"`
	}
	err := p.get(ctx, "alerts", nil, &answer)
	all := map[string]bool{}
	for _, a := range answer.Alerts {
		if a.State == "firing" {
			all[alertName(a.Labels)] = true
		}
	}
	return all, err
}

// query returns the values of an instant query by the alert that their labels name.
func (p *prometheus) query(ctx context.Context, query string) (map[string]string, error) {
	var answer struct {
		Result []struct {
			Metric map[string]string `json:"metric"`
			Value  [2]any            `json:"value"`
		} `json:"result"`
	}
	err := p.get(ctx, "query", url.Values{"query": {query}}, &answer)
	all := map[string]string{}
	for _, r := range answer.Result {
		all[alertName(r.Metric)] = fmt.Sprint(r.Value[1])
	}
	return all, err
}

func alertName(labels map[string]string) string {
	return strings.Join(strings.Fields(strings.TrimPrefix(labels["alertname"], "Tidegate")+" "+labels["chain"]+" "+labels["policy"]), " ")
}
