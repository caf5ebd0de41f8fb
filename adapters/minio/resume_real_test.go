//go:build real

package minio

import (
	"testing"
)

func TestRealResume(t *testing.T) {
	for _, s := range realServers {
		t.Run(s.program, func(t *testing.T) {
			s.find(t)
			address := freeAddress(t)
			s.start(t, t.TempDir(), address)
			resume(t, address, s.options(t))
		})
	}
}
