// Package fips has the program follow the node's FIPS mode. Go's cryptography has a FIPS
// 140-3 mode of its own, which does not ask the kernel: a program on a node that was
// installed with fips=1 must be told.
package fips

import (
	"crypto/fips140"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// nodeFile is where the kernel says whether the node is in FIPS mode. Kernels without that
// mode have no such file.
const nodeFile = "/proc/sys/crypto/fips_enabled"

// State is in which mode a node and this program are.
type State struct {
	Node    bool `json:"node"`
	Program bool `json:"program"`
	// Module is the version of Go's cryptographic module; "latest" is one that came with
	// this version of Go and has no certificate of its own.
	Module string `json:"module"`
}

// Read returns the state of this machine.
func Read() State { return read(nodeFile) }

// read is Read with the kernel's answer in a file.
func read(path string) State {
	answer, err := os.ReadFile(path)
	return State{
		Node:    err == nil && strings.TrimSpace(string(answer)) == "1",
		Program: fips140.Enabled(),
		Module:  fips140.Version(),
	}
}

// Hook starts the program again in Go's FIPS mode, in the same process, if the node is in
// that mode and the program is not: the mode is fixed when a program starts. It then does
// not return. A value of fips140 in GODEBUG is kept.
func Hook() error {
	s := read(nodeFile)
	if s.Node && s.Program {
		rename("/proc/self/comm")
	}
	return enter(s, os.Environ(), unix.Exec)
}

// rename gives the process its name again, which is "exe" after it has started itself: people
// look for it by name, and so does the journal.
func rename(comm string) {
	if name, err := os.ReadFile(comm); err != nil || strings.TrimSpace(string(name)) != "exe" {
		return
	}
	_ = os.WriteFile(comm, []byte(filepath.Base(os.Args[0])), 0o644) // a name only
}

// enter is Hook with what it reads and calls.
func enter(s State, env []string, exec func(path string, args, env []string) error) error {
	if !s.Node || s.Program {
		return nil
	}
	const variable, setting = "GODEBUG=", "fips140=on"
	next := make([]string, 0, len(env)+1)
	debug := setting
	for _, v := range env {
		settings, ok := strings.CutPrefix(v, variable)
		switch {
		case !ok:
			next = append(next, v)
		case strings.Contains(settings, "fips140="):
			return nil
		case settings != "":
			debug = settings + "," + setting
		}
	}
	if err := exec("/proc/self/exe", os.Args, append(next, variable+debug)); err != nil {
		return fmt.Errorf("starting again in FIPS mode: %w", err)
	}
	return nil
}
