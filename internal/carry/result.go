package carry

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/nodeseal/nodeseal/internal/atomicfile"
	"github.com/nodeseal/nodeseal/internal/safefile"
)

// maxResult bounds what is kept of earlier results of a node, in bytes: the newest.
const maxResult = 256 << 10

// LeaveResult adds text, the result of the node with that name, to result-NODE.txt in the
// directory, unless it ends with it already. What has that name and is no regular file
// is replaced, a link itself. It may be called again.
func LeaveResult(dir, node string, text []byte) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("leaving the result: %w", err)
		}
	}()
	root, err := safefile.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	name := "result-" + filepath.Base(node) + ".txt"
	old, err := root.ReadFile(name, 2*maxResult)
	if err != nil {
		old = nil // there is none, or it is none of ours
	}
	if bytes.HasSuffix(old, text) {
		return nil
	}
	text = append(newest(old), text...)
	temp := name + atomicfile.Suffix
	out, err := root.Resume(temp, 0o644)
	if err != nil {
		return err
	}
	_, err = out.Write(text)
	if err = errors.Join(err, out.Truncate(int64(len(text))), out.Sync(), out.Close()); err != nil {
		return errors.Join(err, root.Remove(temp))
	}
	if err := root.Rename(temp, name); err != nil {
		return errors.Join(err, root.Remove(temp))
	}
	return root.SyncDir(".")
}

// newest is the end of earlier results, from the beginning of a line on.
func newest(old []byte) []byte {
	if len(old) > maxResult {
		old = old[len(old)-maxResult:]
		old = old[bytes.IndexByte(old, '\n')+1:]
	}
	if len(old) > 0 {
		old = append(bytes.TrimRight(old, "\n"), "\n\n"...)
	}
	return old
}
