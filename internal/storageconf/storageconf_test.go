package storageconf

import (
	"os"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"strings"
	"testing"
)

const whole = "[storage]\ndriver = \"overlay\"\nrunroot = \"/run/s\"\ngraphroot = \"/var/s\"\n"

// tree writes files of a node below a new directory.
func tree(t *testing.T, files map[string]string) Options {
	t.Helper()
	dir := t.TempDir()
	o := Options{Path: func(p string) string { return filepath.Join(dir, p) }}
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(o.path(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(o.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

func stores(paths string) string {
	return "[storage.options]\nadditionalimagestores = [" + paths + "]\n"
}

// TestViews: what the two programs take of the same files, one by one.
func TestViews(t *testing.T) {
	t.Parallel()
	const etcDropIn = Main + ".d/50-more.conf"
	for _, test := range []struct {
		name         string
		files        map[string]string
		podman, crio reads
		want         []string // program: stores, graph root, the file that decides, or the error
	}{
		{"nothing", nil, none, none, []string{"CRI-O and podman:  /var/lib/containers/storage "}},
		{"one file for both", map[string]string{Main: whole + stores(`"/a"`), Vendor: "nonsense"}, oneFile, oneFile,
			[]string{"CRI-O and podman: /a /var/s " + Main}},
		{"the distribution's", map[string]string{Vendor: whole + stores(`"/v"`)}, oneFile, dropIns, []string{"CRI-O and podman: /v /var/s " + Vendor}},
		{"without runroot", map[string]string{Main: stores(`"/a"`)}, oneFile, oneFile,
			[]string{"CRI-O and podman: /etc/containers/storage.conf: storage.conf incomplete: it does not set runroot and graphroot"}},
		{"without runroot, later library", map[string]string{Main: stores(`"/a"`)}, dropIns, dropIns, []string{"CRI-O and podman: /a /var/lib/containers/storage " + Main}},
		{"a drop-in is read by one", map[string]string{Main: whole, etcDropIn: stores(`"/a"`)}, dropIns, oneFile,
			[]string{"CRI-O:  /var/s ", "podman: /a /var/s " + etcDropIn}},
		{"a drop-in takes the place", map[string]string{Main: whole + stores(`"/a"`), etcDropIn: stores(`"/b"`)}, dropIns, none,
			[]string{"podman: /b /var/s " + etcDropIn}},
		{"a drop-in adds", map[string]string{Main: whole + stores(`"/a"`), etcDropIn: stores(`"/b", {append = true}`)}, dropIns, none,
			[]string{"podman: /a,/b /var/s " + etcDropIn}},
		{"append in the one file", map[string]string{Main: whole + stores(`"/a", {append = true}`)}, oneFile, none,
			[]string{"podman: /etc/containers/storage.conf: storage.conf not understood: it has {append = true}"}},
		{"root's own", map[string]string{rootsOwn: whole + stores(`"/r"`), Main: whole + stores(`"/a"`)}, dropIns, oneFile,
			[]string{"CRI-O: /a /var/s " + Main, "podman: /r /var/s " + rootsOwn}},
		{"one name in two directories", map[string]string{
			Main: whole, "/usr/share/containers/storage.conf.d/1.conf": stores(`"/v"`), "/etc/containers/storage.rootful.conf.d/1.conf": stores(`"/e"`),
			"/etc/containers/storage.conf.d/1.conf": "nonsense", "/etc/containers/storage.conf.d/2.txt": "nonsense",
		}, dropIns, none, []string{"podman: /e /var/s /etc/containers/storage.rootful.conf.d/1.conf"}},
		{"CRI-O's root and option", map[string]string{Main: whole + stores(`"/a"`),
			crioConf: "[crio]\nroot = \"/var/crio\"\n", crioDropIns + "/x": "[crio]\nstorage_option = [\"overlay.imagestore=/c\"]\n"}, oneFile, oneFile,
			[]string{"CRI-O: /a,/c /var/crio " + crioDropIns + "/x", "podman: /a /var/s " + Main}},
		{"CRI-O's file is broken", map[string]string{Main: whole, crioConf: "["}, none, oneFile, []string{"CRI-O: /etc/crio/crio.conf: CRI-O cannot read it"}},
		{"CRI-O's file is about other things", map[string]string{Main: whole, crioConf: "[crio.runtime]\nlog_level = \"info\"\n"}, oneFile, oneFile,
			[]string{"CRI-O and podman:  /var/s "}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := tree(t, test.files)
			views := o.views(test.podman, test.crio)
			if len(views) != len(test.want) {
				t.Fatalf("%d views, want %d: %+v", len(views), len(test.want), views)
			}
			for i, v := range views {
				got := v.Program + ": " + strings.Join(v.Storage.Stores, ",") + " " + v.Storage.GraphRoot + " " + v.StoresFrom
				if v.Err != nil {
					got = v.Program + ": " + v.ErrAt + ": " + v.Err.Error()
				}
				got = strings.ReplaceAll(got, o.path("/"), "")
				got = strings.ReplaceAll(got, strings.TrimSuffix(o.path("/"), "/"), "")
				if want := test.want[i]; got != want && (v.Err == nil || !strings.HasPrefix(got, want)) {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			}
		})
	}
}

// TestNamed: a file that is named is the only one that is read.
func TestNamed(t *testing.T) {
	t.Parallel()
	o := tree(t, map[string]string{"/my.conf": whole + stores(`"/a"`), Main: whole, Main + ".d/x.conf": stores(`"/b"`), crioConf: "["})
	o.Named = "/my.conf"
	views := o.views(dropIns, oneFile)
	if len(views) != 1 || views[0].Err != nil || !reflect.DeepEqual(views[0].Storage.Stores, []string{"/a"}) {
		t.Errorf("%+v", views)
	}
	o.Named = "/missing.conf"
	if views := o.views(oneFile, oneFile); len(views) != 1 || views[0].Err == nil {
		t.Errorf("a file that is not there: %+v", views)
	}
}

// TestBuilt: the library that a program says it was built with.
func TestBuilt(t *testing.T) {
	t.Parallel()
	for deps, want := range map[string]reads{
		"": oneFile, "github.com/containers/storage v1.58.0": oneFile, "go.podman.io/storage v1.62.1": oneFile,
		"go.podman.io/storage v1.63.0": dropIns, "go.podman.io/storage v1.100.0-dev": dropIns, "go.podman.io/storage v2.0.0": dropIns,
		"go.podman.io/storage (devel)": oneFile,
	} {
		path, version, _ := strings.Cut(deps, " ")
		if got := built(&debug.BuildInfo{Deps: []*debug.Module{{Path: path, Version: version}}}); got != want {
			t.Errorf("%s: %v, want %v", deps, got, want)
		}
	}
	if got := library(tree(t, map[string]string{"/usr/bin/crio": "#!/bin/sh\n"}), "crio"); got != oneFile {
		t.Errorf("a script: %v", got)
	}
	if got := library(tree(t, nil), "crio"); got != none {
		t.Errorf("not installed: %v", got)
	}
}
