package dir

import (
	"fmt"
	"runtime"

	"github.com/opencontainers/selinux/go-selinux"
)

// containerLabel is what containers may read. The policy has it for
// /var/lib/shared; a store has it wherever it lies.
const containerLabel = "system_u:object_r:container_ro_file_t:s0"

// labeller gives files their SELinux label. The zero value does nothing.
type labeller struct {
	label string
}

// newLabeller returns a labeller that works if SELinux is on and its policy has
// containerLabel. A policy without types for containers (Debian's, or RHEL's without
// container-selinux) confines none, and refuses to mount with a label that it does not
// know.
func newLabeller() labeller {
	return labellerOf(selinux.GetEnabled(), selinux.SecurityCheckContext)
}

func labellerOf(enabled bool, known func(label string) error) labeller {
	if !enabled || known(containerLabel) != nil {
		return labeller{}
	}
	return labeller{label: containerLabel}
}

// set labels what exists.
func (l labeller) set(path string) error {
	if l.label == "" {
		return nil
	}
	if err := selinux.LsetFileLabel(path, l.label); err != nil {
		return fmt.Errorf("labelling %s: %w", path, err)
	}
	return nil
}

// creating calls do with the label on everything that it creates. The kernel
// keeps that per thread: do must not leave file creation to other goroutines.
func (l labeller) creating(do func() error) error {
	if l.label == "" {
		return do()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := selinux.SetFSCreateLabel(l.label); err != nil {
		return fmt.Errorf("setting the label of new files: %w", err)
	}
	err := do()
	if cerr := selinux.SetFSCreateLabel(""); cerr != nil && err == nil {
		err = fmt.Errorf("clearing the label of new files: %w", cerr)
	}
	return err
}

// verify wants path to have the label.
func (l labeller) verify(path string) error {
	if l.label == "" {
		return nil
	}
	got, err := selinux.LfileLabel(path)
	if err != nil {
		return fmt.Errorf("reading the label of %s: %w", path, err)
	}
	if got != l.label {
		return fmt.Errorf("%s has the label %s, want %s", path, got, l.label)
	}
	return nil
}
