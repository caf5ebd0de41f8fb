//go:build real

package main

import "syscall"

// diesWithParent ends a server when the test's process ends without a chance to clean up.
func diesWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
