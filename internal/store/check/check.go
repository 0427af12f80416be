// Package check opens a store with containers/storage itself, as CRI-O and
// podman will: as an additional image store of an empty primary one.
package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/moby/sys/mountinfo"
	"github.com/nodeseal/nodeseal/internal/rmtree"
	"github.com/nodeseal/nodeseal/internal/store"
	"go.podman.io/storage"
	"golang.org/x/sys/unix"
)

// Options say what is checked.
type Options struct {
	// References are the names that must be found, and what they must name.
	References []store.Reference
	// Layers is the number of layers that the store must have.
	Layers int
	// Mount mounts one image for a container and writes into it. Where the
	// process may not mount, this is left out.
	Mount bool
	// Done is called after each reference; it may be nil.
	Done func()
}

// Probe opens an empty store in the directory scratch, to learn whether the
// library can have its overlay driver there. It removes what it made.
func Probe(scratch string) error {
	lib, err := open(scratch, nil)
	if err != nil {
		return err
	}
	return lib.close()
}

// Store opens the store dir from an empty primary store in the directory
// scratch, which is made and removed, and does what opts say. The store is not
// changed. Sizes and layers of every image are asked for as well.
func Store(ctx context.Context, dir, scratch string, opts Options) (err error) {
	lib, err := open(scratch, []string{"overlay.imagestore=" + dir})
	if err != nil {
		return err
	}
	defer func() {
		if p := recover(); p != nil {
			// It may hold locks of its own: it is not asked to shut down.
			using.Unlock()
			err = gaveUp(p)
			return
		}
		err = errors.Join(err, lib.close())
	}()
	layers, err := lib.store.Layers()
	if err != nil {
		return fmt.Errorf("listing layers: %w", err)
	}
	if len(layers) != opts.Layers {
		return fmt.Errorf("the library sees %d layers, want %d", len(layers), opts.Layers)
	}
	images := make(map[string]*storage.Image)
	for _, ref := range opts.References {
		if err := ctx.Err(); err != nil {
			return err
		}
		img, err := lib.resolve(ref)
		if err != nil {
			return fmt.Errorf("resolving %s: %w", ref.Name, err)
		}
		if images[img.ID] == nil {
			images[img.ID] = img
			if _, err := lib.store.ImageSize(img.ID); err != nil {
				return fmt.Errorf("size of %s: %w", ref.Name, err)
			}
		}
		if opts.Done != nil {
			opts.Done()
		}
	}
	if opts.Mount && len(images) > 0 {
		return lib.mountOne(images)
	}
	return nil
}

// using is held while a store is open with the library: it keeps what it has learned
// of a file system in variables of its own, without a lock, so that two imports in
// one process would race there.
var using sync.Mutex //nolint:gochecknoglobals // the library's variables are one for the process, too

// library is an opened primary store and what to remove after it.
type library struct {
	store   storage.Store
	scratch string
}

func open(scratch string, options []string) (_ *library, err error) {
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		return nil, fmt.Errorf("making an empty primary store: %w", err)
	}
	using.Lock()
	defer func() {
		if p := recover(); p != nil {
			err = gaveUp(p)
		}
		if err != nil {
			using.Unlock()
		}
	}()
	lib := &library{scratch: scratch}
	err = forbidFork(filepath.Join(scratch, "run", "overlay"))
	if err != nil {
		return nil, fmt.Errorf("making an empty primary store: %w", err)
	}
	lib.store, err = storage.GetStore(storage.StoreOptions{
		RunRoot:            filepath.Join(scratch, "run"),
		GraphRoot:          filepath.Join(scratch, "root"),
		GraphDriverName:    "overlay",
		GraphDriverOptions: append([]string{"overlay.skip_mount_home=true"}, options...),
	})
	if err != nil {
		return nil, fmt.Errorf("opening the store with the library: %w", err)
	}
	return lib, nil
}

// gaveUp makes an error of a panic of the library's: that is what it does if it cannot open
// a lock file, as on a bad disk. Others are passed on.
func gaveUp(p any) error {
	err, ok := p.(error)
	if _, bug := p.(runtime.Error); bug {
		panic(p)
	}
	if !ok {
		err = fmt.Errorf("%v", p)
	}
	return fmt.Errorf("the storage library gave up: %w", err)
}

