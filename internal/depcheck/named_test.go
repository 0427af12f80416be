package depcheck_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestNamedTests holds pages to the tests that they name: each exists, and where a row
// names packages, in one of these.
func TestNamedTests(t *testing.T) {
	t.Parallel()
	const root = "../.."
	declared := make(map[string][]string) // by name, the folders that have it
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range function.FindAllStringSubmatch(string(data), -1) {
			declared[m[1]] = append(declared[m[1]], filepath.ToSlash(filepath.Dir(path)))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	named, folder := regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w+`), regexp.MustCompile("`((?:internal|bundle|cmd|layout)(?:/[\\w/]+)?)` `?((?:Test|Fuzz)[A-Z]\\w+)")
	for _, name := range []string{"docs/threat-model.md", "docs/proof.md"} {
		page, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		names := named.FindAllString(string(page), -1)
		if len(names) < 20 {
			t.Errorf("%s names %d tests: is it read rightly?", name, len(names))
		}
		for _, test := range names {
			if len(declared[test]) == 0 {
				t.Errorf("%s names %s, which no package has", name, test)
			}
		}
		for _, m := range folder.FindAllStringSubmatch(string(page), -1) {
			if !slices.Contains(declared[m[2]], root+"/"+m[1]) {
				t.Errorf("%s: %s has no %s; it is in %v", name, m[1], m[2], declared[m[2]])
			}
		}
	}
}

// TestProofTable holds the table of docs/proof.md that says where each claim is shown to
// the subtests that it names in the columns of CRI-O and kubelet.
func TestProofTable(t *testing.T) {
	t.Parallel()
	const root = "../.."
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	_, table, found := strings.Cut(read("docs/proof.md"), "## What is shown where\n")
	if !found {
		t.Fatal("docs/proof.md has no section \"What is shown where\"")
	}
	table, _, _ = strings.Cut(table, "\n## ")
	subtests := map[int]string{2: read("e2e/crio_test.go"), 3: read("e2e/kubelet_test.go")} // by column
	name, rows := regexp.MustCompile("`([A-Z]\\w+)`"), 0
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 6 {
			if strings.HasPrefix(line, "|") {
				t.Errorf("a row of %d columns, want 6: %s", len(cells), line)
			}
			continue
		}
		rows++
		for column, source := range subtests {
			for _, m := range name.FindAllStringSubmatch(cells[column], -1) {
				if !strings.HasPrefix(m[1], "Test") && !strings.Contains(source, `t.Run("`+m[1]+`"`) {
					t.Errorf("column %d names %s, which is no subtest there: %s", column, m[1], line)
				}
			}
		}
	}
	if rows < 15 {
		t.Errorf("the table has %d rows: is it read rightly?", rows)
	}
}
