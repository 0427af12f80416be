package report_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/internal/madeby"
	"github.com/nodeseal/nodeseal/internal/report"
)

// canary is in each secret that is planted.
const canary = "CaNaRy7Secret9"

// secrets are forms in which secrets stand in configuration, units, and journals.
func secrets() string {
	b64 := "Y2FuYXJ5OlRoaXNJc0FTZWNyZXQwMTIzNDU2Nzg5YWJjZGVmZ2hpag" + canary
	return strings.Join([]string{
		`password = "` + canary + ` with \" quote ` + canary + `"`,
		`db_passwd: ` + canary + ` and more ` + canary,
		`{"auths":{"quay.io":{"auth":"` + canary + `","email":"x"}}}`,
		`msg="body {\"token\":\"` + canary + `\",\"expires\":1}"`,
		"\"identitytoken\":\n   \"" + canary + `"`,
		"token: |\n  " + canary + "\n  " + canary + "\nnext: stays",
		"secret = \"\"\"\n" + canary + "\n\"\"\"",
		"api_keys = [\n \"" + canary + "\",\n '" + canary + "'\n]",
		`proxy = "http://user:` + canary + `@proxy.example:3128"`,
		`HTTPS_PROXY=http://user:` + canary + `@proxy.example`,
		`Environment="NAME=` + canary + `" OTHER=` + canary,
		"Environment=A=1 \\\n  B=" + canary,
		"default_env = [\n  \"PLAIN=" + canary + "\",\n]",
		`ExecStart=/usr/bin/x --password ` + canary + ` --creds=user:` + canary + ` -u user:` + canary,
		`podman login -u me -p ` + canary + ` quay.io`,
		`Authorization: Basic ` + canary + canary,
		`level=error msg="GET with bearer ` + canary + canary + ` failed"`,
		"-----BEGIN RSA PRIVATE KEY-----\n" + canary + "\n-----END RSA PRIVATE KEY-----",
		`key-data: -----BEGIN PRIVATE KEY-----\n` + canary + `\n-----END PRIVATE KEY-----`,
		`sha256~` + canary + `abcdef`, `ghp_` + canary, `eyJhbGciOiJSUzI1NiJ9.` + canary + `.` + canary,
		`root:$6$salt$` + canary + `:1:`, `blob ` + b64 + `==`,
		strings.ReplaceAll(strings.Join(moreSecrets(), "\n"), "CANARY", canary),
		"-----BEGIN EC PRIVATE KEY-----\n" + canary, // cut off
	}, "\n") + "\n"
}

// node makes the files and programs of a node, each with all secrets in it.
func node(t *testing.T) report.Node {
	t.Helper()
	root, bin := t.TempDir(), t.TempDir()
	write := func(path, text string, mode fs.FileMode) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), mode)); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{
		"etc/os-release", "etc/containers/storage.conf", "etc/containers/storage.conf.d/50-x.conf", "etc/containers/registries.conf", "etc/containers/registries.conf.d/50-x.conf",
		"etc/containers/policy.json", "etc/containers/registries.d/x.yaml", "etc/crio/crio.conf", "etc/crio/crio.conf.d/10-x", "usr/share/containers/storage.conf",
		"etc/kubernetes/manifests/pod.yaml", "etc/machine-config-daemon/currentconfig",
	} {
		write(filepath.Join(root, path), "# "+path+"\nmark = 1\n"+secrets(), 0o644)
	}
	// What is never read: only the canary, in no form.
	for _, path := range []string{"var/lib/kubelet/config.json", "root/.docker/config.json", "etc/containers/auth.json", "etc/containers/certs.d/r/client.key", "etc/crio/crio.conf.d/x.key"} {
		write(filepath.Join(root, path), canary, 0o600)
	}
	if err := os.Symlink("../../../var/lib/kubelet/config.json", filepath.Join(root, "etc/containers/registries.conf.d/60-link.conf")); err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(root, "proc/self/mountinfo"), "1 1 8:1 / / rw - xfs /dev/sda4 rw\n2 1 8:1 /a /slots/a ro - xfs /dev/sda4 ro\n3 1 8:1 / /home rw - nfs "+canary+" rw\n", 0o644)
	said := filepath.Join(root, "said")
	write(said, "said\n"+secrets(), 0o644)
	script := fmt.Sprintf("#!/bin/sh\necho \"ran $*\"; /bin/cat %s; /bin/cat %s >&2; exit 1\n", said, said)
	for _, program := range []string{"nodeseal", "crio", "systemctl", "journalctl"} { // no podman
		write(filepath.Join(bin, program), script, 0o755)
	}
	t.Setenv("PATH", bin)
	if err := os.MkdirAll(filepath.Join(root, "none"), 0o755); err != nil {
		t.Fatal(err)
	}
	return report.Node{Root: root, Program: filepath.Join(bin, "nodeseal"), Slots: "/slots", Units: []string{"nodeseal-import.service"}}
}

