package carry

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/nodeseal/nodeseal/internal/atomicfile"
	"github.com/nodeseal/nodeseal/internal/safefile"
)

// LeaveResult writes text, the result of the node with that name, into the
// directory as result-NODE.txt, unless it is there already. What has that name is
// replaced, a link itself. It may be called again.
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
	if old, err := root.ReadFile(name, int64(len(text))); err == nil && bytes.Equal(old, text) {
		return nil
	}
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
