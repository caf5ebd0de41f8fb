//go:build real

package kubernetes_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
)

// A process is a server that runs as a process of its own.
type process struct {
	cmd    *exec.Cmd
	log    string
	exited chan struct{} // closed when it has ended
}

// startProcess starts a program that writes to the file log.
func startProcess(program, log string, args ...string) (*process, error) {
	output, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	p := &process{cmd: exec.Command(program, args...), log: log, exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = output, output
	p.cmd.SysProcAttr = diesWithParent()
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// run starts the program and waits for its end.
func (p *process) run(started chan<- error) {
	// For Linux the parent is the thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.exited)
	err := p.cmd.Start()
	started <- err
	if err == nil {
		p.cmd.Wait()
	}
}

// kill ends the process, if it has not ended, and waits for its end.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.exited
}

// tail returns the end of what the process wrote.
func (p *process) tail() string {
	const most = 4 << 10
	text, err := os.ReadFile(p.log)
	if err != nil {
		return fmt.Sprint(err)
	}
	return string(text[max(0, len(text)-most):])
}
