package report_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/report"
)

// The beginning of a command's output stays, of the journal the end; JSON is there whole or not at all.
func TestLongCommands(t *testing.T) {
	n := node(t)
	const line = "a line of what a command prints\n"
	said := filepath.Join(n.Root, "long")
	if err := os.WriteFile(said, []byte("first\n"+strings.Repeat(line, 40_000)+"last\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{n.Program, filepath.Join(filepath.Dir(n.Program), "systemctl"), filepath.Join(filepath.Dir(n.Program), "journalctl")} {
		if err := os.WriteFile(program, fmt.Appendf(nil, "#!/bin/sh\n/bin/cat %s\n", said), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const mark = "[nodeseal report: cut here]\n"
	_, members, _ := archive(t, n.Items(), nil)
	if got := members["units/cat.txt"]; !strings.HasPrefix(got, "first\n") || !strings.HasSuffix(got, line+mark) {
		t.Errorf("units/cat.txt has %d bytes, from %.40q", len(got), got)
	}
	if got := members["journal/nodeseal.txt"]; !strings.HasPrefix(got, mark+line) || !strings.HasSuffix(got, "last\n") {
		t.Errorf("journal/nodeseal.txt has %d bytes, from %.60q", len(got), got)
	}
	if got, ok := members["status.json"]; ok || !strings.Contains(members["README.txt"], "left out, since a part of it is no JSON") {
		t.Errorf("status.json has %d bytes\n%s", len(got), members["README.txt"])
	}
}

// Names are found where files and messages have them, in any case, and versions and times stay.
func TestMoreNames(t *testing.T) {
	n := []struct{ name, text string }{
		{"files/etc/containers/registries.conf", "unqualified-search-registries = [\"search.one.example\", 'search.two.example:5000']\n[aliases]\n\"app\" = \"alias.three.example/ns/app\"\n" +
			"[[registry]]\nlocation = 'single.four.example/x'\n"},
		{"files/etc/containers/policy.json", `{"default":[{"type":"reject"}],"transports":{"docker":{"scope.five.example/ns":[{"type":"signedBy"}]}}}`},
		{"files/etc/containers/registries.d/x.yaml", "docker:\n  yaml.six.example:5000/x:\n    use-sigstore-attachments: true\n"},
		{"units/journal.txt", "lookup dns.seven.example on [fd00:1::53]:53: no such host\nlookup bare-host: no such host\n" +
			"x509: certificate is valid for cert.eight.example, *.wild.nine.example, not asked.ten.example\n" +
			"again SEARCH.ONE.EXAMPLE and Bare-Host, other.one.example, dial tcp 10.1.2.3:443, fe80::1%eth0, xbare-hostx\n" +
			"cri-o 1.33.4, https://1.33.4/x, v1.33.4/a/b:c, kernel 5.14.0-570.el9, at 10:11:12, ::1, 127.0.0.1\n"},
		{"audit.json", `{"nodes": ["json-node"], "x": "json-node"}`},
	}
	var items []report.Item
	for _, m := range n {
		items = append(items, report.NewItem(m.name, func(context.Context) ([]byte, error) { return []byte(m.text), nil }))
	}
	_, members, _ := archive(t, items, []byte("salt"))
	for name, text := range members {
		for _, bad := range []string{".example", ".EXAMPLE", " bare-host", "Bare-Host", "fd00", "fe80", "10.1.2.3", "json-node"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s has %s:\n%s", name, bad, text)
			}
		}
	}
	for _, want := range []string{"cri-o 1.33.4, https://1.33.4/x, v1.33.4/a/b:c, kernel 5.14.0-570.el9, at 10:11:12, ::1, 127.0.0.1\n", "xbare-hostx"} {
		if !strings.Contains(members["units/journal.txt"], want) {
			t.Errorf("%q is not there:\n%s", want, members["units/journal.txt"])
		}
	}
	if !strings.Contains(members["README.txt"], "This is incomplete") {
		t.Error(members["README.txt"])
	}
}
