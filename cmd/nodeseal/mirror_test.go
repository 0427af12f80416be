package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/testregistry"
)

// mirrored is a registry with a few images, and a place to mirror them to.
type mirrored struct {
	t        *testing.T
	registry *testregistry.Registry
	layers   []testregistry.Layer
	images   []digest.Digest
	dir      string
	flags    []string // of every run
	attached
}

// newMirrored serves a copy of the shared images.
func newMirrored(t *testing.T) *mirrored {
	t.Helper()
	shared := &sharedImages
	shared.once.Do(func() { shared.make(t) })
	if shared.content == nil {
		t.Fatal("the shared images were not made: see the test that tried")
	}
	content, err := shared.content.Copy(t.TempDir())
	check(t, err)
	m := &mirrored{
		t: t, dir: t.TempDir(), registry: &testregistry.Registry{Content: content},
		layers: shared.layers, images: shared.images, attached: shared.attached,
	}
	var list strings.Builder
	for i, d := range m.images {
		fmt.Fprintf(&list, "registry.example/%s@%s\n", repository(i), d)
	}
	check(t, os.WriteFile(m.path("images.lst"), []byte(list.String()), 0o600))
	addr, stop, err := m.registry.Serve()
	check(t, err)
	t.Cleanup(stop)
	check(t, os.WriteFile(m.path("registries.conf"), []byte(testregistry.RegistriesConf("registry.example", addr)), 0o600))
	return m
}

func (m *mirrored) path(name string) string { return filepath.Join(m.dir, name) }

// command is the program's real main, in a process of its own, that bundles the
// images with the given work directory. How well it compresses is not what these tests
// are about: it does so as fast as it can.
func (m *mirrored) command(work string, flags ...string) *exec.Cmd {
	m.t.Helper()
	self, err := os.Executable()
	check(m.t, err)
	cmd := exec.CommandContext(m.t.Context(), self)
	cmd.Dir = m.dir // the bundle has the name of the list
	cmd.Args = append([]string{"nodeseal", "bundle", "--images", "images.lst", "--registries-conf", m.path("registries.conf"),
		"-o", m.path(work + ".tar.zst"), "--work", m.path(work), "--progress=json", "--level=fastest"}, append(m.flags, flags...)...)
	return cmd
}

// bundle runs the command to its end and returns the bundle's sum.
func (m *mirrored) bundle(work string, flags ...string) string {
	m.t.Helper()
	if out, err := m.command(work, flags...).CombinedOutput(); err != nil {
		m.t.Fatalf("bundle: %v\n%s", err, out)
	}
	return m.sum(work)
}

func (m *mirrored) sum(work string) string {
	m.t.Helper()
	data, err := os.ReadFile(m.path(work + ".tar.zst"))
	check(m.t, err)
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// phaseWatch notes which phase a run is in, from its progress.
type phaseWatch struct {
	mu    sync.Mutex
	phase string
}

// Write implements io.Writer.
func (p *phaseWatch) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, phase := range []string{"resolve", "attachments", "download", "write"} {
		if bytes.Contains(data, []byte(`"phase":"`+phase+`"`)) {
			p.phase = phase
		}
	}
	return len(data), nil
}

func (p *phaseWatch) now() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.phase
}

// TestBundleKilled kills runs at random moments of every phase, twenty times at
// least, and then lets one come to its end: the bundle is that of a run that
// nothing disturbed, nothing was half-made under its name before, and of what
// was downloaded before only what was under way is downloaded again.
func TestBundleKilled(t *testing.T) {
	t.Parallel()
	m := newMirrored(t)
	want := m.bundle("calm")
	once := make([]int64, len(m.layers))
	for i, l := range m.layers {
		once[i] = m.registry.Served(l.Digest)
	}
	m.registry.Rate = 4 << 20
	hits := map[string]int{}
	phases := []string{"resolve", "download", "write", "attachments"}
	var kills int64
	for hits["resolve"] < 4 || hits["attachments"] < 2 || hits["download"] < 12 || hits["write"] < 4 {
		target := phases[kills%4]
		if hits["download"] < 12 && hits["write"] >= 4 && hits["attachments"] >= 2 {
			target = "download"
		}
		if kills > 200 {
			t.Fatalf("the phases were hit %v", hits)
		}
		kills++
		phase, ended := m.killIn(target)
		if !ended {
			hits[phase]++
			continue
		}
		if got := m.sum("killed"); got != want {
			t.Fatalf("a run that ended: %s, want %s", got, want)
		}
		m.forget()
	}
	m.registry.Rate = 0
	if got := m.bundle("killed"); got != want {
		t.Errorf("after %d kills in %v: %s, want %s", kills, hits, got, want)
	}
	t.Logf("killed in %v", hits)
}

