package verify

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/extract"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// folderMode is the mode of the store's own folders.
const folderMode = 0o700

// files compares everything outside of the layers' contents with what the plan
// wants of it.
func (c *checker) files() error {
	want, err := c.wantedFiles()
	if err != nil {
		return err
	}
	for name, f := range want {
		if err := c.file(name, f); err != nil {
			c.finding(name, err)
			c.hurtByFile(name)
		}
	}
	if err := c.foreign(want); err != nil {
		return err
	}
	if !c.opts.Records {
		c.diffRoots()
	}
	return nil
}

// wantedFiles returns all files by path, with their folders.
func (c *checker) wantedFiles() (map[string]store.File, error) {
	files := slices.Values(store.EmptyFiles())
	if len(c.plan.Layers) > 0 || len(c.plan.Images) > 0 || len(c.plan.Artifacts) > 0 {
		c.borrowFacts()
		raw, err := safefile.ReadFile(filepath.Join(c.dir, store.OwnDir, "inventory.json"), bundle.MaxInventory)
		if err != nil {
			return nil, fmt.Errorf("verifying %s: %w", c.dir, err)
		}
		if files, err = c.plan.Files(c.facts, raw); err != nil {
			return nil, fmt.Errorf("verifying %s: %w", c.dir, err)
		}
	}
	want := make(map[string]store.File)
	folders := func(of string) {
		for up := path.Dir(of); up != "."; up = path.Dir(up) {
			if _, ok := want[up]; !ok {
				want[up] = store.File{Path: up, Mode: folderMode, Dir: true}
			}
		}
	}
	for _, f := range store.EmptyFiles() {
		if f.Dir { // also where no layer is in it
			want[f.Path] = f
		}
	}
	for f := range files {
		want[f.Path] = f
		folders(f.Path)
	}
	for _, o := range c.originals() {
		folders(o.Path())
	}
	return want, nil
}

// borrowFacts takes from the store's own records what a damaged layer's
// contents cannot tell any more.
func (c *checker) borrowFacts() {
	records, err := store.ReadLayers(store.Files(c.dir))
	if err != nil {
		records = nil // damaged, which is told elsewhere
	}
	known := make(map[digest.Digest]store.Facts)
	for _, r := range records {
		known[r.UncompressedDigest] = store.Facts{DiffSize: r.UncompressedSize, UIDs: r.UIDs, GIDs: r.GIDs}
	}
	for _, l := range c.plan.Layers {
		if _, ok := c.facts[l.DiffID]; !ok {
			c.facts[l.DiffID] = known[l.DiffID]
		}
	}
}

// file compares one file.
func (c *checker) file(name string, want store.File) error {
	at := filepath.Join(c.dir, filepath.FromSlash(name))
	var st unix.Stat_t
	if err := unix.Lstat(at, &st); err != nil {
		return &fs.PathError{Op: "lstat", Path: at, Err: err}
	}
	kind := uint32(unix.S_IFREG)
	switch {
	case want.Link != "":
		kind = unix.S_IFLNK
	case want.Dir:
		kind = unix.S_IFDIR
	}
	if got := st.Mode & unix.S_IFMT; got != kind {
		return fmt.Errorf("it is a %s, want a %s", kindName(got), kindName(kind))
	}
	if kind == unix.S_IFLNK {
		if target, err := os.Readlink(at); err != nil || target != want.Link {
			return fmt.Errorf("it leads to %q, want %q", target, want.Link)
		}
		return nil
	}
	if mode := st.Mode & 0o7777; mode != want.Mode {
		return fmt.Errorf("its mode is %04o, want %04o", mode, want.Mode)
	}
	if st.Uid != 0 || st.Gid != 0 {
		return fmt.Errorf("its owner is %d:%d, want 0:0", st.Uid, st.Gid)
	}
	if kind == unix.S_IFDIR {
		return nil
	}
	data, err := safefile.ReadFile(at, max(bundle.MaxSmallBlob, int64(len(want.Content))))
	switch {
	case err != nil:
		return err
	case want.Blob != "" && digest.FromBytes(data) != want.Blob:
		return fmt.Errorf("its digest is %s, want %s", digest.FromBytes(data), want.Blob)
	case want.Blob == "" && !bytes.Equal(data, want.Content):
		return errors.New("its content is not what the manifests and configurations make")
	}
	return nil
}

