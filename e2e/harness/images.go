//go:build e2e

package harness

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/testenv"
)

// ShellImage is the first of the images of RealImages: a shell and files to
// write to in /data.
const ShellImage = "shell"

// realImage is an image of files of this machine.
type realImage struct {
	name   string
	layers []string // paths below /, ShellImage's own layer is below all
	push   []string // how skopeo writes it
}

// RealImages makes images of real files of this machine with umoci, pushes them
// with skopeo to the registry at addr in different forms, and returns their
// references by digest, by name. prefix is what the references begin with: a
// registry, which is not asked, and a namespace, the one at addr too.
func RealImages(t testing.TB, addr, prefix string) map[string]string {
	t.Helper()
	_, namespace, _ := strings.Cut(prefix, "/")
	layout := filepath.Join(t.TempDir(), "layout")
	Must(t, "umoci", "init", "--layout", layout)
	layers := map[string]string{ShellImage: shellLayer(t)}
	docker := []string{"--format", "v2s2"}
	oci := []string{"--format", "oci"}
	zstandard := []string{"--format", "oci", "--dest-compress-format", "zstd"}
	refs := make(map[string]string)
	for _, img := range []realImage{
		{ShellImage, nil, docker},
		{"git", []string{"usr/lib/git-core"}, docker},
		{"git-perl", []string{"usr/lib/git-core", "usr/lib/x86_64-linux-gnu/perl-base"}, oci},
		{"perl", []string{"usr/lib/x86_64-linux-gnu/perl-base"}, zstandard},
		{"sbin", []string{"usr/sbin"}, oci},
		{"etc-sbin", []string{"etc", "usr/sbin"}, zstandard},
	} {
		image := layout + ":" + img.name
		Must(t, "umoci", "new", "--image", image)
		for _, path := range append([]string{ShellImage}, img.layers...) {
			if layers[path] == "" {
				layers[path] = machineLayer(t, path)
			}
			Must(t, "umoci", "raw", "add-layer", "--image", image, layers[path])
		}
		Must(t, "umoci", "config", "--image", image, "--architecture", "amd64", "--os", "linux", "--config.cmd", "/bin/sh")
		digestFile := filepath.Join(t.TempDir(), "digest")
		args := append([]string{"copy", "--insecure-policy", "--dest-tls-verify=false", "--digestfile", digestFile}, img.push...)
		Must(t, "skopeo", append(args, "oci:"+image, "docker://"+addr+"/"+namespace+"/"+img.name)...)
		refs[img.name] = prefix + "/" + img.name + "@" + strings.TrimSpace(string(ReadFile(t, digestFile)))
	}
	return refs
}

// machineLayer is a path below / as a tar.
func machineLayer(t testing.TB, path string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "layer.tar")
	Must(t, "tar", "--create", "--file", out, "--directory", "/", "--numeric-owner", "--format=pax",
		"--xattrs", "--xattrs-include=*", path)
	return out
}

// shellLayer is a static busybox, links to it, and files to change.
func shellLayer(t testing.TB) string {
	t.Helper()
	busybox := ReadFile(t, testenv.NeedTool(t, "busybox"))
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	add := func(h tar.Header, content []byte) {
		h.Size = int64(len(content))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"bin", "data", "data/dir", "etc", "proc", "sys", "dev", "tmp"} {
		add(tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755}, nil)
	}
	add(tar.Header{Typeflag: tar.TypeReg, Name: "bin/busybox", Mode: 0o755}, busybox)
	for _, applet := range []string{"sh", "cat", "mv", "rm", "chmod", "ls", "mkdir", "ln"} {
		add(tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + applet, Linkname: "busybox"}, nil)
	}
	for _, name := range []string{"overwrite", "append", "rename", "remove", "chmod", "dir/file"} {
		add(tar.Header{Typeflag: tar.TypeReg, Name: "data/" + name, Mode: 0o644}, []byte("image\n"))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "shell.tar")
	if err := os.WriteFile(path, buf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
