// Package layerrules has the rules for what a layer may hold: what a node can
// unpack into a store. Staging, verification and import ask the same Checker, so
// that what one of them passes the others do not refuse.
//
// The rules are those of containers/storage, whose unpacking in a chroot on Linux
// is the reference, with the few exceptions that docs/threat-model.md names.
package layerrules

import (
	"archive/tar"
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/budget"
)

// Why a member is refused. Where Linux itself would refuse it the error is the
// errno: ENOENT of a hard link to nothing, ENOTDIR, ELOOP, ENAMETOOLONG.
var (
	ErrLeadsOut = errors.New("it leads out of the layer")
	ErrType     = errors.New("its type has no place in a layer")
	ErrWhiteout = errors.New("it is a whiteout of something that the same layer holds")
	ErrTwice    = errors.New("the layer holds the same path twice")
	ErrXattr    = errors.New("extended attribute that no file can have")
	ErrTooMany  = errors.New("the layer holds more than can be checked")
	ErrOwners   = errors.New("the files of the layer have more owners than a store records")
)

// Reasons are those of the above, and the errnos, that an Error can wrap.
func Reasons() []error {
	return []error{
		ErrLeadsOut, ErrType, ErrWhiteout, ErrTwice, ErrXattr, ErrTooMany, ErrOwners,
		unix.ENAMETOOLONG, unix.ENOTDIR, unix.ENOENT, unix.EEXIST, unix.ELOOP,
	}
}

// Version counts the changes of what the rules refuse and of what Kept says.
const Version = 5

// Bounds of one layer.
const (
	// MaxMembers is how many members a layer may have, with the directories that only their
	// names imply. A Checker needs 40 to 70
	// bytes of memory for each: an import of so many stays below 256 MiB.
	MaxMembers = 3 << 19
	// MaxMemory bounds what a Checker keeps of the names of one layer, in bytes: some 30 for each
	// member, 15 more for a symbolic link, 15 for a directory that only names imply, the full
	// names of directories, and the targets of symbolic links.
	MaxMemory = 56 << 20
	// MaxOwners is how many different users, and how many groups, the members of a
	// layer may belong to: as many as a user namespace has by default. The record of a
	// layer names all of them.
	MaxOwners = 1 << 16
)

// Member is what the rules need to know of one member of a layer's tar.
type Member struct {
	Name, Linkname string
	Type           byte // the type flag; old-style regular files are tar.TypeReg
	Size           int64
	UID, GID       int
	PAXRecords     map[string]string
}

// OfHeader returns the member that a header of archive/tar describes.
func OfHeader(h *tar.Header) Member {
	return Member{Name: h.Name, Linkname: h.Linkname, Type: h.Typeflag, Size: h.Size, UID: h.Uid, GID: h.Gid, PAXRecords: h.PAXRecords}
}

// Error reports a member that is refused.
type Error struct {
	Name string // as the tar has it
	Err  error
}