// TestBundleSinceKilled does the same with a base: what is left to it is never
// fetched, whatever happens.
func TestBundleSinceKilled(t *testing.T) {
	t.Parallel()
	m := newMirrored(t)
	list, err := os.ReadFile(m.path("images.lst"))
	check(t, err)
	check(t, os.WriteFile(m.path("old.lst"), []byte(strings.SplitAfter(string(list), "\n")[0]), 0o600))
	check(t, os.Rename(m.path("images.lst"), m.path("all.lst")))
	check(t, os.Rename(m.path("old.lst"), m.path("images.lst")))
	m.bundle("old")
	check(t, os.Rename(m.path("all.lst"), m.path("images.lst")))
	before := m.registry.Served(m.layers[0].Digest) + m.registry.Served(m.layers[1].Digest)
	m.flags = []string{"--since", m.path("old.tar.zst")}
	want := m.bundle("calm")
	m.registry.Rate = 4 << 20
	hits := map[string]int{}
	for kills := 0; kills < 12; kills++ {
		phase, ended := m.killIn([]string{"resolve", "download", "write"}[kills%3])
		if !ended {
			hits[phase]++
			continue
		}
		if got := m.sum("killed"); got != want {
			t.Fatalf("a run that ended: %s, want %s", got, want)
		}
		m.forget()
	}
	m.registry.Rate = 0
	if got := m.bundle("killed"); got != want {
		t.Errorf("after kills in %v: %s, want %s", hits, got, want)
	}
	if after := m.registry.Served(m.layers[0].Digest) + m.registry.Served(m.layers[1].Digest); after != before {
		t.Errorf("%d bytes of the base's layers were fetched again", after-before)
	}
	if len(hits) == 0 {
		t.Error("no run was killed")
	}
}

// killIn starts a run and kills it at a random moment of a phase. It returns
// the phase that it was in, or that it ended before.
func (m *mirrored) killIn(target string) (phase string, ended bool) {
	m.t.Helper()
	watch := &phaseWatch{}
	cmd := m.command("killed")
	cmd.Stderr = watch
	check(m.t, cmd.Start())
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case err := <-done:
			check(m.t, err)
			return "", true
		default:
		}
		if watch.now() == target {
			break
		}
		time.Sleep(time.Millisecond)
	}
	longest := map[string]int{"resolve": 5, "attachments": 3, "download": 400, "write": 8}[target]
	time.Sleep(time.Duration(rand.IntN(longest*1000)) * time.Microsecond)
	phase = watch.now()
	if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		m.t.Fatal(err)
	}
	if err := <-done; err == nil {
		return "", true
	}
	if _, err := os.Stat(m.path("killed.tar.zst")); err == nil {
		if got, want := m.sum("killed"), m.sum("calm"); got != want {
			m.t.Fatalf("killed in %s: something half-made has the bundle's name", phase)
		}
		m.forget()
	}
	return phase, false
}

// forget removes the bundle, and the last layer from the work directory, so
// that there is something to do again.
func (m *mirrored) forget() {
	m.t.Helper()
	check(m.t, os.Remove(m.path("killed.tar.zst")))
	check(m.t, os.Remove(filepath.Join(m.path("killed"), "layers", m.layers[3].Digest.Encoded()+".json")))
}

