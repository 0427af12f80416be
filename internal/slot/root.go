package slot

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/image"
	"github.com/nodeseal/nodeseal/internal/visible"
	"github.com/opencontainers/go-digest"
)

// DefaultRoot is where the slots of a node are: outside of the graph root, which
// CRI-O may remove whole, and where SELinux' policy lets containers read.
const DefaultRoot = "/var/lib/shared/nodeseal"

// Name is the name of a slot.
type Name string

// The slots.
const (
	A Name = "a"
	B Name = "b"
)

// Names returns the slots' names.
func Names() []Name { return []Name{A, B} }

// ParseName returns the slot that s names. Errors wrap ErrName.
func ParseName(s string) (Name, error) {
	if s == string(A) || s == string(B) {
		return Name(s), nil
	}
	return "", fmt.Errorf("%w, not %q", ErrName, s)
}

// Other returns the other slot.
func (n Name) Other() Name {
	if n == A {
		return B
	}
	return A
}

// Root is the directory with the slots. Its methods that change a slot exclude
// each other, across processes too; then they return filelock.ErrBusy.
type Root struct {
	dir string
	// mounts says whether full slots are mounted read-only over themselves.
	mounts bool
	// before is called before each step of an exchange; tests make it fail or kill.
	before func(step string) error
}

func (r *Root) step(name string) error {
	if r.before == nil {
		return nil
	}
	return r.before(name)
}

// Options say how slots are kept.
type Options struct {
	// NoMount leaves out the read-only mounts: for the disk of another machine.
	NoMount bool
}

// Open returns the root at dir, which need not exist.
func Open(dir string, opts Options) (*Root, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("finding the slots: %w", err)
	}
	return &Root{dir: abs, mounts: !opts.NoMount}, nil
}

// Dir returns the root's directory.
func (r *Root) Dir() string { return r.dir }

// Path returns the directory of a slot.
func (r *Root) Path(n Name) string { return filepath.Join(r.dir, string(n)) }

// Exists reports whether slot n was ever made, valid or not.
func (r *Root) Exists(n Name) bool {
	_, err := os.Lstat(r.Path(n))
	return !errors.Is(err, fs.ErrNotExist)
}

func (r *Root) work() string           { return filepath.Join(r.dir, ".work") }
func (r *Root) prepared(n Name) string { return filepath.Join(r.work(), "new-"+string(n)) }
func (r *Root) swap(n Name) string     { return filepath.Join(r.work(), "swap-"+string(n)) }

// retiring is where a store is that retire has taken out of slot n, until it is sure that
// nothing needs it: see recall.
func (r *Root) retiring(n Name) string      { return filepath.Join(r.work(), "retire-"+string(n)) }
func (r *Root) retiringImage(n Name) string { return r.retiring(n) + image.Suffix }

// Slot is what a slot holds.
type Slot struct {
	Name Name
	Path string
	// Image is the file that is mounted at Path, "" where the store is a directory.
	Image string
	// Store is the store's records.
	Store *store.Store
	// Inventory is that of the bundle which filled the slot, nil where it is
	// empty or was not filled by nodeseal; ID is the digest of its bytes.
	Inventory *bundle.Inventory
	ID        digest.Digest
}

// Free reports whether a release can be put there.
func (s *Slot) Free() bool { return s.Store.Empty() && s.Image == "" }

// Release names what the slot holds, for people.
func (s *Slot) Release() string {
	switch {
	case s.Store.Empty():
		return "nothing"
	case s.Inventory == nil:
		return s.contents()
	case s.Inventory.Release != nil && s.Inventory.Release.Version != "":
		return "release " + s.Inventory.Release.Version
	default:
		return fmt.Sprintf("%s (%.19s)", s.contents(), s.ID)
	}
}

// contents counts what the slot holds.
func (s *Slot) contents() string {
	switch n := s.Store.CountArtifacts(); {
	case n == 0:
		return count(len(s.Store.Images), "image")
	case len(s.Store.Images) == 0:
		return count(n, "OCI artifact")
	default:
		return count(len(s.Store.Images), "image") + " and " + count(n, "OCI artifact")
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Read reads a slot, an image also where it is not mounted. The error wraps
// fs.ErrNotExist where there is none, store.ErrDamaged where it is no valid store;
// it is an *ImageError where the slot has an image that cannot be mounted.
func (r *Root) Read(n Name) (*Slot, error) {
	if r.hasImage(n) {
		return r.readImage(n)
	}
	return readStore(n, r.Path(n))
}

func readStore(n Name, path string) (*Slot, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("reading slot %s: %w", n, err)
	}
	files := store.Files(path)
	fail := func(err error) (*Slot, error) {
		return nil, fmt.Errorf("reading slot %s: %w: %w", n, store.ErrDamaged, err)
	}
	if err := store.CheckFolders(files); err != nil {
		return fail(err)
	}
	if err := store.CheckLocks(files); err != nil {
		return fail(err)
	}
	st, err := store.Open(files)
	if err != nil {
		return fail(err)
	}
	s := &Slot{Name: n, Path: path, Store: st}
	raw, err := st.RawInventory()
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return fail(err)
	}
	if s.Inventory, err = bundle.ParseInventory(bytes.NewReader(raw)); err != nil {
		return fail(err)
	}
	s.ID = digest.FromBytes(raw)
	return s, nil
}

// lock keeps other commands away until the function it returns is called. It
// makes the root and the work directory.
func (r *Root) lock() (unlock func(), err error) {
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the slots' directory: %w", err)
	}
	return lockDir(r.work())
}

// RootFlag is what a command that people copy needs to work on the slots in dir: nothing if
// that is DefaultRoot.
func RootFlag(dir string) string {
	if dir == DefaultRoot {
		return ""
	}
	return " --root " + visible.ShellWord(dir)
}
