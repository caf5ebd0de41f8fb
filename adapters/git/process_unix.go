//go:build unix

package git

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// ownGroup makes p the leader of a process group of its own, and returns what
// asks the group to end.
func ownGroup(p *exec.Cmd) (terminate func() error) {
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return func() error { return signalGroup(p, syscall.SIGTERM) }
}

// killGroup ends what is left of the group of p.
func killGroup(p *exec.Cmd) { _ = signalGroup(p, syscall.SIGKILL) }

func signalGroup(p *exec.Cmd, s syscall.Signal) error {
	err := syscall.Kill(-p.Process.Pid, s)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}
