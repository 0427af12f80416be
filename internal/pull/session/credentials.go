package session

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/pkg/docker/config"
	"go.podman.io/image/v5/types"
	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/pull/mirrors"
)

// helperTime is how long a look-up of credentials may take. One in a file takes no time, but
// auth.json and registries.conf can name a program (docker-credential-NAME).
const helperTime = 30 * time.Second

// HelperError reports a look-up of credentials that did not end. The library that does it
// starts credential helpers and waits for them without a limit.
type HelperError struct {
	// Helper is the name of the program that was ended, "" if none was found.
	Helper string
	After  time.Duration
}

// Error implements error.
func (e *HelperError) Error() string {
	helper := e.Helper
	if helper == "" {
		helper = "the look-up"
	}
	return fmt.Sprintf("%s did not answer within %s and was ended: run it by hand (echo REGISTRY | docker-credential-NAME get) to see why, or log in with podman login --authfile FILE and name that file with --authfile",
		helper, e.After)
}

// lookup is the answer of a look-up.
type lookup struct {
	cred types.DockerAuthConfig
	err  error
}

// credentials returns those of auth.json and its kin for ep's repository. After a look-up that did
// not end there is none again for the registry.
func (p *Pool) credentials(ctx context.Context, ep mirrors.Endpoint) (authn.Authenticator, error) {
	registry := reference.Domain(ep.Ref)
	p.mu.Lock()
	hung := p.hung[registry]
	p.mu.Unlock()
	if hung != nil {
		return nil, fmt.Errorf("credentials for %s: %w", ep.Ref.Name(), hung)
	}
	answer := make(chan lookup, 1)
	go func() {
		cred, err := config.GetCredentialsForRef(p.o.System, ep.Ref)
		answer <- lookup{cred, err}
	}()
	limit := p.o.HelperTime
	if limit == 0 {
		limit = helperTime
	}
	// Those that run at half of the time and still at its end are ended: others may be of
	// look-ups that began later.
	half, end := time.NewTimer(limit/2), time.NewTimer(limit)
	defer half.Stop()
	defer end.Stop()
	var running map[int]string
	for {
		select {
		case found := <-answer:
			return found.authenticator(ep)
		case <-ctx.Done():
			endHelpers(running)
			return nil, ctx.Err()
		case <-half.C:
			running = helpers()
		case <-end.C:
			hung := &HelperError{Helper: endHelpers(running), After: limit}
			p.mu.Lock()
			p.hung[registry] = hung
			p.mu.Unlock()
			return nil, fmt.Errorf("credentials for %s: %w", ep.Ref.Name(), hung)
		}
	}
}

func (l lookup) authenticator(ep mirrors.Endpoint) (authn.Authenticator, error) {
	if l.err != nil {
		return nil, fmt.Errorf("credentials for %s: %w", ep.Ref.Name(), l.err)
	}
	if l.cred.Username == "" && l.cred.Password == "" && l.cred.IdentityToken == "" {
		return authn.Anonymous, nil
	}
	return authn.FromConfig(authn.AuthConfig{
		Username:      l.cred.Username,
		Password:      l.cred.Password,
		IdentityToken: l.cred.IdentityToken,
	}), nil
}

// helpers returns the credential helpers that this process has started, by their numbers. They are
// found by what they are called: the library does not say which they are.
func helpers() map[int]string {
	found := make(map[int]string)
	for _, pid := range children("self") {
		if name := helperName(strconv.Itoa(pid)); name != "" {
			found[pid] = name
		}
	}
	return found
}

// children returns the numbers of the processes that a process, or "self", has started.
func children(pid string) (found []int) {
	lists, _ := filepath.Glob(filepath.Join("/proc", pid, "task/*/children")) // the pattern is right
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue
		}
		for _, child := range strings.Fields(string(text)) {
			if n, err := strconv.Atoi(child); err == nil {
				found = append(found, n)
			}
		}
	}
	return found
}

// maxFamily bounds what a helper can have us look for.
const maxFamily = 4096

// family returns pid and the processes that it, and they, have started.
func family(pid int) []int {
	all := []int{pid}
	for i := 0; i < len(all) && len(all) < maxFamily; i++ {
		all = append(all, children(strconv.Itoa(all[i]))...)
	}
	return all
}

// endHelpers kills those of running that still run, and returns the name of one.
func endHelpers(running map[int]string) (name string) {
	for pid, now := range helpers() {
		if running[pid] != now {
			continue
		}
		name = now
		// They may have ended meanwhile. What they started would keep the library waiting
		// for the end of their output.
		for _, p := range family(pid) {
			_ = unix.Kill(p, unix.SIGKILL)
		}
	}
	return name
}

// helperName returns the name of a credential helper, "" if pid is another program. A script's
// name follows that of what runs it.
func helperName(pid string) string {
	line, err := os.ReadFile(filepath.Join("/proc", pid, "cmdline"))
	if err != nil {
		return ""
	}
	args := strings.Split(string(line), "\x00")
	for _, arg := range args[:min(len(args), 3)] {
		if base := filepath.Base(arg); strings.HasPrefix(base, "docker-credential-") {
			return base
		}
	}
	return ""
}
