package machine

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/testenv"
)

// baked are settings that are right.
func baked() Baked {
	return Baked{
		Image: "/usr/share/nodeseal/images.erofs", Mount: BakedMount, Binary: BakedBinary, Label: BakedLabel,
		StorageConf: []byte("[storage]\ndriver = \"overlay\"\nrunroot = \"/run/containers/storage\"\ngraphroot = \"/var/lib/containers/storage\"\n"),
		Pins:        []string{"quay.io/example/*"},
	}
}

// TestBaked holds the files to what a machine without slots needs.
func TestBaked(t *testing.T) {
	t.Parallel()
	files, err := baked().Tree()
	if err != nil {
		t.Fatal(err)
	}
	text := map[string]string{}
	for _, f := range files {
		text[f.Path] = string(f.Content)
	}
	for path, want := range map[string]string{
		StorageConfFile: `additionalimagestores = ["/run/nodeseal_images"]`,
		PinsFile:        `pinned_images = ["quay.io/example/*"]`,
		UnitDir + "run-nodeseal_images.mount": "What=/usr/share/nodeseal/images.erofs\nWhere=/run/nodeseal_images\nType=erofs\n" +
			"Options=ro,loop,context=system_u:object_r:container_ro_file_t:s0\n",
		UnitDir + "nodeseal-serve.service": "ExecStart=/usr/bin/nodeseal serve --listen 127.0.0.1:5055 --store /run/nodeseal_images\n",
	} {
		if !strings.Contains(text[path], want) {
			t.Errorf("%s has no %s:\n%s", path, want, text[path])
		}
	}
	for _, f := range files {
		if bytes.Contains(f.Content, []byte("/var/lib/shared")) {
			t.Errorf("%s names slots:\n%s", f.Path, f.Content)
		}
	}
	plain := baked()
	plain.Label = ""
	files, err = plain.Tree()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if bytes.Contains(f.Content, []byte("context=")) {
			t.Errorf("%s has a label:\n%s", f.Path, f.Content)
		}
	}
}

// TestBakedUnits has systemd judge the units.
func TestBakedUnits(t *testing.T) {
	t.Parallel()
	analyze := testenv.NeedTool(t, "systemd-analyze")
	b := baked()
	b.Binary = "/bin/true" // is looked for
	files, err := b.Tree()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	args := []string{"verify", "--man=no", "--recursive-errors=no"}
	for _, f := range files {
		if strings.HasPrefix(f.Path, UnitDir) {
			path := filepath.Join(dir, filepath.Base(f.Path))
			if err := os.WriteFile(path, f.Content, 0o600); err != nil {
				t.Fatal(err)
			}
			args = append(args, path)
		}
	}
	if len(args) != 5 {
		t.Fatalf("units: %v", args)
	}
	if out, err := exec.CommandContext(t.Context(), analyze, args...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
}

// TestBakedRefused holds that what would break a machine is refused.
func TestBakedRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Baked){
		"no image":                func(b *Baked) { b.Image = "" },
		"a relative image":        func(b *Baked) { b.Image = "images.erofs" },
		"a line more":             func(b *Baked) { b.Image = "/a\nExecStart=/bin/sh" },
		"a specifier of systemd":  func(b *Baked) { b.Image = "/%h/images" },
		"a mount that hides it":   func(b *Baked) { b.Mount = "/usr/share" },
		"a mount over it":         func(b *Baked) { b.Mount = b.Image },
		"a mount with dots":       func(b *Baked) { b.Mount = "/run/../etc" },
		"another option":          func(b *Baked) { b.Label = "x,rw" },
		"a program with a space":  func(b *Baked) { b.Binary = "/bin/sh -c" },
		"a star alone":            func(b *Baked) { b.Pins = []string{"*"} },
		"a mount for CRI-O's own": func(b *Baked) { b.Mount = "/var/lib/containers/storage/images" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := baked()
			change(&b)
			if _, err := b.Tree(); err == nil {
				t.Error("it was taken")
			} else if name != "a mount for CRI-O's own" && !errors.Is(err, ErrSettings) {
				t.Errorf("%v is not ErrSettings", err)
			}
		})
	}
}
