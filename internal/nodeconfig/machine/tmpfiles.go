package machine

import (
	"bytes"
	"fmt"
	"path"

	"github.com/nodeseal/nodeseal/internal/store"
)

// tmpfiles returns a tmpfiles.d(5) file that makes the slots as empty, valid
// stores where they are missing, without the program, which may not be on the
// node yet: a configured path that is missing stops CRI-O and podman. What is
// there is not touched, neither content nor mode.
func (s Settings) tmpfiles() []byte {
	var out bytes.Buffer
	out.WriteString("# Empty image stores, before storage.conf names them. Made by nodeseal config.\n")
	line := func(kind, name, content string) {
		fmt.Fprintf(&out, "%s %s - - - -", kind, name)
		if content != "" {
			fmt.Fprintf(&out, " %s", content)
		}
		out.WriteByte('\n')
	}
	line("d", s.Root, "")
	for _, slot := range s.Stores() {
		line("d", slot, "")
		for _, f := range store.EmptyFiles() {
			if f.Dir {
				line("d", path.Join(slot, f.Path), "")
			} else {
				line("f", path.Join(slot, f.Path), string(f.Content))
			}
		}
	}
	return out.Bytes()
}
