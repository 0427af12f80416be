//go:build e2evm

package vm

import (
	"fmt"
	"os"
	"testing"
)

// TestMain gives the tests a directory for what they have in common. Sockets have short paths.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "nsvm")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	common.dir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}
