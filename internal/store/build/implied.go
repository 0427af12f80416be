package build

import (
	"fmt"
	"hash/maphash"
	"path"
	"strings"

	"github.com/nodeseal/nodeseal/bundle/layerrules"
	"github.com/nodeseal/nodeseal/internal/budget"
	"github.com/nodeseal/nodeseal/internal/hashtable"
)

// Implied counts the directories that names of a layer's entries imply: a store has them, and
// neither the tar nor its file table lists them. The zero value is for one layer. It needs some 15 bytes of
// memory for each directory and symbolic link.
type Implied struct {
	sum  maphash.Hash
	seen hashtable.Table // names of directories, and of links that lead to some
	all  int64
	work *budget.Work // see Bound
}

// Bound has layers of many directories counted one after another, as layerrules.Checker's Bound.
func (im *Implied) Bound(work *budget.Work) { im.work = work }

// Add returns how many directories must be made above an entry; names may lead through it if it is a directory or
// a symbolic link, which through says. An error wraps layerrules.ErrTooMany if there are more entries and directories
// than a layer may have: that is known before the first of them is made. Others are those of Bound's work.
func (im *Implied) Add(name string, through bool) (n int64, err error) {
	if err := im.work.Hold(int64(im.seen.Len()) * hashtable.Memory); err != nil {
		return 0, fmt.Errorf("waiting for memory to count a layer: %w", err)
	}
	above := strings.TrimPrefix(path.Clean("/"+name), "/")
	if through && above != "" {
		im.first(above)
	}
	for i := strings.LastIndexByte(above, '/'); i > 0; i = strings.LastIndexByte(above, '/') {
		above = above[:i]
		if !im.first(above) {
			break
		}
		n++
	}
	if im.all += 1 + n; im.all > layerrules.MaxMembers {
		return n, &layerrules.Error{Name: name, Err: fmt.Errorf("%w: at least %d files and directories, at most %d are allowed", layerrules.ErrTooMany, im.all, layerrules.MaxMembers)}
	}
	return n, nil
}

// first notes a name, and reports whether it was not there.
func (im *Implied) first(name string) bool {
	im.sum.Reset()
	_, _ = im.sum.WriteString(name) // it returns no error
	key := im.sum.Sum64()
	if im.seen.Get(key) != 0 {
		return false
	}
	im.seen.Set(key, 1)
	return true
}
