package machine

import (
	"bytes"
	"fmt"
	"path"

	"github.com/nodeseal/nodeseal/internal/store"
)

// tmpfiles returns a tmpfiles.d(5) file that makes the slots as empty, valid
// stores where they are missing, without the program, which may not be on the
// node yet: a configured path that is missing stops CRI-O and podman. What is made
// has the modes that verify wants. What is there is not touched, neither content nor
// mode: that is what the colon says, which systemd knows from version 250 on (RHEL 9).
func (s Settings) tmpfiles() []byte { return emptyStores(s.Root, s.Stores()) }

// emptyStores is tmpfiles for stores below root, which is made too.
func emptyStores(root string, stores []string) []byte {
	var out bytes.Buffer
	out.WriteString("# Empty image stores, before storage.conf names them. Made by nodeseal config.\n")
	line := func(kind, name, mode, content string) {
		fmt.Fprintf(&out, "%s %s %s - - -", kind, name, mode)
		if content != "" {
			fmt.Fprintf(&out, " %s", content)
		}
		out.WriteByte('\n')
	}
	line("d", root, "-", "")
	for _, slot := range stores {
		line("d", slot, newOnly(slotMode), "")
		for _, f := range store.EmptyFiles() {
			if f.Dir {
				line("d", path.Join(slot, f.Path), newOnly(f.Mode), "")
			} else {
				line("f", path.Join(slot, f.Path), newOnly(f.Mode), string(f.Content))
			}
		}
	}
	return out.Bytes()
}

// slotMode is the mode of a store's own directory.
const slotMode = 0o700

// newOnly is the mode of what is made, in the words of tmpfiles.d.
func newOnly(mode uint32) string { return fmt.Sprintf(":%04o", mode) }
