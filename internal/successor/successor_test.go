package successor

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/internal/carry"
	"github.com/nodeseal/nodeseal/internal/trust"
)

// takeOver is a variable with which this test's program plays the installed one: its value is the
// file of the node's keys.
const takeOver = "NODESEAL_TEST_TAKE_OVER"

// TestMain lets copies of this test's program play the program of a stick: what they answer is
// appended to their file.
func TestMain(m *testing.M) {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		panic(err)
	}
	if found := regexp.MustCompile(`\nANSWER:(.*)$`).FindSubmatch(self); found != nil {
		if len(os.Args) == 2 && os.Args[1] == "--version" {
			fmt.Printf("%s\n", found[1])
			os.Exit(0)
		}
		fmt.Printf("%s for %s: %q", found[1], os.Getenv(Installed), os.Args[1:])
		os.Exit(7)
	}
	if file := os.Getenv(takeOver); file != "" {
		keys, _, err := trust.Bundle{Key: trust.File(file)}.Keys(context.Background(), "")
		if err == nil {
			var p *Program
			if p, err = Find(context.Background(), os.Args[1], "v1.0.0", keys); err == nil {
				err = p.Run()
			}
		}
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// program is one that answers to --version.
func program(t *testing.T, answer string) []byte {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	return append(self, "\nANSWER:"+answer...)
}

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// stick has a program and the signature of what was signed.
func stick(t *testing.T, program, signed []byte, key crypto.Signer) string {
	t.Helper()
	dir := t.TempDir()
	sig, err := signature.Sign(signed, key)
	if err = errors.Join(err, os.WriteFile(filepath.Join(dir, carry.Program), program, 0o600),
		os.WriteFile(filepath.Join(dir, carry.ProgramSignature), sig, 0o600)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestFind takes a later release that a key of the node signed, and nothing else.
func TestFind(t *testing.T) {
	t.Parallel()
	key, other := newKey(t), newKey(t)
	keys := signature.Keys{other.Public(), key.Public()}
	later := program(t, "nodeseal version v1.10.0")
	for name, tt := range map[string]struct {
		dir  string
		from string
		keys signature.Keys
		want error
	}{
		"a later release":             {stick(t, later, later, key), "v1.9.0", keys, nil},
		"of the first key":            {stick(t, later, later, key), "v1.9.0", signature.Keys{key.Public(), other.Public()}, nil},
		"the same release":            {stick(t, later, later, key), "v1.10.0", keys, ErrNotLater},
		"an earlier release":          {stick(t, later, later, key), "v1.11.0", keys, ErrNotLater},
		"this one is no release":      {stick(t, later, later, key), "1bfd41b", keys, ErrUnknown},
		"this one is after a release": {stick(t, later, later, key), "v1.9.0-4-g1bfd41b", keys, ErrUnknown},
		"no keys":                     {stick(t, later, later, key), "v1.9.0", nil, ErrNoKey},
		"another key":                 {stick(t, later, later, newKey(t)), "v1.9.0", keys, signature.ErrMismatch},
		"a signature of other bytes":  {stick(t, later, later[:len(later)-1], key), "v1.9.0", keys, signature.ErrMismatch},
		"a script that the key signed": {
			stick(t, []byte("#!/bin/sh\necho nodeseal version v9.0.0\n"), []byte("#!/bin/sh\necho nodeseal version v9.0.0\n"), key), "v1.9.0", keys, ErrNoProgram,
		},
		"nothing that the key signed":   {stick(t, nil, nil, key), "v1.9.0", keys, ErrNoProgram},
		"a short one":                   {stick(t, []byte("\x7fE"), []byte("\x7fE"), key), "v1.9.0", keys, ErrNoProgram},
		"no program, but its signature": {stick(t, later, later, key), "v1.9.0", keys, ErrNoProgram},
		"no signature":                  {stick(t, later, later, key), "v1.9.0", keys, ErrNoProgram},
		"one that does not run":         {stick(t, []byte("\x7fELF no"), []byte("\x7fELF no"), key), "v1.9.0", keys, ErrNoProgram},
	} {
		switch name {
		case "no program, but its signature":
			must(t, os.Remove(filepath.Join(tt.dir, carry.Program)))
		case "no signature":
			must(t, os.Remove(filepath.Join(tt.dir, carry.ProgramSignature)))
		}
		p, err := Find(t.Context(), tt.dir, tt.from, tt.keys)
		if !errors.Is(err, tt.want) || (err == nil) != (p != nil) {
			t.Errorf("%s: %v, %v, want %v", name, p, err, tt.want)
		}
		if p != nil {
			if p.Version != "v1.10.0" {
				t.Errorf("%s: version %q", name, p.Version)
			}
			p.Close()
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestAnswers: what a signed program answers is read as a version or refused.
func TestAnswers(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	for answer, want := range map[string]error{
		"nodeseal version v1.0.1":                         nil,
		"nodeseal version v1.0.1-rc.1":                    nil,
		"nodeseal version v1.0.0-rc.1":                    ErrNotLater,
		"nodeseal version v1.0.1-3-gabcdef0":              ErrUnknown,
		"nodeseal version v1.0.1-3-gabcdef0-dirty":        ErrUnknown,
		"nodeseal version v1.0.1-dirty":                   ErrUnknown,
		"nodeseal version v2":                             ErrUnknown,
		"nodeseal version v2.0.0+more":                    ErrUnknown,
		"nodeseal version 2.0.0":                          ErrUnknown,
		"nodeseal version unknown":                        ErrUnknown,
		"nodeseal version v2.0.0 and more":                ErrNoProgram,
		"another version v2.0.0":                          ErrNoProgram,
		"nodeseal version " + string(make([]byte, 1<<20)): ErrNoProgram,
	} {
		text := program(t, answer)
		p, err := Find(t.Context(), stick(t, text, text, key), "v1.0.0", signature.Keys{key.Public()})
		if !errors.Is(err, want) {
			t.Errorf("%.60q: %v, want %v", answer, err, want)
		}
		if p != nil {
			p.Close()
		}
	}
}

// TestHostileStick: links, pipes and devices in the place of the program and its signature end
// the search at once.
func TestHostileStick(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	text := program(t, "nodeseal version v2.0.0")
	for _, name := range []string{carry.Program, carry.ProgramSignature} {
		for what, put := range map[string]func(path string) error{
			"a link":      func(path string) error { return os.Symlink("/proc/self/exe", path) },
			"a pipe":      func(path string) error { return unix.Mkfifo(path, 0o600) },
			"a directory": func(path string) error { return os.Mkdir(path, 0o700) },
		} {
			dir := stick(t, text, text, key)
			must(t, errors.Join(os.Remove(filepath.Join(dir, name)), put(filepath.Join(dir, name))))
			if p, err := Find(t.Context(), dir, "v1.0.0", signature.Keys{key.Public()}); err == nil || p != nil {
				t.Errorf("%s for %s: %v", what, name, err)
			}
		}
	}
	dir := stick(t, text, text, key)
	must(t, os.Truncate(filepath.Join(dir, carry.Program), carry.MaxProgram+1))
	if _, err := Find(t.Context(), dir, "v1.0.0", signature.Keys{key.Public()}); !errors.Is(err, ErrNoProgram) || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a program without an end: %v", err)
	}
}

// TestSealed: no process changes the copy after it was checked.
func TestSealed(t *testing.T) {
	t.Parallel()
	f, err := sealed(strings.NewReader("right"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("wrong"), 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("written: %v", err)
	}
	if err := f.Truncate(1); !errors.Is(err, unix.EPERM) {
		t.Errorf("made shorter: %v", err)
	}
}

// TestRun: the program of the stick goes on with the arguments, and knows for whom.
func TestRun(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	text := program(t, "nodeseal version v2.0.0")
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	must(t, err)
	file := filepath.Join(t.TempDir(), "bundle.pub")
	must(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o600))
	dir := stick(t, text, text, key)
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", dir, "--key", "x")
	cmd.Env = append(os.Environ(), takeOver+"="+file)
	var out bytes.Buffer
	cmd.Stdout = &out
	err = cmd.Run()
	var exit *exec.ExitError
	if want := fmt.Sprintf("nodeseal version v2.0.0 for v1.0.0: %q", []string{dir, "--key", "x"}); !errors.As(err, &exit) || exit.ExitCode() != 7 || out.String() != want {
		t.Errorf("%v, printed\n%s\nwant\n%s", err, &out, want)
	}
}

// TestNext: what is to be done depends on why the program did not take over.
func TestNext(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		why    error
		device string
		want   string
	}{
		{ErrNoKey, "", "sh /media/stick/install.sh /media/stick"},
		{ErrNoKey, "/dev/sdx", "mount -o ro /dev/sdx /mnt && sh /mnt/install.sh /mnt"},
		{ErrUnknown, "", "sh /etc/nodeseal/install.sh /media/stick"},
		{ErrUnknown, "/dev/sdx", "sh /etc/nodeseal/install.sh --device /dev/sdx"},
		{ErrNotLater, "", "nodeseal carry STICK"},
		{ErrNoProgram, "", "nodeseal carry STICK"},
		{fmt.Errorf("nodeseal.sig: %w", signature.ErrMismatch), "", "nodeseal carry STICK"},
		{os.NewSyscallError("memfd_create", unix.EPERM), "", "sh /etc/nodeseal/install.sh /media/stick"},
		{os.NewSyscallError("execve", unix.EACCES), "/dev/sdx", "sh /etc/nodeseal/install.sh --device /dev/sdx"},
		{unix.EIO, "", "sh /etc/nodeseal/install.sh /media/stick"},
		{context.DeadlineExceeded, "", "sh /etc/nodeseal/install.sh /media/stick"},
	} {
		e := &TooOldError{Err: errors.New("too old"), Why: tt.why, Version: "v1.0.0", Stick: Place{Dir: "/media/stick", Device: tt.device}}
		if got := e.Next(); !strings.Contains(got, tt.want) {
			t.Errorf("%v, %q: %s", tt.why, tt.device, got)
		}
		if !errors.Is(e, tt.why) {
			t.Errorf("%v does not wrap %v", e, tt.why)
		}
	}
}