// TestBundleResumed counts at the registry what a killed run costs.
func TestBundleResumed(t *testing.T) {
	t.Parallel()
	m := newMirrored(t)
	m.registry.Rate = 2 << 20
	cmd := m.command("run", "--jobs", "2")
	check(t, cmd.Start())
	big := m.layers[3]
	for m.registry.Served(big.Digest) < big.Size/2 {
		time.Sleep(time.Millisecond)
	}
	check(t, cmd.Process.Kill())
	if err := cmd.Wait(); err == nil {
		t.Fatal("the run was not killed")
	}
	m.registry.Rate = 0
	m.bundle("run")
	var served, size int64
	for _, l := range m.layers {
		served += m.registry.Served(l.Digest)
		size += l.Size
	}
	// What was in the sockets of the two downloads is lost, and a layer of less
	// than 1 MiB is not kept while it comes.
	if again := served - size; again > 2<<20 {
		t.Errorf("%d bytes of %d were downloaded again", again, size)
	}
	t.Logf("%d bytes, %d of them again", size, served-size)
}

// TestBundleInTrouble mirrors from a registry that misbehaves in every way: the
// bundle is byte for byte that of a healthy one.
func TestBundleInTrouble(t *testing.T) {
	t.Parallel()
	first := func(n int, f testregistry.Fault) func(testregistry.Request) testregistry.Fault {
		return func(q testregistry.Request) testregistry.Fault {
			if q.Version != "" && q.Times < n {
				return f
			}
			return testregistry.Fault{}
		}
	}
	blobs := func(n int, f testregistry.Fault) func(testregistry.Request) testregistry.Fault {
		return func(q testregistry.Request) testregistry.Fault {
			if q.Blob != "" && q.Times < n {
				return f
			}
			return testregistry.Fault{}
		}
	}
	for name, trouble := range map[string]func(testregistry.Request) testregistry.Fault{
		"429 with Retry-After":   first(1, testregistry.Fault{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"1"}}}),
		"503":                    first(2, testregistry.Fault{Status: http.StatusServiceUnavailable}),
		"reset":                  blobs(3, testregistry.Fault{After: 40_000}),
		"short body":             blobs(2, testregistry.Fault{After: 50_000, Short: true}),
		"stall":                  blobs(1, testregistry.Fault{After: 60_000, Stall: true}),
		"reset and no Range":     blobs(2, testregistry.Fault{After: 90_000, NoRange: true}),
		"for long, then no more": blobs(5, testregistry.Fault{Status: http.StatusBadGateway}),
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			m := newMirrored(t)
			want := undisturbed(t)
			m.registry = m.again()
			m.registry.Trouble = trouble
			retries := "6"
			if strings.HasPrefix(name, "for long") {
				retries = "3" // four tries, and the rest in the second pass
			}
			flags := []string{"--retries", retries}
			if name == "stall" {
				flags = []string{"--stall-timeout", "1s", "--retries", "30"} // a busy machine stalls, too
			}
			if got := m.bundle("troubled", flags...); got != want {
				t.Errorf("%s, from a healthy registry %s", got, want)
			}
		})
	}
}

// again is a new registry with the same content, at the address that the list
// goes by from now on.
func (m *mirrored) again() *testregistry.Registry {
	m.t.Helper()
	r := &testregistry.Registry{Content: m.registry.Content}
	addr, stop, err := r.Serve()
	check(m.t, err)
	m.t.Cleanup(stop)
	check(m.t, os.WriteFile(m.path("registries.conf"), []byte(testregistry.RegistriesConf("registry.example", addr)), 0o600))
	return r
}

// TestBundleStopsAtOnce holds that the first hopeless error ends a run, whatever
// else is on its way: of the layers, which take a minute or more, most never come.
func TestBundleStopsAtOnce(t *testing.T) {
	t.Parallel()
	m := newMirrored(t)
	m.registry = m.again()
	m.registry.Rate = 50_000
	m.registry.Trouble = func(q testregistry.Request) testregistry.Fault {
		if q.Blob != m.layers[1].Digest {
			return testregistry.Fault{}
		}
		return testregistry.Fault{Status: http.StatusNotFound}
	}
	out, err := m.command("run").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitFailed || !bytes.Contains(out, []byte(m.layers[1].Digest)) {
		t.Errorf("%v\n%s", err, out)
	}
	var size, served int64
	for _, l := range m.layers {
		size += l.Size
		served += m.registry.Served(l.Digest)
	}
	if served > size/2 {
		t.Errorf("%d bytes of layers came, of %d", served, size)
	}
	if left, _ := filepath.Glob(m.path("run.tar.zst*")); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}
