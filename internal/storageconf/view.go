package storageconf

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/internal/nodeconfig"
)

// ErrUnset reports a storage.conf without settings that programs stop for. What it does
// say is known.
var ErrUnset = errors.New("storage.conf incomplete")

// Views returns what podman and CRI-O take, each if it is installed. If neither is, both
// are judged as programs that read one file. Two that take the same are one view.
func Views(o Options) []View { return o.views(library(o, "podman"), library(o, "crio")) }

func (o Options) views(podman, crio reads) []View {
	if podman == none && crio == none {
		podman, crio = oneFile, oneFile
	}
	if o.Named != "" {
		return []View{o.named(podman, crio)}
	}
	var views []View
	if crio != none {
		v := o.view(CRIO, crio)
		o.crio(&v)
		views = append(views, v)
	}
	if podman != none {
		v := o.view(Podman, podman)
		v.Storage.Default()
		views = append(views, v)
	}
	if len(views) == 2 && same(&views[0], &views[1]) {
		views[0].Program = CRIO + " and " + Podman
		views = views[:1]
	}
	return views
}

// same reports whether two programs take the same.
func same(a, b *View) bool {
	x, y := *a, *b
	x.Program, y.Program = "", ""
	x.Err, y.Err = nil, nil
	return fmt.Sprint(a.Err) == fmt.Sprint(b.Err) && reflect.DeepEqual(x, y)
}

// view reads storage.conf as a library does.
func (o Options) view(program string, lib reads) View {
	v := View{Program: program}
	mains := []string{Main, Vendor}
	if lib == dropIns {
		mains = append([]string{rootsOwn}, mains...)
	}
	for _, p := range mains {
		if v.add(o.path(p), false) {
			break
		}
	}
	if lib == dropIns {
		files, err := o.dropIns(mains)
		if err != nil && v.Err == nil {
			v.Err = err
		}
		for _, p := range files {
			v.add(p, false)
		}
	}
	v.complete(lib)
	return v
}

// named reads the one file for both programs: as the older of the two libraries, if one of
// them is older.
func (o Options) named(podman, crio reads) View {
	v := View{Program: CRIO + " and " + Podman}
	v.add(o.path(o.Named), true)
	lib := dropIns
	if podman == oneFile || crio == oneFile {
		lib = oneFile
	}
	v.complete(lib)
	v.Storage.Default()
	return v
}

// add reads a file over what was read before, and reports whether it is there.
func (v *View) add(path string, must bool) bool {
	if v.Err != nil {
		return true
	}
	text, err := read(path)
	if errors.Is(err, fs.ErrNotExist) && !must {
		return false
	}
	v.Files = append(v.Files, path)
	var stores bool
	if err == nil {
		stores, err = v.Storage.Apply(text)
	}
	if stores {
		v.StoresFrom = path
	}
	if err != nil {
		v.Err, v.ErrAt = err, path
	}
	return true
}

// complete judges what a library makes of files that do not say all.
func (v *View) complete(lib reads) {
	if v.Err != nil || len(v.Files) == 0 || lib == dropIns {
		return
	}
	switch unset := v.Storage.Unset(); {
	case len(unset) > 0:
		v.ErrAt, v.Err = v.Files[0], fmt.Errorf("%w: it does not set %s; nodeseal config storage.conf --store DIR prints a complete one",
			ErrUnset, strings.Join(unset, " and "))
	case v.Storage.Append:
		v.ErrAt, v.Err = v.Files[0], fmt.Errorf("%w: it has {append = true}, which is read from go.podman.io/storage 1.63 (podman 6) on",
			nodeconfig.ErrStorageConf)
	}
}

// Dirs returns the graph roots and the additional stores of all views, each once, as path
// has them on this machine. The error is the first view's that has one: what the node
// needs is not known then.
func Dirs(views []View, path func(string) string) (graphRoots, stores []string, err error) {
	add := func(to []string, p string) []string {
		if p = path(p); !slices.Contains(to, p) {
			to = append(to, p)
		}
		return to
	}
	for i := range views {
		v := &views[i]
		if v.Err != nil && err == nil && !errors.Is(v.Err, ErrUnset) {
			err = fmt.Errorf("%s: %w", v.ErrAt, v.Err)
		}
		graphRoots = add(graphRoots, v.Storage.GraphRoot)
		for _, s := range v.Storage.Stores {
			stores = add(stores, s)
		}
	}
	return graphRoots, stores, err
}