// archive collects, and returns the members of the archive as text, and the bytes of the archive.
func archive(t *testing.T, items []report.Item, salt []byte) (*report.Report, map[string]string, []byte) {
	t.Helper()
	r, err := report.Collect(t.Context(), items, madeby.Mark{Time: time.Unix(60, 0), Program: "v1"}, salt)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	members := make(map[string]string)
	for tr := tar.NewReader(z); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return r, members, b.Bytes()
		}
		data, readErr := io.ReadAll(tr)
		if err = errors.Join(err, readErr); err != nil {
			t.Fatal(err)
		}
		members[strings.TrimPrefix(h.Name, "nodeseal-report/")] = string(data)
	}
}

// Nothing of a secret is in the archive, wherever it stood; what is no secret is.
func TestSecrets(t *testing.T) {
	n := node(t)
	_, members, raw := archive(t, n.Items(), nil)
	for name, text := range members {
		for line := range strings.Lines(name + "\n" + text) {
			if strings.Contains(line, canary) || strings.Contains(line, "Y2FuYXJ5") {
				t.Errorf("%s has a secret: %s", name, line)
			}
		}
		if name != "README.txt" && name != "mounts.txt" && !strings.Contains(text, "next: stays") {
			t.Errorf("%s lacks what is no secret:\n%s", name, text)
		}
	}
	for _, want := range []string{
		"README.txt", "status.json", "audit.json", "versions/nodeseal.json", "versions/crio.txt", "versions/os-release", "mounts.txt", "files/etc/crio/crio.conf.d/10-x",
		"files/etc/containers/registries.conf.d/50-x.conf", "files/etc/containers/policy.json", "units/show.txt", "units/cat.txt", "journal/nodeseal.txt", "journal/crio.txt",
	} {
		if members[want] == "" {
			t.Errorf("there is no %s", want)
		}
	}
	if got, want := members["mounts.txt"], "1 1 8:1 / / rw - xfs /dev/sda4 rw\n2 1 8:1 /a /slots/a ro - xfs /dev/sda4 ro\n"; got != want {
		t.Errorf("mounts:\n%s", got)
	}
	if strings.Count(members["audit.json"], "--objects") != 2 {
		t.Errorf("audit ran as %.300s", members["audit.json"])
	}
	for _, want := range []string{"podman --version: not on this node", "60-link.conf", "no report takes", "/etc/os-release, ", " redacted", "Left out always:", "made 1970-01-01"} {
		if !strings.Contains(members["README.txt"], want) {
			t.Errorf("README.txt lacks %q:\n%s", want, members["README.txt"])
		}
	}
	if _, _, again := archive(t, n.Items(), nil); !bytes.Equal(raw, again) {
		t.Error("two archives of one node differ")
	}
}

// What looks like a secret at first is kept: digests, paths, sentences.
func TestKept(t *testing.T) {
	for _, text := range []string{
		"image quay.io/a/b@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"global_auth_file = \"/var/lib/kubelet/config.json\"", "/var/lib/containers/storage/overlay/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855/merged",
		"unauthorized: authentication required", "ExecStart=/usr/local/bin/nodeseal import-stick /run/nodeseal/stick", "https://quay.io/v2/", "HTTPS_PROXY=http://proxy.example:3128",
		"pull took longer than basic authentication allows", "Environment=HTTPS_PROXY=http://proxy.example:3128",
		"docker://quay.io:443/a/b:v1@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "image app:v1@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"journalctl -u crio.service", "ExecStart=/usr/local/bin/nodeseal status --root=/slots", "EnvironmentFile=/etc/nodeseal/env",
	} {
		items := []report.Item{report.NewItem("x", func(context.Context) ([]byte, error) { return []byte(text), nil })}
		if _, members, _ := archive(t, items, nil); members["x"] != text {
			t.Errorf("%q became %q", text, members["x"])
		}
	}
}