// hurtByFile names the images that a damaged file of the store touches: those
// whose folder it is in, or all where it is no image's.
func (c *checker) hurtByFile(name string) {
	rest, inImages := strings.CutPrefix(name, store.ImagesDir+"/")
	id, _, inFolder := strings.Cut(rest, "/")
	layer, inLayers := strings.CutPrefix(name, store.OverlayDir+"/")
	if layerID, _, ok := strings.Cut(layer, "/"); inLayers && ok && layerID != path.Base(store.LinkDir) {
		c.bad[layerID] = true
		return
	}
	inArtifacts := strings.HasPrefix(name, store.ArtifactsDir+"/")
	for _, img := range c.plan.Artifacts {
		if !inImages && (!inArtifacts || !strings.Contains(name, "/blobs/") || img.Has(path.Base(name))) {
			for _, n := range append([]string{img.Ref}, img.Names...) {
				c.hurt[n] = true
			}
		}
	}
	for _, img := range c.plan.Images {
		if !inArtifacts && (!inImages || !inFolder || img.ID == id) {
			for _, n := range img.Names {
				c.hurt[n] = true
			}
		}
	}
}

// foreign finds what does not belong to the store.
func (c *checker) foreign(want map[string]store.File) error {
	own := make(map[string]bool)
	for _, o := range c.originals() {
		own[o.Path()] = true
	}
	if c.empty {
		own[store.ArtifactsDir] = true // CRI-O makes it, of whose artifact stores this is one
	}
	for _, l := range c.plan.Layers {
		own[store.DiffDir(l.ID)] = true
		own[store.TarSplitFile(l.ID)] = true
		if info, err := os.Lstat(filepath.Join(c.dir, store.TarSplitFile(l.ID))); err == nil && info.Mode() != 0o600 {
			c.finding(store.TarSplitFile(l.ID), fmt.Errorf("its mode is %v, want -rw-------", info.Mode()))
		}
	}
	err := filepath.WalkDir(c.dir, func(at string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(c.dir, at)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if name == "." {
			return nil
		}
		_, wanted := want[name]
		switch {
		case own[name] && d.IsDir():
			return filepath.SkipDir
		case own[name] || wanted:
			return nil
		}
		c.finding(name, errors.New("it does not belong to the store"))
		if d.IsDir() {
			return filepath.SkipDir
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("verifying %s: %w", c.dir, err)
	}
	return nil
}

// diffRoots compares the attributes of the layers' root directories: the tar's,
// else those of the layer below.
func (c *checker) diffRoots() {
	inherited := make(map[string]extract.Root)
	for _, l := range c.plan.Layers { // parents come first
		root := extract.Root{Mode: 0o555}
		if l.Parent != nil {
			root = inherited[l.Parent.ID]
			root.Mode &= 0o777 &^ 0o022
		}
		if own := c.roots[l.ID]; own != nil {
			root = *own
		}
		inherited[l.ID] = root
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(c.dir, store.DiffDir(l.ID)), &st); err != nil {
			continue // told already
		}
		if mode := st.Mode & 0o7777; mode != root.Mode || int(st.Uid) != root.UID || int(st.Gid) != root.GID {
			c.finding(store.DiffDir(l.ID), fmt.Errorf("its mode and owner are %04o %d:%d, want %04o %d:%d",
				mode, st.Uid, st.Gid, root.Mode, root.UID, root.GID))
			c.bad[l.ID] = true
		}
	}
}
