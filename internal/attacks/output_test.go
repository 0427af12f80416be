//go:build attacks

package attacks

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
)

// esc clears a screen, bidi turns the direction of what follows, forged is a line of a
// good result.
const (
	esc    = "\x1b[2J\a"
	bidi   = "\u202e"
	forged = "\nOK: 999 images; every digest is right"
)

// showsNothing fails where an output holds what a terminal would obey, or a line
// that was forged.
func showsNothing(t *testing.T, o outcome) {
	t.Helper()
	for _, out := range []string{o.Stdout, o.Stderr} {
		for _, r := range out {
			if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
				t.Errorf("%q reaches the terminal:\n%q", r, out)
			}
		}
		if strings.Contains("\n"+out, forged) {
			t.Errorf("a forged line:\n%s", out)
		}
	}
}

// write makes a file in a new directory.
func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFileNameForges(t *testing.T) {
	attack{
		Name: "output: a file name with a line break, an escape sequence, and U+202E", Before: "prints them, and a line \"OK: 999 images\"",
		Exit: 1, Says: `\x1b[2J`, After: showsNothing,
	}.run(t, "inspect", filepath.Join(t.TempDir(), "a"+esc+bidi+forged))
}

func TestListForges(t *testing.T) {
	attack{
		Name: "output: escape sequences and U+202E in a list of images", Before: "prints them",
		Exit: 1, Says: `\x1b[2J`, After: showsNothing,
	}.run(t, "list", "--images", write(t, "images.lst", "quay.io/a"+esc+bidi+":1\n"))
}

func TestPasswordInReference(t *testing.T) {
	attack{
		Name: "output: user:password@ in a reference", Before: "prints the password",
		Exit: 1, Says: "user name or a password", Silent: "hunter2",
	}.run(t, "list", "--images", write(t, "images.lst", "admin:hunter2@quay.io/acme/app:1\n"))
}

func TestObjectNamesForge(t *testing.T) {
	objects := `apiVersion: apps/v1
kind: Deployment
metadata:
  name: "web'; rm -rf / #\u001b[2J\u202e\nOK: 999 images; every digest is right"
  namespace: "$(reboot)"
spec:
  template:
    spec:
      containers:
      - name: "c'$(id)"
        image: quay.io/acme/app:1
        imagePullPolicy: Always
`
	attack{
		Name: "output: a shell's words, escape sequences and line breaks in the names of objects", Before: "prints them; the command to copy runs them",
		Exit: 4, Says: `oc -n '$(reboot)' patch 'deployment/web'\''; rm -rf / #`, After: showsNothing,
	}.run(t, "audit", "--objects", write(t, "objects.yaml", objects))
}
