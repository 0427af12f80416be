// Package nodestatus says how a node stands: what its slots hold, whether they
// are sealed, whether the node's configuration leads to them, and whether it
// would come up after a reboot with no registry.
package nodestatus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/nodeseal/nodeseal/internal/diskbudget"
	"github.com/nodeseal/nodeseal/internal/fips"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/storageconf"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/opencontainers/go-digest"
)

// Options say what is looked at.
type Options struct {
	Root *slot.Root
	// Views are what CRI-O and podman take; at least one.
	Views []storageconf.View
	// Path returns where a path of a view is on this machine; nil if it is the same.
	Path func(string) string
	Node slot.Node
	// NamedErr is why Node has not what a cluster names, which was asked for.
	NamedErr error
	// OtherDisk says that Root is on the disk of another machine, which mounts its
	// slots when it starts.
	OtherDisk bool
	// Scratch is a directory for the library's empty primary store. It is made
	// and removed.
	Scratch string
	// Wanted is a list of images that the node must have; nil for none.
	Wanted *imagelist.List
	// FIPS is in which mode this machine is.
	FIPS fips.State
	// Lookup finds the addresses of registries; nil asks for none.
	Lookup Lookup
	Now    time.Time
}

// Status is how a node stands. A time that is zero is not known.
type Status struct {
	Root  string `json:"root"`
	Slots []Slot `json:"slots"`
	// StorageConf is the file, "" where there is none; Stores are what it names.
	StorageConf string   `json:"storageConf"`
	Stores      []string `json:"additionalImageStores"`
	GraphRoot   string   `json:"graphRoot"`
	// Readers are what each of CRI-O and podman takes, the two together if they take the
	// same. The three fields above are the first one's.
	Readers []Reader `json:"readers"`
	// References counts the names that the slots hold, Visible those that CRI-O
	// and podman find.
	References int       `json:"references"`
	Visible    int       `json:"visible"`
	Unseen     []Problem `json:"unseen,omitempty"`
	// Missing are the references of the given list that no slot holds.
	Missing []string `json:"missing,omitempty"`
	// Disk is what the file system of the slots has to hold around the next upgrade, where
	// that can be told.
	Disk *diskbudget.Budget `json:"disk,omitempty"`
	// FIPS is there on a node in FIPS mode.
	FIPS *fips.State `json:"fips,omitempty"`
	// Problems are why a reboot would fail, Warnings what should be mended.
	Problems []Problem `json:"problems"`
	Warnings []Problem `json:"warnings"`
}

// Reader is what a program takes for its storage.
type Reader struct {
	Program   string   `json:"program"`
	Files     []string `json:"files"`
	Stores    []string `json:"additionalImageStores"`
	GraphRoot string   `json:"graphRoot"`
	Error     string   `json:"error,omitempty"`
}

// Problem is one thing that is wrong.
type Problem struct {
	// What is a path, a slot or a reference.
	What    string `json:"what"`
	Message string `json:"message"`
}

// Slot is how one slot stands.
type Slot struct {
	Name       slot.Name     `json:"name"`
	Path       string        `json:"path"`
	Release    string        `json:"release"`
	ID         digest.Digest `json:"inventory,omitempty"`
	Images     int           `json:"images"`
	References int           `json:"references"`
	Layers     int           `json:"layers"`
	// Originals are the layers that are kept as a registry has them, OriginalBytes their
	// length, Bytes about what the slot takes on the disk with them.
	Originals     int   `json:"originals,omitempty"`
	OriginalBytes int64 `json:"originalBytes,omitempty"`
	Bytes         int64 `json:"bytes,omitempty"`
	// Artifacts are the OCI artifacts, which are not among the images.
	Artifacts int `json:"artifacts,omitempty"`

	Configured bool   `json:"configured"`
	Immutable  bool   `json:"immutable"`
	Mounted    bool   `json:"mounted"`
	FSType     string `json:"fsType,omitempty"`
	// Image is the file that is mounted at Path, "" where the store is a directory;
	// Digest is what is recorded of it, Source what it is mounted from: the file
	// itself or a loop device.
	Image    string        `json:"image,omitempty"`
	Digest   digest.Digest `json:"digest,omitempty"`
	Source   string        `json:"source,omitempty"`
	Filled   time.Time     `json:"filled,omitzero"`
	Verified time.Time     `json:"verified,omitzero"`
	// VerifiedAge is in seconds.
	VerifiedAge int64 `json:"verifiedAge,omitempty"`
	Damage      int   `json:"damage,omitempty"`
	// Uses are what retire would refuse for.
	Uses []slot.Use `json:"uses"`
}

// RebootOK reports whether nothing speaks against a reboot with no registry.
func (s *Status) RebootOK() bool { return len(s.Problems) == 0 }

// collector puts a Status together.
type collector struct {
	opts  Options
	out   *Status
	slots []*slot.Slot
	// others are the stores of a node that has no slots.
	others []*store.Store
}

