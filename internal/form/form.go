// Package form is about a store in a directory of a node, in either of its forms: the
// directory itself, or one image file beside it that is mounted there. Its callers
// need not know which of the two a store is.
package form

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nodeseal/nodeseal/internal/store/image"
)

// Form is the form that a new store gets.
type Form string

// The forms. Auto is Image where the kernel can mount one, Same that of the store or
// the slots that are there.
const (
	Dir   Form = "dir"
	Image Form = "image"
	Auto  Form = "auto"
	Same  Form = "same"
)

// Forms returns all of them.
func Forms() []Form { return []Form{Dir, Image, Auto, Same} }

// KernelError is the error of AsImage and of an import into an image on a machine that cannot
// mount one.
type KernelError = image.KernelError

// Parse returns the form that s names.
func Parse(s string) (Form, error) {
	for _, f := range Forms() {
		if s == string(f) {
			return f, nil
		}
	}
	return "", fmt.Errorf("%q: want dir, image, auto or same", s)
}

// AsImage reports whether a new store in the directory at is to be an image. stores
// are those whose form Same means. The zero value is Dir.
func (f Form) AsImage(ctx context.Context, at string, stores ...string) (bool, error) {
	switch f {
	case Dir, Image, "":
		return f == Image, nil
	case Auto:
		return mountable(ctx, at)
	}
	for _, s := range stores {
		if _, ok := FileOf(s); ok {
			return true, nil
		}
	}
	return false, nil
}

// mountable reports whether an image in a directory, which need not exist, could be
// mounted.
func mountable(ctx context.Context, dir string) (bool, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return false, err
	}
	for {
		if _, err := os.Stat(abs); err == nil || abs == filepath.Dir(abs) {
			break
		}
		abs = filepath.Dir(abs)
	}
	err = image.Supported(ctx, abs)
	var kernel *KernelError
	if errors.As(err, &kernel) {
		return false, nil
	}
	return err == nil, err
}

// FileFor returns the name of the image of the store in a directory, whether the
// store is one or not.
func FileFor(store string) (string, error) {
	abs, err := filepath.Abs(store)
	if err != nil {
		return "", err
	}
	return abs + image.Suffix, nil
}

// FileOf returns the image of the store in a directory, false if the store is not an
// image.
func FileOf(store string) (string, bool) {
	file, err := FileFor(store)
	if err != nil {
		return "", false
	}
	info, err := os.Lstat(file)
	return file, err == nil && info.Mode().IsRegular()
}

// FileAt returns the image that path is, or that of the store in the directory path;
// false for a store that is a directory.
func FileAt(path string) (string, bool) {
	if IsDir(path) {
		return FileOf(path)
	}
	return path, true
}

// IsDir reports whether there is a directory at path.
func IsDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
