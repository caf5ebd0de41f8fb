package git

import (
	"io"
	"os"
	"os/exec"
	"runtime"
	"time"
)

// linger is how long to read on when git's group has gone but some other
// process, a connection that ssh shares for instance, still holds its output.
const linger = time.Second

// supervise runs p to the end of its process group, which the context of p, that
// stop ends, may bring about. It returns the exit status, -1 if there is none, and
// why there is none.
func (c *Client) supervise(p *exec.Cmd, stop func(), stdout, stderr io.Writer) (int, error) {
	// With pipes of our own, p.Wait waits for git alone and not for what may
	// inherit its output.
	out, err := newPipe()
	if err != nil {
		return -1, err
	}
	errs, err := newPipe()
	if err != nil {
		out.close()
		return -1, err
	}
	p.Stdout, p.Stderr = out.w, errs.w
	var asked time.Time
	terminate := ownGroup(p)
	p.Cancel = func() error {
		asked = time.Now()
		return terminate()
	}
	p.WaitDelay = c.config.Grace // then git is killed

	if err := p.Start(); err != nil {
		out.close()
		errs.close()
		return -1, err
	}
	out.copyTo(stdout, stop)
	errs.copyTo(stderr, stop)
	err = p.Wait()
	if !asked.IsZero() {
		// The helpers end by themselves, or are killed next.
		over := make(chan struct{})
		rest := time.AfterFunc(c.config.Grace-time.Since(asked), func() { close(over) })
		out.wait(over)
		errs.wait(over)
		rest.Stop()
	}
	killGroup(p)
	late := time.AfterFunc(linger, func() {
		out.r.Close()
		errs.r.Close()
	})
	<-out.done
	<-errs.done
	late.Stop()
	out.again()
	errs.again()

	code := p.ProcessState.ExitCode()
	if code >= 0 {
		err = nil // it ended by itself, even if it had been asked to
	}
	return code, err
}

// A pipe carries one output of git. The goroutine that reads it ends when the
// last writer has gone or r is closed.
type pipe struct {
	r, w *os.File
	done chan struct{}

	broken   bool // the writer of the user's did not return
	panicked any  // with this
}

func newPipe() (*pipe, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	return &pipe{r: r, w: w, done: make(chan struct{})}, nil
}

func (p *pipe) close() {
	p.r.Close()
	p.w.Close()
}

// copyTo starts to read, after git has got its end of the pipe. When to, which may
// be the user's, panics, git is stopped.
func (p *pipe) copyTo(to io.Writer, stop func()) {
	p.w.Close()
	go func() {
		defer close(p.done)
		defer p.r.Close() // git is told when its output is not wanted any more
		p.broken = true
		defer func() {
			if p.broken {
				p.panicked = recover()
				stop()
			}
		}()
		_, _ = io.Copy(to, p.r)
		p.broken = false
	}()
}

// again raises in the goroutine of the call what to has raised.
func (p *pipe) again() {
	switch {
	case p.panicked != nil:
		panic(p.panicked)
	case p.broken:
		runtime.Goexit()
	}
}

func (p *pipe) wait(limit <-chan struct{}) {
	select {
	case <-p.done:
	case <-limit:
	}
}
