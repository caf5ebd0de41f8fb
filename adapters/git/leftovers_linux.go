package git

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// isOurs reports whether the lock can be of this process' own git, and whether it
// can be found out who else uses it.
func isOurs(path string) bool {
	info, err := os.Lstat(path)
	if err != nil {
		return false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(s.Uid) == os.Geteuid() && isDir("/proc/self/fd")
}

// inUse reports whether a living process has the file open, or a git runs in one
// of the places. A process in another container, or on another machine that
// shares the disk, is not seen.
func inUse(path string, places []string) bool {
	if isOpen(path) {
		return true
	}
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range processes {
		name, err := os.ReadFile(filepath.Join(p, "comm"))
		if err != nil || !strings.HasPrefix(string(name), "git") {
			continue
		}
		at, err := os.Readlink(filepath.Join(p, "cwd"))
		if err != nil {
			continue
		}
		for _, top := range places {
			if at == top || strings.HasPrefix(at, top+string(filepath.Separator)) {
				return true
			}
		}
	}
	return false
}

// isOpen reports whether a process that can be seen has the file open.
func isOpen(path string) bool {
	path = from("", path) // as the system calls it
	files, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, f := range files {
		if to, err := os.Readlink(f); err == nil && to == path {
			return true
		}
	}
	return false
}