// On a machine where nothing is to be found there is an archive that says so.
func TestNothing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	r, members, _ := archive(t, report.Node{Root: t.TempDir(), Program: "/nowhere/nodeseal", Slots: "/slots", Units: []string{"x.service"}}.Items(), nil)
	if len(members) != 1 || r.Problems() != 0 {
		t.Errorf("%d members, %d problems", len(members), r.Problems())
	}
	for i := range r.Members {
		if m := &r.Members[i]; !m.Missing {
			t.Errorf("%s is not missing: %s", m.Name, m.Problem)
		}
	}
}

// What is too long is cut, and the end of a journal is what stays. An item that fails is a problem, and hides its secret.
func TestReportBounds(t *testing.T) {
	long := strings.Repeat("a line of the journal\n", 50_000)
	items := []report.Item{
		report.NewItem("long", func(context.Context) ([]byte, error) { return []byte("first\n" + long), nil }),
		report.NewItem("bad", func(context.Context) ([]byte, error) { return nil, errors.New("password=" + canary) }),
	}
	for i := range 18 {
		items = append(items, report.NewItem(fmt.Sprint("more", i), func(context.Context) ([]byte, error) { return []byte(long), nil }))
	}
	r, members, _ := archive(t, items, nil)
	total := 0
	for _, text := range members {
		total += len(text)
	}
	if total > 9<<20 || len(members["long"]) > 512<<10 || !strings.HasPrefix(members["long"], "first\n") || !strings.HasSuffix(members["long"], "[nodeseal report: cut here]\n") || !r.Members[0].Cut {
		t.Errorf("%d bytes in all, %d of the first", total, len(members["long"]))
	}
	if r.Problems() != 1 || !strings.Contains(r.Members[1].Problem, "REDACTED") || strings.Contains(r.Members[1].Problem, canary) {
		t.Errorf("problem %q", r.Members[1].Problem)
	}
}

// A report that is ended says so.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("interrupted")
	items := []report.Item{report.NewItem("x", func(context.Context) ([]byte, error) { cancel(why); return nil, nil })}
	if _, err := report.Collect(ctx, items, madeby.Mark{}, nil); !errors.Is(err, why) {
		t.Errorf("error %v", err)
	}
}

// Names become digests that are the same in all members, and of no use to who guesses names.
func TestNames(t *testing.T) {
	text := map[string]string{
		"registries.conf": "[[registry]]\nprefix = \"mirror.corp.example\"\nlocation = \"mirror.corp.example:5000/ocp\"\n",
		"journal":         "2026-03-01T10:00:00+00:00 worker-7 nodeseal[12]: imported from https://mirror.corp.example:5000/v2/ on worker-7\n",
		"status":          `{"ref": "mirror.corp.example:5000/ns/app:v1", "at": "10.1.2.3", "program": "nodeseal"}`,
	}
	var items []report.Item
	for _, name := range []string{"registries.conf", "journal", "status"} {
		items = append(items, report.NewItem(name, func(context.Context) ([]byte, error) { return []byte(text[name]), nil }))
	}
	_, members, _ := archive(t, items, []byte("salt"))
	for name, got := range members {
		for _, bad := range []string{"corp.example", "worker-7", "10.1.2.3"} {
			if strings.Contains(got, bad) {
				t.Errorf("%s has %s:\n%s", name, bad, got)
			}
		}
	}
	if !strings.Contains(members["status"], "nodeseal") || !strings.Contains(members["README.txt"], "3 names of hosts") {
		t.Errorf("%s\n%s", members["status"], members["README.txt"])
	}
	_, other, _ := archive(t, items, []byte("other"))
	if other["status"] == members["status"] {
		t.Error("the digests do not depend on the salt")
	}
}
