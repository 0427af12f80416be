package seal

import (
	"fmt"
)

// Mount mounts the directory read-only over itself, unless it is. It may be
// called again at any time; the flags are not touched.
func Mount(dir string) error {
	s, err := open(dir)
	if err != nil {
		return fmt.Errorf("mounting %s: %w", dir, err)
	}
	defer s.close()
	if err := s.lock(); err != nil {
		return fmt.Errorf("mounting %s: %w", dir, err)
	}
	return mountReadOnly(s.dir)
}

// Unmount takes away the mounts of the directory over itself, if there are any.
// What runs from it goes on.
func Unmount(dir string) error {
	s, err := open(dir)
	if err != nil {
		return fmt.Errorf("unmounting %s: %w", dir, err)
	}
	defer s.close()
	if err := s.lock(); err != nil {
		return fmt.Errorf("unmounting %s: %w", dir, err)
	}
	at, err := mountsAt(s.dir)
	if err != nil {
		return err
	}
	return at.unmount()
}

// Mounted reports whether the directory is mounted read-only over itself.
func Mounted(dir string) (bool, error) {
	s, err := open(dir)
	if err != nil {
		return false, fmt.Errorf("looking at the mount of %s: %w", dir, err)
	}
	defer s.close()
	at, err := mountsAt(s.dir)
	if err != nil {
		return false, err
	}
	return at.readOnly(), nil
}
