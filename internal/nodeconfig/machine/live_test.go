package machine

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/nodeconfig"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// live are settings that are right.
func live() Live {
	return Live{
		Release: "4.20.4", Digest: digest.FromString("release"), Key: []byte("key\n"),
		StorageConf: []byte("[storage]\ndriver = \"overlay\"\nrunroot = \"/run/containers/storage\"\ngraphroot = \"/var/lib/containers/storage\"\n"),
		Registries:  []File{{Path: nodeconfig.RegistriesConfFile, Mode: 0o644, Content: []byte("# registries\n")}},
	}
}

// TestLive holds the files and units to what a live system needs.
func TestLive(t *testing.T) {
	t.Parallel()
	files, err := live().Files()
	if err != nil {
		t.Fatal(err)
	}
	units, err := live().Units()
	if err != nil {
		t.Fatal(err)
	}
	text := make(map[string]string)
	for _, f := range files {
		text[f.Path] = string(f.Content)
	}
	for _, u := range units {
		text[u.Name] = string(u.Text) + string(u.DropIn)
		if !u.Enabled {
			t.Errorf("%s is not enabled", u.Name)
		}
	}
	for name, want := range map[string]string{
		StorageConfFile:               `additionalimagestores = ["/run/nodeseal_images"]`,
		TmpfilesFile:                  "f /run/nodeseal_images/overlay-images/images.json :0600 - - - []",
		KeyFile:                       "key",
		InstallFile:                   "#!/bin/sh",
		MediumFile:                    "#!/bin/sh",
		nodeconfig.RegistriesConfFile: "# registries",
		MediumUnit:                    "Environment=DIGEST=" + digest.FromString("release").String() + "\n",
		nodeconfig.ServeUnitName:      "serve --listen 127.0.0.1:5055 --store /run/nodeseal_images\n",
	} {
		if !strings.Contains(text[name], want) {
			t.Errorf("%s has no %s:\n%s", name, want, text[name])
		}
	}
	// What asks for images waits for all three.
	for _, name := range []string{InstallUnit, MediumUnit, nodeconfig.ServeUnitName} {
		for _, reader := range []string{"release-image.service", "node-image-pull.service", "agent.service", "assisted-service-pod.service", "crio.service", "bootkube.service", "rpm-ostreed.service"} {
			if !strings.Contains(text[name], " "+reader) {
				t.Errorf("%s does not come before %s", name, reader)
			}
		}
	}
	if !strings.Contains(text[MediumUnit], "After=local-fs.target systemd-tmpfiles-setup.service "+InstallUnit+"\n") ||
		!strings.Contains(text[nodeconfig.ServeUnitName], "After="+InstallUnit+" "+MediumUnit+"\n") {
		t.Error("the units do not wait for each other")
	}
	for name, change := range map[string]func(*Live){
		"no key":               func(l *Live) { l.Key = nil },
		"no digest":            func(l *Live) { l.Digest = "" },
		"what is not a digest": func(l *Live) { l.Digest = "sha256:0\nExecStart=/bin/sh" },
	} {
		l := live()
		change(&l)
		if _, err := l.Files(); !errors.Is(err, ErrSettings) {
			t.Errorf("%s: %v, want ErrSettings", name, err)
		}
	}
}

// TestLiveUnits has systemd judge the units.
func TestLiveUnits(t *testing.T) {
	t.Parallel()
	analyze := testenv.NeedTool(t, "systemd-analyze")
	units, err := live().Units()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	args := []string{"verify", "--man=no", "--recursive-errors=no"}
	for _, u := range units {
		path := filepath.Join(dir, u.Name)
		text := strings.ReplaceAll(string(u.Text), nodeconfig.DefaultBinary, "/bin/true") // is looked for
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if u.DropIn != nil {
			if err := os.Mkdir(path+".d", 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(path+".d", u.DropInName), u.DropIn, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		args = append(args, path)
	}
	if out, err := exec.CommandContext(t.Context(), analyze, args...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
}
