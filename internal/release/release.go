// Package release makes the files that a release of nodeseal is published as: a static
// binary for each platform with its software bill of materials, the manual pages and
// completions, an OCI image for all platforms, and their checksums.
//
// The same commit gives the same bytes, in whatever directory and at whatever time it is
// built, with the same version of Go: no file holds a clock's time, a path or a user.
package release

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

// Platforms are those that OpenShift runs on.
func Platforms() []string {
	return []string{"linux/amd64", "linux/arm64", "linux/ppc64le", "linux/s390x"}
}

// Options say what to make.
type Options struct {
	// Source is the root of the module's source.
	Source string
	// Out is the directory of the files. It is made; files of an earlier run are replaced.
	Out string
	// Version is what the binaries say, and a part of names of files: letters, digits, and
	// "._-+".
	Version string
	// Time is when the commit was made. Archives, the image and bills of materials carry it.
	Time time.Time
	// Platforms are of the form linux/ARCHITECTURE; none is Platforms().
	Platforms []string
	// Tags are the build tags, as go build takes them.
	Tags string
	// Module is the version of Go's cryptographic module that the binaries have, as GOFIPS140
	// of go build takes it: "" is the one of this version of Go, with FIPS mode off until a
	// node asks for it (see internal/fips); others have that mode on from the start.
	Module string
	// Say is called with the name of each file, as it is finished. It may be nil.
	Say func(name string)
}

// versions are those that can be a part of a file's name.
var versions = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._+-]{0,127}$`)

// binary is a program of the release.
type binary struct {
	// architecture is Go's name of it, name that of the file in Out.
	architecture, name string
}

// Make makes a release. Errors name the file that failed; the checksums are written last,
// so that a directory with checksums is a whole release.
func Make(ctx context.Context, o Options) error {
	if !versions.MatchString(o.Version) {
		return fmt.Errorf("version %q cannot be a part of a file's name", o.Version)
	}
	if o.Time.IsZero() {
		return fmt.Errorf("release %s has no time", o.Version)
	}
	if len(o.Platforms) == 0 {
		o.Platforms = Platforms()
	}
	if o.Say == nil {
		o.Say = func(string) {}
	}
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		return fmt.Errorf("release: %w", err)
	}
	if err := os.Remove(filepath.Join(o.Out, sumsName)); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("release: %w", err)
	}
	var names []string
	done := func(name string) {
		names = append(names, name)
		o.Say(name)
	}
	var binaries []binary
	for _, platform := range slices.Sorted(slices.Values(o.Platforms)) {
		b, err := o.build(ctx, platform)
		if err != nil {
			return err
		}
		binaries = append(binaries, b)
		done(b.name)
		bill, err := o.writeBill(b)
		if err != nil {
			return err
		}
		done(bill)
	}
	pages, err := o.writePages(ctx, binaries)
	if err != nil {
		return err
	}
	done(pages)
	image, err := o.writeImage(binaries)
	if err != nil {
		return err
	}
	done(image)
	if err := o.writeSums(names); err != nil {
		return err
	}
	o.Say(sumsName)
	return nil
}