// forbidFork tells the library, in the words of its own records, that overlay has no
// mapped lower layers, which nothing here has either. It would try that out in a copy
// of this process, with its locks and mounts, which a kill at a bad moment leaves
// behind for ever.
func forbidFork(records string) error {
	if err := os.MkdirAll(records, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(records, "idmapped-lower-dir-false"), nil, 0o600)
}

func (lib *library) close() (err error) {
	defer using.Unlock()
	defer func() {
		if p := recover(); p != nil {
			err = gaveUp(p)
		}
	}()
	_, err = lib.store.Shutdown(true)
	lib.store.Free()
	if err != nil {
		return fmt.Errorf("closing the library's store: %w", err)
	}
	return Remove(lib.scratch)
}

// resolve finds the image of a name, as a pull or a pod would look for it.
func (lib *library) resolve(ref store.Reference) (*storage.Image, error) {
	img, err := lib.store.Image(ref.Name)
	if err != nil {
		return nil, err
	}
	if img.ID != ref.ImageID {
		return nil, fmt.Errorf("it is image %s, want %s", img.ID, ref.ImageID)
	}
	byDigest, err := lib.store.ImagesByDigest(ref.Digest)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(byDigest, func(i *storage.Image) bool { return i.ID == img.ID }) {
		return nil, fmt.Errorf("the image is not found by its digest %s", ref.Digest)
	}
	return img, nil
}

// mountOne starts what a container starts with: a writable layer on top of an
// image, mounted. It takes the image with the lowest ID that has layers, but
// few: the library would start a process of its own for a mount with many.
func (lib *library) mountOne(images map[string]*storage.Image) error {
	id, err := lib.choose(images)
	if err != nil || id == "" {
		return err
	}
	// What CreateContainer makes for a container, but for its SELinux label: the store
	// does not need one to be read, and a policy without types for containers refuses to
	// mount with it.
	layer, err := lib.store.CreateLayer("", images[id].TopLayer, nil, "", true, nil)
	if err != nil {
		return fmt.Errorf("creating a container's layer on image %s: %w", id, err)
	}
	mnt, err := lib.store.Mount(layer.ID, "")
	if errors.Is(err, unix.EPERM) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("mounting image %s: %w", id, err)
	}
	werr := os.WriteFile(filepath.Join(mnt, ".nodeseal-check"), []byte("writable\n"), 0o600)
	if _, err := lib.store.Unmount(layer.ID, true); err != nil {
		return fmt.Errorf("unmounting image %s: %w", id, err)
	}
	if werr != nil {
		return fmt.Errorf("writing into a container of image %s: %w", id, werr)
	}
	return nil
}

// maxMountLayers keeps the options of a mount below a page.
const maxMountLayers = 16

func (lib *library) choose(images map[string]*storage.Image) (string, error) {
	ids := make([]string, 0, len(images))
	for id := range images {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		depth := 0
		for layer := images[id].TopLayer; layer != ""; depth++ {
			l, err := lib.store.Layer(layer)
			if err != nil {
				return "", fmt.Errorf("layers of image %s: %w", id, err)
			}
			layer = l.Parent
		}
		if depth > 0 && depth <= maxMountLayers {
			return id, nil
		}
	}
	return "", nil
}

// Remove removes a scratch directory, also one that a killed process left with
// something mounted in it: an image, or what the library tries overlay with.
func Remove(scratch string) error {
	switch info, err := os.Lstat(scratch); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err == nil && !info.IsDir(): // a link would lead to the mounts of others
		return removeAll(scratch)
	}
	path, err := filepath.EvalSymlinks(scratch)
	if err != nil {
		return fmt.Errorf("removing the empty primary store: %w", err)
	}
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(path))
	if err != nil {
		return fmt.Errorf("looking for mounts below %s: %w", scratch, err)
	}
	for _, m := range slices.Backward(mounts) {
		if err := unix.Unmount(m.Mountpoint, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("unmounting %s: %w", m.Mountpoint, err)
		}
	}
	return removeAll(scratch)
}

func removeAll(scratch string) error {
	if err := rmtree.RemoveAll(scratch); err != nil {
		return fmt.Errorf("removing the empty primary store: %w", err)
	}
	return nil
}
