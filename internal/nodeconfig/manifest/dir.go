package manifest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/nodeseal/nodeseal/internal/safefile"
)

const (
	readmeName = "README.md"
	// readmeTitle begins the README of every version.
	readmeTitle = "# Configuration of an OpenShift "
)

// ErrForeign is wrapped by the error about a README.md that the command did not write.
var ErrForeign = errors.New("which would overwrite it: name another directory with -o")

// CheckDir reports whether the files of All may be written to dir: a README.md there must be
// one of an earlier run. A directory that does not exist is fine. Errors wrap ErrForeign, or are
// those of safefile.Open.
func CheckDir(dir string) error { return CheckPage(dir, readmeTitle, "config all") }

// CheckPage is CheckDir for the files of a command, whose README.md begins with title.
func CheckPage(dir, title, command string) error {
	path := filepath.Join(dir, readmeName)
	f, err := safefile.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, len(title))
	if _, err := io.ReadFull(f, head); err != nil || string(head) != title {
		return fmt.Errorf("%s: it is not of nodeseal %s, %w", path, command, ErrForeign)
	}
	return nil
}