// Error implements error.
func (e *Error) Error() string {
	name := e.Name
	if len(name) > 256 {
		name = name[:256] + "..."
	}
	return fmt.Sprintf("member %q is refused: %v", name, e.Err)
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// Checker holds the members of one layer to the rules, in their order. The zero
// value is ready. It is for one goroutine.
type Checker struct {
	tree
	members int
	listed  texts  // names of directories that the tar lists
	lost    string // see Kept
	uids    owners
	gids    owners
	work    *budget.Work // see Bound
	beside  int64        // what the caller keeps for each member
}

// owners are the numbers of the users, or groups, that members belong to.
type owners struct {
	seen map[int]struct{}
	last int // most members belong to whom the one before belongs to
}

// add adds one, and reports whether there are too many.
func (o *owners) add(id int) (tooMany bool) {
	if o.seen == nil {
		o.seen = make(map[int]struct{})
	} else if id == o.last {
		return false
	}
	o.seen[id], o.last = struct{}{}, id
	return len(o.seen) > MaxOwners
}

// Add checks the next member and returns the file that it makes, which other
// members may make, too: 0 where it makes none. The error is an *Error, or that of the
// context given to Bound.
func (c *Checker) Add(m Member) (File, error) {
	if err := c.work.Hold(c.held()); err != nil {
		return 0, fmt.Errorf("waiting for memory to check a layer: %w", err)
	}
	f, err := c.add(&m)
	if err != nil {
		return 0, &Error{Name: m.Name, Err: err}
	}
	return f, nil
}

// End is called behind the last member. The error is an *Error.
func (c *Checker) End() error {
	for name := range c.listed.all() {
		if _, err := c.file(name); err != nil {
			return &Error{Name: name, Err: fmt.Errorf("the directory was replaced: %w", err)}
		}
	}
	return nil
}

// At returns the file that the name of a member leads to now, or 0 if there is no such file.
func (c *Checker) At(name string) File {
	inside, err := Inside(path.Clean(name))
	if err != nil || c.kinds == nil {
		return 0
	}
	f, err := c.file(inside)
	if err != nil {
		return 0
	}
	return f
}

// Kept reports whether a store keeps every content of the layer as the tar has it:
// if not, the store cannot give the tar back, and why says what is lost.
func (c *Checker) Kept() (kept bool, why string) { return c.lost == "", c.lost }

func (c *Checker) add(m *Member) (File, error) {
	c.init()
	c.members++
	if err := c.count(); err != nil {
		return 0, err
	}
	if c.uids.add(m.UID) || c.gids.add(m.GID) {
		return 0, fmt.Errorf("%w: %d", ErrOwners, MaxOwners)
	}
	name := path.Clean(m.Name)
	if !c.first(name) {
		return 0, ErrTwice
	}
	if Sparse(m) {
		c.lose(m.Name, "it is a sparse file")
	}
	inside, err := Inside(name)
	switch {
	case err != nil:
		return 0, err
	case inside == "":
		return c.root(m, name)
	case strings.HasPrefix(path.Base(inside), whiteoutPrefix):
		return c.whiteout(m, inside)
	}
	return c.create(m, inside)
}

func (c *Checker) lose(name, why string) {
	if c.lost == "" {
		c.lost = fmt.Sprintf("%q: %s", name, why)
	}
}

// Sparse reports a file whose content the tar has in another form.
func Sparse(m *Member) bool {
	if m.Type == tar.TypeGNUSparse {
		return true
	}
	for key := range m.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// Whiteouts of the OCI image specification (layer.md).
const (
	whiteoutPrefix = ".wh."
	opaqueName     = ".wh..wh..opq"
)

// Inside returns a cleaned name without its leading slash, "" for the root itself. The
// library resolves names in a chroot, where nothing leads out; a name that tries to is
// no layer's.
func Inside(name string) (string, error) {
	name = strings.TrimPrefix(name, "/")
	if name == ".." || strings.HasPrefix(name, "../") {
		return "", ErrLeadsOut
	}
	if name == "." {
		return "", nil
	}
	return name, nil
}

// root is a member for the root directory. "." changes nothing, "/" does.
func (c *Checker) root(m *Member, name string) (File, error) {
	if name == "." {
		return 0, nil
	}
	if m.Type != tar.TypeDir {
		return 0, ErrType
	}
	return 0, c.attributes(rootFile, m)
}

func (c *Checker) whiteout(m *Member, inside string) (File, error) {
	if m.Size > 0 && !headerOnly(m.Type) {
		c.lose(m.Name, "it is a whiteout that has a content")
	}
	parent, base := path.Dir(inside), path.Base(inside)
	name := strings.TrimPrefix(base, whiteoutPrefix)
	var err error
	switch {
	case base == opaqueName:
		_, err = c.mkdirAll(parent)
	case name == "" || name == "." || name == "..":
		return 0, ErrWhiteout
	default:
		err = c.mark(parent, name)
	}
	if errors.Is(err, unix.ENOTDIR) {
		return 0, nil // some builders remove a directory and then what was in it
	}
	return 0, err
}

// mark makes the whiteout of name.
func (c *Checker) mark(parent, name string) error {
	dir, err := c.parent(path.Join(parent, name))
	if err != nil {
		return err
	}
	if c.child(dir, name) != 0 {
		return ErrWhiteout
	}
	c.put(dir, name, c.newFile(kindOther))
	return nil
}

// headerOnly reports types that have no content whatever their size says.
func headerOnly(flag byte) bool {
	switch flag {
	case tar.TypeLink, tar.TypeSymlink, tar.TypeChar, tar.TypeBlock, tar.TypeDir, tar.TypeFifo:
		return true
	}
	return false
}