// Collect looks at the node. It changes nothing, and needs root to read. What is
// wrong with the node is no error.
func Collect(ctx context.Context, opts Options) (*Status, error) {
	c := &collector{opts: opts, out: &Status{
		Root: opts.Root.Dir(), Problems: []Problem{}, Warnings: []Problem{},
	}}
	c.readers()
	if opts.NamedErr != nil {
		c.warn("cluster", "retire --cluster would refuse: %v", opts.NamedErr)
	}
	c.out.Slots = []Slot{}
	for _, n := range slot.Names() {
		if c.slotless() {
			break
		}
		if err := c.slot(ctx, n); err != nil {
			return nil, err
		}
	}
	valid, err := c.configured(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.visible(ctx, valid); err != nil {
		return nil, err
	}
	c.wanted()
	c.systems()
	c.room()
	c.disk()
	c.names(ctx)
	c.fips()
	return c.out, nil
}

func (c *collector) problem(what, format string, args ...any) {
	c.out.Problems = append(c.out.Problems, Problem{What: what, Message: fmt.Sprintf(format, args...)})
}

func (c *collector) warn(what, format string, args ...any) {
	c.out.Warnings = append(c.out.Warnings, Problem{What: what, Message: fmt.Sprintf(format, args...)})
}

// fips says whether the program follows the node's FIPS mode.
func (c *collector) fips() {
	if !c.opts.FIPS.Node || c.opts.OtherDisk {
		return
	}
	c.out.FIPS = &c.opts.FIPS
	if !c.opts.FIPS.Program {
		c.warn("FIPS", "the node is in FIPS mode, and this program is not: fips140 in the variable GODEBUG keeps it from that; remove it")
	}
}

// slot looks at one slot.
func (c *collector) slot(ctx context.Context, n slot.Name) error {
	out := Slot{Name: n, Path: c.opts.Root.Path(n), Uses: []slot.Use{}}
	out.Configured = len(c.blind(out.Path)) == 0
	s, err := c.opts.Root.Read(n)
	if err != nil {
		switch {
		case errors.Is(err, fs.ErrPermission):
			return err
		case !c.opts.Root.Exists(n):
			out.Release = "not there"
			c.problem(out.Path, "there is no slot: nodeseal mount makes it, nodeseal import fills it")
		case errors.As(err, new(*slot.ImageError)) && errors.Is(err, store.ErrDamaged):
			out.Release = "unreadable"
			c.problem(out.Path, "%v; nodeseal verify %s --repair BUNDLE makes it again", err, out.Path)
		default:
			out.Release = "unreadable"
			c.problem(out.Path, "%v", err)
		}
		c.out.Slots = append(c.out.Slots, out)
		return nil
	}
	out.Release, out.ID = s.Release(), s.ID
	out.Images, out.Layers, out.References = len(s.Store.Images), len(s.Store.Layers), len(s.Store.References)
	out.Artifacts = s.Store.CountArtifacts()
	if err := c.seal(ctx, &out, s); err != nil {
		return err
	}
	if !s.Store.Empty() {
		c.slots = append(c.slots, s)
		c.originals(&out, s)
		c.unnamed(&out)
		if err := c.history(&out, s); err != nil {
			return err
		}
		if err := store.CheckLayers(out.Path, s.Store); err != nil && (out.Image == "" || out.Source != "") {
			c.problem(out.Path, "%v: images do not start", err)
		}
		if out.Image == "" || out.Source != "" {
			c.proven(ctx, out.Path, s.Store)
		}
	}
	c.out.Slots = append(c.out.Slots, out)
	return nil
}

func (c *collector) seal(ctx context.Context, out *Slot, s *slot.Slot) error {
	state := seal.State
	if image, err := c.isImage(s); err != nil {
		return fmt.Errorf("slot %s: %w", out.Name, err)
	} else if image {
		state = func(context.Context, string) (seal.Report, error) { return c.image(out, s) }
	}
	rep, err := state(ctx, out.Path)
	if err != nil {
		return fmt.Errorf("slot %s: %w", out.Name, err)
	}
	out.Immutable, out.Mounted, out.FSType = rep.FlagsSet(), rep.Mounted, rep.FSType
	if s.Store.Empty() {
		return nil
	}
	if !out.Immutable {
		c.warn(out.Path, "it is not immutable: nodeseal seal %s", out.Path)
	}
	if !out.Mounted && !c.opts.OtherDisk {
		c.warn(out.Path, "it is not mounted read-only: nodeseal mount %s%s", out.Name, slot.RootFlag(c.out.Root))
	}
	if rep.ImmutableDiffs > 0 {
		c.problem(out.Path, "%d layers are immutable themselves: containers cannot start or write; chattr -R -i on overlay/*/diff mends it", rep.ImmutableDiffs)
	}
	return nil
}

// proven adds what the blobs of a store do not prove of its records. A store that another
// program wrote has nothing to be proven by.
func (c *collector) proven(ctx context.Context, path string, s *store.Store) {
	err := store.ProveRecords(ctx, store.Files(path), s)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.problem(path, "%v; nodeseal verify %s --repair BUNDLE makes it again", err, path)
	}
}

// history adds when the slot was filled and verified, and what needs it.
func (c *collector) history(out *Slot, s *slot.Slot) error {
	times, err := c.opts.Root.Times(s)
	if err != nil {
		return err
	}
	out.Filled, out.Verified, out.Damage = times.Filled, times.Verified, times.Damage
	if !times.Verified.IsZero() {
		out.VerifiedAge = max(0, int64(c.opts.Now.Sub(times.Verified).Seconds()))
	}
	if last := max(times.Filled.Unix(), times.Verified.Unix()); c.opts.Now.Unix() < last {
		c.warn(out.Path, "the clock of this node says %s, which is before the slot was filled or verified: ages are not right",
			c.opts.Now.UTC().Format(time.DateOnly))
	}
	if times.Damage > 0 {
		c.problem(out.Path, "the last verification found damage: nodeseal verify %s --repair BUNDLE", out.Path)
	}
	uses, err := c.opts.Root.Uses(s, c.opts.Node)
	if err != nil {
		c.warn(out.Path, "retire cannot tell what needs it: %v", err)
		return nil
	}
	out.Uses = append(out.Uses, uses...)
	return nil
}
