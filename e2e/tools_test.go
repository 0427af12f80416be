//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nodeseal/nodeseal/internal/testenv"
)

// crioTools is the directory with crio and pinns: that of NODESEAL_CRIO, else the one of
// make e2e-tools. A test that compiled them would run into its time limit.
func crioTools(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("NODESEAL_CRIO")
	if dir == "" {
		dir = toolsDir(t)
	}
	for _, tool := range []string{"crio", "pinns"} {
		_, err := os.Stat(filepath.Join(dir, tool))
		testenv.Require(t, err == nil, "the test needs CRI-O, built by make e2e-tools: %v", err)
	}
	return dir
}

// toolsDir is where make e2e-tools builds programs.
func toolsDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../bin/tools")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// builtTool is a program of make e2e-tools.
func builtTool(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(toolsDir(t), name)
	_, err := os.Stat(path)
	testenv.Require(t, err == nil, "the test needs %s, built by make e2e-tools: %v", name, err)
	return path
}
