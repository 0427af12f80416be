package build

import (
	"fmt"
	"hash/maphash"
	"path"
	"strings"

	"github.com/nodeseal/nodeseal/bundle/layerrules"
)

// maxImplied bounds the directories that an Implied remembers. One that has seen more begins
// anew, and may count a directory twice.
const maxImplied = 128 << 10

// Implied counts the directories that names of a layer's entries imply: a store has them, and
// neither the tar nor its file table lists them. The zero value is for one layer.
type Implied struct {
	seed maphash.Seed
	seen map[uint64]struct{}
	all  int64
}

// Add returns how many directories must be made above an entry, which is one itself if dir is set.
// The error wraps layerrules.ErrTooMany if there are more entries and directories than a layer may
// have: that is known before the first of them is made.
func (im *Implied) Add(name string, dir bool) (n int64, err error) {
	if im.seen == nil || len(im.seen) > maxImplied {
		im.seed, im.seen = maphash.MakeSeed(), make(map[uint64]struct{})
	}
	above := strings.TrimPrefix(path.Clean("/"+name), "/")
	if dir && above != "" {
		im.seen[maphash.String(im.seed, above)] = struct{}{}
	}
	for i := strings.LastIndexByte(above, '/'); i > 0; i = strings.LastIndexByte(above, '/') {
		above = above[:i]
		key := maphash.String(im.seed, above)
		if _, ok := im.seen[key]; ok {
			break
		}
		im.seen[key] = struct{}{}
		n++
	}
	if im.all += 1 + n; im.all > layerrules.MaxMembers {
		return n, &layerrules.Error{Name: name, Err: fmt.Errorf("%w: at least %d files and directories, at most %d are allowed", layerrules.ErrTooMany, im.all, layerrules.MaxMembers)}
	}
	return n, nil
}
