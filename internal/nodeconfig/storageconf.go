// Package nodeconfig makes the configuration of a node: text in, text out, with
// no files, processes or clocks.
package nodeconfig

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Where containers/storage keeps its primary store, and what of it does not outlive a
// reboot, when storage.conf does not say.
const (
	defaultGraphRoot = "/var/lib/containers/storage"
	defaultRunRoot   = "/run/containers/storage"
)

var (
	// ErrStorePath reports a path that storage.conf cannot name as a store.
	ErrStorePath = errors.New("path not usable as an additional image store")
	// ErrStorageConf reports a storage.conf that is not understood: no TOML, or
	// with other types than containers-storage.conf(5) gives its settings.
	ErrStorageConf = errors.New("storage.conf not understood")
)

// OverlapError reports a store inside of, or around, a directory that the
// storage.conf gives to the primary store. CRI-O removes that directory whole
// after an unclean shutdown.
type OverlapError struct {
	Store string
	Key   string // "graphroot", "imagestore" or "runroot"
	Dir   string // the value of Key
}

func (e *OverlapError) Error() string {
	return fmt.Sprintf("store %s overlaps the %s %s, which CRI-O may remove whole", e.Store, e.Key, e.Dir)
}

// StorageConf returns the storage.conf of from (containers-storage.conf(5), as
// podman and CRI-O read it) with each of stores in additionalimagestores of
// [storage.options], after those that are there, in the order given. All else
// stays byte for byte: comments, order, spacing and line ends. A store that is
// there already is not added again, so that calling it twice changes nothing.
//
// A store is an absolute, clean path without the characters that overlay's
// options give a meaning to (ErrStorePath). It must not overlap the file's
// graphroot, imagestore or runroot (*OverlapError); symbolic links are not
// looked at. Text that is no storage.conf gives ErrStorageConf.
//
// The result is parsed again and compared: it differs from from in that one
// setting only.
func StorageConf(from []byte, stores []string) ([]byte, error) {
	before, err := decode(from)
	if err != nil {
		return nil, err
	}
	present, err := before.stores()
	if err != nil {
		return nil, err
	}
	if err := checkStores(before, stores); err != nil {
		return nil, err
	}
	var missing []string
	for _, store := range stores {
		if !slices.Contains(present, any(store)) && !slices.Contains(missing, store) {
			missing = append(missing, store)
		}
	}
	if len(missing) == 0 {
		return bytes.Clone(from), nil
	}
	out, err := addStores(from, missing)
	if err != nil {
		return nil, err
	}
	after, err := decode(out)
	if err != nil {
		return nil, fmt.Errorf("after the change: %w", err)
	}
	return out, before.verify(after, missing)
}

// checkStores reports everything that is wrong with the paths.
func checkStores(conf *settings, stores []string) error {
	keys := []string{keyGraphRoot, keyImageStore, keyRunRoot}
	dirs := make([]string, len(keys))
	for i, key := range keys {
		dir, err := conf.dir(key)
		if err != nil {
			return err
		}
		dirs[i] = dir
	}
	var errs []error
	for _, store := range stores {
		if reason := badPath(store); reason != "" {
			errs = append(errs, fmt.Errorf("%w: %q %s", ErrStorePath, store, reason))
			continue
		}
		for i, dir := range dirs {
			if dir != "" && (within(store, dir) || within(dir, store)) {
				errs = append(errs, &OverlapError{Store: store, Key: keys[i], Dir: dir})
			}
		}
	}
	return errors.Join(errs...)
}

// badPath says what is wrong with the path of a store, or nothing.
func badPath(store string) string {
	switch {
	case !path.IsAbs(store):
		return "is not absolute"
	case path.Clean(store) != store:
		return "is not in its shortest form"
	case store == "/":
		return "is the root of the file system"
	case !utf8.ValidString(store) || strings.ContainsFunc(store, unicode.IsControl):
		return "has characters that cannot be printed"
	case strings.ContainsAny(store, `:,\`):
		return "has one of : , \\ which separate the options of a mount"
	default:
		return ""
	}
}

// within reports whether name is dir or lies below it.
func within(name, dir string) bool {
	return name == dir || strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/")
}
