package depcheck_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestNamedTests holds docs/threat-model.md to the tests that it names: each exists, and
// where a row names packages, in one of these.
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
	page, err := os.ReadFile(filepath.Join(root, "docs/threat-model.md"))
	if err != nil {
		t.Fatal(err)
	}
	named, folder := regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w+`), regexp.MustCompile("`((?:internal|bundle|cmd|layout)(?:/[\\w/]+)?)` `?((?:Test|Fuzz)[A-Z]\\w+)")
	names := named.FindAllString(string(page), -1)
	if len(names) < 20 {
		t.Errorf("the page names %d tests: is it read rightly?", len(names))
	}
	for _, name := range names {
		if len(declared[name]) == 0 {
			t.Errorf("docs/threat-model.md names %s, which no package has", name)
		}
	}
	for _, m := range folder.FindAllStringSubmatch(string(page), -1) {
		if !slices.Contains(declared[m[2]], root+"/"+m[1]) {
			t.Errorf("docs/threat-model.md: %s has no %s; it is in %v", m[1], m[2], declared[m[2]])
		}
	}
}
