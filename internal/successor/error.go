package successor

import (
	"errors"
	"fmt"

	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/internal/carry"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
	"github.com/nodeseal/nodeseal/internal/visible"
)

// TooOldError reports a bundle that this program is too old for, and why the program of the
// stick does not take over. It wraps both.
type TooOldError struct {
	Err, Why error
	// Version is that of this program.
	Version string
	Stick   Place
}

// Place says where the stick is.
type Place struct {
	Dir    string
	Device string // "" if it is mounted
}

// Error implements error.
func (e *TooOldError) Error() string {
	return fmt.Sprintf("%v. This is nodeseal %s; the program of the stick was not run: %v", e.Err, e.Version, e.Why)
}

// Unwrap returns both errors.
func (e *TooOldError) Unwrap() []error { return []error{e.Err, e.Why} }

// Next says what to do.
func (e *TooOldError) Next() string {
	switch {
	case errors.Is(e.Why, ErrNoKey) && e.Stick.Device != "":
		return "install the program of the stick, which a person checks by its sum: mount -o ro " + visible.ShellWord(e.Stick.Device) + " /mnt && sh /mnt/" + carry.Script +
			" /mnt; umount /mnt; then plug the stick in again"
	case errors.Is(e.Why, ErrNoKey):
		return "install the program of the stick, which a person checks by its sum: sh " + visible.ShellWord(e.Stick.Dir+"/"+carry.Script) + " " + visible.ShellWord(e.Stick.Dir) +
			"; then run the same command again"
	case errors.Is(e.Why, ErrNoProgram), errors.Is(e.Why, ErrNotLater), errors.Is(e.Why, signature.ErrMismatch):
		return "at staging, put a program on the stick that is later than this one and that the node's key signed: nodeseal carry STICK --bundle BUNDLE --program FILE --sign-key KEY"
	}
	// Which is later is not known, the stick could not be read, or the system let no copy be made or run.
	return "install the program of the stick: " + e.Stick.Install() + "; then run the same command again"
}

// Install is the command that installs the program of the stick on a node with a key.
func (p Place) Install() string {
	if p.Device != "" {
		return "sh " + machine.InstallFile + " --device " + visible.ShellWord(p.Device)
	}
	return "sh " + machine.InstallFile + " " + visible.ShellWord(p.Dir)
}
