package ledger

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLedger(t *testing.T) {
	l := New()
	handler := l.Handler()
	for _, row := range []struct {
		name, method, path, key, body string
		status                        int
		id                            string
	}{
		{"health", "GET", "/healthz", "", "", 204, ""},
		{"nothing yet", "GET", "/backups/b1", "", "", 404, ""},
		{"no key", "POST", "/backups", "", `{"object":"x"}`, 400, ""},
		{"no JSON", "POST", "/backups", "k0", `x`, 400, ""},
		{"too long", "POST", "/backups", "k0", `{"object":"` + strings.Repeat("x", maxRecord) + `"}`, 400, ""},
		{"first", "POST", "/backups", "k1", `{"object":"x"}`, 201, "b1"},
		{"again", "POST", "/backups", "k1", `{"object":"x"}`, 200, "b1"},
		{"second", "POST", "/backups", "k2", `{"object":"y"}`, 201, "b2"},
		{"find", "GET", "/backups/b2", "", "", 200, "b2"},
		{"other method", "DELETE", "/backups/b2", "", "", 405, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := httptest.NewRequest(row.method, row.path, strings.NewReader(row.body))
			if row.key != "" {
				r.Header.Set("Idempotency-Key", row.key)
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != row.status {
				t.Fatalf("status %d, want %d", w.Code, row.status)
			}
			if row.id == "" {
				return
			}
			var record Record
			if err := json.Unmarshal(w.Body.Bytes(), &record); err != nil || record.ID != row.id {
				t.Errorf("got %+v, %v, want the id %s", record, err, row.id)
			}
			if at := w.Header().Get("Location"); row.method == http.MethodPost && at != "/backups/"+row.id {
				t.Errorf("Location %q", at)
			}
		})
	}
	if records, posts := l.Counts(); records != 2 || posts != 3 {
		t.Errorf("%d records of %d posts, want 2 of 3", records, posts)
	}
}
