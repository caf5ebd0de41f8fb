//go:build !unix

package git

import "os/exec"

// ownGroup returns what ends p itself: there is no group to end.
func ownGroup(p *exec.Cmd) (terminate func() error) {
	return func() error { return p.Process.Kill() }
}

func killGroup(*exec.Cmd) {}
