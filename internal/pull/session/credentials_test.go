package session

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/types"

	"github.com/nodeseal/nodeseal/internal/pull/mirrors"
)

// TestHelperHangs has a credential helper that never answers, with a child of its own, and one that does.
func TestHelperHangs(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	pidFile := filepath.Join(bin, "pid")
	write(t, filepath.Join(bin, "docker-credential-hangs"), "#!/bin/sh\nsleep 100000 &\necho $! > "+pidFile+"\nexec 3<&0\nwhile :; do sleep 0.1; done\n")
	write(t, filepath.Join(bin, "docker-credential-answers"), "#!/bin/sh\necho '{\"Username\":\"u\",\"Secret\":\"s\"}'\n")
	auth := filepath.Join(bin, "auth.json")
	write(t, auth, `{"credHelpers":{"hangs.example.com":"hangs","answers.example.com":"answers"}}`)
	system := &types.SystemContext{AuthFilePath: auth, SystemRegistriesConfPath: os.DevNull}
	p := New(Options{System: system})
	if _, err := p.credentials(t.Context(), endpoint(t, "answers.example.com/a")); err != nil {
		t.Error(err)
	}
	var pid []byte
	for limit := 500 * time.Millisecond; len(pid) == 0; limit *= 2 { // until it is long enough for a shell to start
		p := New(Options{System: system, HelperTime: limit})
		for range 2 { // the second time it is not asked again
			_, err := p.credentials(t.Context(), endpoint(t, "hangs.example.com/a"))
			var hung *HelperError
			if !errors.As(err, &hung) || hung.Helper != "docker-credential-hangs" {
				t.Fatalf("error %v", err)
			}
		}
		pid, _ = os.ReadFile(pidFile)
	}
	for range 100 {
		// One that ended and that nothing waits for has none.
		if line, _ := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(string(pid)), "cmdline")); len(line) == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Error("what the helper started still runs")
}

func endpoint(t *testing.T, name string) mirrors.Endpoint {
	t.Helper()
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		t.Fatal(err)
	}
	return mirrors.Endpoint{Ref: ref}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}
