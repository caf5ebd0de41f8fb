package repository

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
)

const (
	generatedCommits = 6
	generatedFiles   = 5         // in each commit
	generatedBytes   = 128 << 10 // in each file
)

// generate makes a repository with a few commits and a few megabytes of random
// data, the same on every machine.
func (r *Repository) generate(ctx context.Context) error {
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return err
	}
	if _, err := git(ctx, r.dir, nil, "init", "--quiet", "--bare"); err != nil {
		return err
	}
	if _, err := git(ctx, r.dir, nil, "symbolic-ref", "HEAD", "refs/heads/main"); err != nil {
		return err
	}
	var history bytes.Buffer
	random := rand.NewChaCha8([32]byte([]byte("a repository for a demonstration")))
	for n := 1; n <= generatedCommits; n++ {
		message := fmt.Sprintf("Commit %d of %d", n, generatedCommits)
		fmt.Fprintf(&history, "commit refs/heads/main\ncommitter Demo <demo@example.com> %d +0000\ndata %d\n%s\n", 1767225600+n*3600, len(message), message)
		for file := 1; file <= generatedFiles; file++ {
			fmt.Fprintf(&history, "M 100644 inline data/%d-%d.bin\ndata %d\n", n, file, generatedBytes)
			content := make([]byte, generatedBytes)
			_, _ = random.Read(content)
			history.Write(content)
			history.WriteByte('\n')
		}
	}
	_, err := git(ctx, r.dir, &history, "fast-import", "--quiet")
	return err
}
