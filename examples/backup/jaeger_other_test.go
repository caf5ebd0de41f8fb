//go:build real && !linux

package main

import "syscall"

// diesWithParent is only known on Linux: elsewhere a test that panics leaves its servers.
func diesWithParent() *syscall.SysProcAttr { return nil }
