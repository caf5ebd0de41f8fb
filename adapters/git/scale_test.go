package git

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidegate-go/tidegate/internal/gittest"
)

// The clone of a history that is long enough for several packets and a progress of
// many lines. BenchmarkRealClone makes a larger one, and takes the time.
func TestCloneOfAHistory(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewHistory(t, 600, 4<<10))
	dir := filepath.Join(t.TempDir(), "app")
	got, err := newClient(t, retry(), Config{}).Clone(bounded(t), s.Repo, dir, CloneOptions{})
	if err != nil {
		t.Fatal(err)
	}
	gittest.Whole(t, dir, s.Head(t))
	if n := gittest.Git(t, dir, "rev-list", "--count", "HEAD"); n != "600" || got.Bytes < 600*4<<10 {
		t.Errorf("%s commits in %d bytes, want 600 in %d or more", n, got.Bytes, 600*4<<10)
	}
}

const manyRefs = 100_000

// newManyRefs returns a repository with manyRefs branches besides main.
func newManyRefs(t testing.TB) string {
	t.Helper()
	dir := gittest.NewRepository(t)
	id := gittest.Git(t, dir, "rev-parse", "HEAD")
	var b strings.Builder
	b.WriteString("# pack-refs with: peeled fully-peeled sorted \n")
	for i := range manyRefs {
		fmt.Fprintf(&b, "%s refs/heads/topic/%06d\n", id, i)
	}
	if err := os.WriteFile(filepath.Join(dir, ".git", "packed-refs"), []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// What git writes about 100,000 refs is below the limit of its output.
func TestLsRemoteOfManyRefs(t *testing.T) {
	dir := newManyRefs(t)
	id := gittest.Git(t, dir, "rev-parse", "HEAD")
	got, err := newClient(t, nil, Config{}).LsRemote(bounded(t), dir, "refs/heads/*")
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != manyRefs+1 || got[0] != (Ref{"refs/heads/main", id}) {
		t.Fatalf("%d refs, the first is %v", len(got), got[0])
	}
	for i, r := range got[1:] {
		if want := (Ref{fmt.Sprintf("refs/heads/topic/%06d", i), id}); r != want {
			t.Fatalf("got %v, want %v", r, want)
		}
	}
}

// It allocates what it does for 100,000 refs at a time.
func BenchmarkLsRemoteOfManyRefs(b *testing.B) {
	dir := newManyRefs(b)
	client, err := New(nil, Config{Schemes: []string{"file"}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.LsRemote(b.Context(), dir); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/manyRefs, "ns/ref")
}
